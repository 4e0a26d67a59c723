package p2p

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The wire form of an announcement does not change: an older or newer version must be able to read it.
func TestNewsWireForm(t *testing.T) {
	t.Parallel()
	n := news{wantsFeed: true, needy: true, reach: []tail{tailOf("123456789"), tailOf("short")}}
	want := "0502" + hex.EncodeToString([]byte("23456789")) + hex.EncodeToString([]byte("short\x00\x00\x00"))
	if got := hex.EncodeToString(n.encode()); got != want {
		t.Errorf("encoded as %s, want %s", got, want)
	}
	back, err := decodeNews(append(n.encode(), "of a later version"...))
	if err != nil || !back.wantsFeed || !back.needy || back.feeds || back.many || !slices.Equal(back.reach, n.reach) {
		t.Errorf("became %+v, %v", back, err)
	}
}

func TestNewsIsBounded(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"empty":     {},
		"no count":  {0},
		"truncated": {0, 2, 1, 2, 3, 4, 5, 6, 7, 8},
		"too many":  news{reach: make([]tail, fewMax+1)}.encode(),
	} {
		if n, err := decodeNews(data); err == nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

func FuzzNews(f *testing.F) {
	f.Add(news{feeds: true, many: true}.encode())
	f.Add(news{wantsFeed: true, needy: true, reach: []tail{{1}, {2}}}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := decodeNews(data)
		if err != nil {
			return
		}
		if len(n.reach) > fewMax {
			t.Fatalf("%d neighbours", len(n.reach))
		}
		back, err := decodeNews(n.encode())
		if err != nil || !bytes.Equal(back.encode(), n.encode()) {
			t.Fatalf("%x became %+v, %v", data, back, err)
		}
	})
}

// Whatever a member sends on a push stream is taken, skipped or an error, and what is delivered was in it.
func FuzzPushStream(f *testing.F) {
	g := &gossip{}
	f.Add(appendFrame(appendFrame(nil, pushNews, news{many: true}.encode()), pushDirect, g.stamp([]byte("frame"))))
	f.Add(appendFrame(appendFrame(nil, pushRelay, g.stamp(nil)), pushMissed, nil))
	f.Add(appendFrame(nil, 200, []byte("of a later version")))
	f.Add([]byte{pushDirect, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		x := newExchange(t, "edge")
		p := x.neighbour("edge")
		for r := bytes.NewReader(data); ; {
			kind, payload, err := readFrame(r, pushFrameMax)
			if err != nil || x.handle(p, kind, payload) != nil {
				break
			}
		}
		for _, frame := range x.got {
			if !bytes.Contains(data, frame) {
				t.Errorf("%x: delivered %x", data, frame)
			}
		}
	})
}

func TestTails(t *testing.T) {
	t.Parallel()
	a, b := tailOf(fixedID(t, 1)), tailOf(fixedID(t, 2))
	if a == b || a != tailOf(fixedID(t, 1)) {
		t.Errorf("tails %x and %x", a, b)
	}
	if got := tailOf(peer.ID("")); got != (tail{}) {
		t.Errorf("tail of nothing: %x", got)
	}
}

package fabric

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/edgemem/edgemem/test/bubble"
)

// pulled gives what b pulls of a's values, and how long it takes at 1 MB/s.
func pulled(t *testing.T, lack abilities, value func(i int) string) (s SyncStats, took time.Duration) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		m := NewMesh(1)
		a := node(t, m, "a")
		for i := range 1000 {
			set(t, region(t, a, "default"), fmt.Sprint(i), value(i))
		}
		time.Sleep(time.Second)
		m.SetRate(1 << 20)
		start := time.Now()
		b := nodeWith(t, m, "b", Config{Seed: 2, lack: lack})
		for region(t, b, "default").status().Entries < 1000 && time.Since(start) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		s, took = b.SyncStats(), time.Since(start)
		sameState(t, region(t, a, "default"), region(t, b, "default"))
	})
	return s, took
}

// What compresses takes less of a link; what does not is sent as it is; who cannot read it is never sent it.
func TestChunksTravelCompressedWhereItPays(t *testing.T) {
	text := func(i int) string { return strings.Repeat(fmt.Sprintf("{\"order\":%d,\"state\":\"open\"},", i), 100) }
	raw := 0
	for i := range 1000 {
		raw += len(text(i))
	}
	s, took := pulled(t, 0, text)
	if s.PullBytes > uint64(raw)/5 || s.SavedBytes < uint64(raw)*4/5 {
		t.Errorf("%d bytes came for %d, %d saved", s.PullBytes, raw, s.SavedBytes)
	}
	old, oldTook := pulled(t, canZstd, text)
	if old.PullBytes < uint64(raw) || old.SavedBytes != 0 {
		t.Errorf("without: %d bytes came for %d, %d saved", old.PullBytes, raw, old.SavedBytes)
	}
	t.Logf("%d bytes: %v compressed, %v as they are", raw, took, oldTook)
	n, _ := pulled(t, 0, func(i int) string { return noise(i, 2000) })
	if n.PullBytes > 2000*1000*105/100 {
		t.Errorf("noise: %d bytes came for %d", n.PullBytes, 2000*1000)
	}
}

// A session stops to compress where the link is faster, and tries again.
func TestSqueezerStopsWhereTheLinkIsFaster(t *testing.T) {
	t.Parallel()
	s := squeezer{codecs: &codecs{}}
	defer s.end()
	chunk := bytes.Repeat([]byte("compressible "), chunkBytes/13)
	send := func(link time.Duration) (squeezed int) {
		for range 2 * squeezeRest / len(chunk) {
			if z := s.squeeze(chunk); z != nil {
				squeezed += len(chunk)
				s.took = 10 * time.Millisecond // whatever this machine is busy with
				s.sent(link)
			}
		}
		return squeezed
	}
	if n := send(time.Nanosecond); n > 3*squeezeWindow {
		t.Errorf("%d bytes were compressed for a fast link", n)
	}
	if n := send(time.Second); n < squeezeRest/2 {
		t.Errorf("%d bytes were compressed for a slow link", n)
	}
}

// A small frame cannot make a large chunk.
func TestCompressedChunksAreBounded(t *testing.T) {
	t.Parallel()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var c codecs
	if _, err := c.unsqueeze(e.EncodeAll(make([]byte, frameMax+1), nil), nil); !errors.Is(err, errProtocol) {
		t.Errorf("too large: %v", err)
	}
	if _, err := c.unsqueeze([]byte("no zstd"), nil); !errors.Is(err, errProtocol) {
		t.Errorf("not compressed: %v", err)
	}
	if b, err := c.unsqueeze(e.EncodeAll(make([]byte, frameMax-1), nil), nil); err != nil || len(b) != frameMax-1 {
		t.Errorf("as large as may be: %d bytes, %v", len(b), err)
	}
}

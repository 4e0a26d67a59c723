package p2p

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/edgemem/edgemem/test/bubble"
)

// A device among servers leaves the topic once one of them feeds it, and publishes through that one alone.
func TestDeviceIsFed(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "device")
	cloud, edge, other := x.neighbour("cloud"), x.neighbour("edge"), x.neighbour("device")
	x.says(news{many: true}, other)
	if !x.current().topic {
		t.Error("not in the topic without a feeder")
	}
	x.says(news{many: true}, cloud, edge)
	if x.feeder != cloud || !x.told(cloud).wantsFeed || x.told(edge).wantsFeed || x.told(other).wantsFeed {
		t.Fatalf("the first that can feed was not asked, or not it alone")
	}
	x.publishes("asked, but not fed yet")
	x.wantPublished("asked, but not fed yet")
	if len(x.missed) > 0 {
		t.Errorf("told to pull from %v before it is fed", x.missed)
	}

	x.says(news{many: true, feeds: true}, cloud)
	if x.current().topic {
		t.Error("still in the topic")
	}
	if len(x.missed) != 1 || x.missed[0] != nodeID(cloud.l.peer) {
		t.Errorf("told to pull from %v, want the feeder", x.missed)
	}
	x.publishes("by the feeder")
	x.wantPublished()
	x.wantSent(cloud, pushRelay, "by the feeder")
	x.wantSent(edge, pushRelay)

	x.receives(cloud, pushRelay, "news")
	x.says(news{many: true, wantsFeed: true}, edge, other)
	x.receives(cloud, pushRelay, "more")
	x.wantDelivered("news", "more")
	x.wantPublished() // a fed device passes nothing on
	x.wantSent(edge, pushRelay)
	x.wantSent(other, pushRelay)
	if x.told(edge).feeds {
		t.Error("a fed device claims to feed")
	}
}

// A fed device passes nothing on, even if it sends its own frames directly because its neighbours are few.
func TestFedDeviceAmongFew(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "device")
	a, b := x.neighbour("edge"), x.neighbour("edge")
	x.says(news{}, a, b)
	x.says(news{feeds: true}, x.feeder)
	x.publishes("own")
	x.wantSent(a, pushDirect, "own")
	x.wantSent(b, pushDirect, "own")
	x.receives(x.feeder, pushRelay, "from the topic")
	x.wantDelivered("from the topic")
	x.wantSent(a, pushDirect)
	x.wantSent(b, pushDirect)
	x.wantPublished()
}

// A feeder that is lost, or whose stream is, is replaced at once; without another the device returns to the topic.
func TestFeederIsReplaced(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "device")
	a, b := x.neighbour("edge"), x.neighbour("edge")
	x.says(news{many: true}, a, b)
	x.says(news{many: true, feeds: true}, x.feeder)
	first := x.feeder
	second := map[*pushLink]*pushLink{a: b, b: a}[first]

	x.hear(first, nil)
	if x.feeder != second || !x.told(second).wantsFeed || x.told(first).wantsFeed {
		t.Fatal("the other one was not asked")
	}
	if !x.current().topic {
		t.Error("out of the topic without being fed")
	}
	x.says(news{many: true, feeds: true}, second)
	x.says(news{many: true}, first)
	if x.feeder != second || x.current().topic {
		t.Error("the feeder changed without need")
	}
	if len(x.missed) != 2 {
		t.Errorf("told to pull %d times, want once for each feeder", len(x.missed))
	}
	close(second.l.ended)
	x.leave(second.l)
	x.hear(first, nil)
	if x.feeder != nil || !x.current().topic {
		t.Error("not back in the topic")
	}
}

// The nearest feeder is chosen, whichever was heard first is kept.
func TestNearestFeeder(t *testing.T) {
	t.Parallel()
	link := func(tier string, limited bool, draw uint64) *pushLink {
		return &pushLink{l: &link{}, rank: rankOf(tier), limited: limited, draw: draw, heard: true}
	}
	relayed, cloud, edge, equal := link("edge", true, 0), link("cloud", false, 0), link("edge", false, 2), link("edge", false, 1)
	silent := link("edge", false, 0)
	silent.heard = false
	for _, test := range []struct {
		name      string
		ups       []*pushLink
		now, want *pushLink
	}{
		{"nobody", nil, nil, nil},
		{"devices", []*pushLink{link("device", false, 0)}, nil, nil},
		{"behind a relay if need be", []*pushLink{relayed, silent}, nil, relayed},
		{"not behind a relay", []*pushLink{relayed, cloud}, nil, cloud},
		{"of the lowest tier", []*pushLink{cloud, edge}, nil, edge},
		{"drawn", []*pushLink{edge, equal}, nil, equal},
		{"kept", []*pushLink{cloud, edge, equal}, cloud, cloud},
		{"kept, last", []*pushLink{edge, equal, cloud}, cloud, cloud},
		{"gone", []*pushLink{edge}, cloud, edge},
	} {
		if got := chooseFeeder(test.ups, test.now); got != test.want {
			t.Errorf("%s: chose %+v", test.name, got)
		}
	}
}

// A device that has none but devices around says so, and they stay in the topic for it.
func TestNeedyDevices(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "device")
	near := x.neighbour("device")
	if !x.told(near).needy {
		t.Error("needy, and does not say so")
	}
	edge := x.neighbour("edge")
	x.says(news{many: true, feeds: true}, edge)
	if x.told(near).needy || x.current().topic {
		t.Error("fed by an edge, and needy or in the topic")
	}
	x.says(news{needy: true}, near)
	if !x.current().topic || x.feeder != nil || x.told(edge).wantsFeed {
		t.Error("left a needy device alone")
	}
	x.says(news{}, near)
	if x.feeder != edge {
		t.Error("not fed again")
	}
}

// Servers on both sides of a relay feed each other: what one publishes or hears of goes to the other, which passes it
// on.
func TestFeedsOverARelay(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	near := x.neighbour("edge")
	far := x.neighbour("edge")
	far.limited = true
	x.says(news{many: true}, near)
	x.says(news{many: true, wantsFeed: true}, far)
	if !x.told(far).wantsFeed || !x.told(far).feeds || x.told(near).wantsFeed || x.told(near).feeds {
		t.Errorf("told %+v far and %+v near", x.told(far), x.told(near))
	}
	x.publishes("own")
	x.wantPublished("own")
	x.wantSent(far, pushRelay, "own")

	stamped := (&gossip{}).stamp([]byte("from near"))
	x.fromTopic(idOf(stamped), near.l.peer, stamped)
	x.wantSent(far, pushRelay, "from near")

	x.receives(far, pushRelay, "from far")
	x.wantPublished("from far")
	x.wantSent(far, pushRelay)
	x.wantDelivered("from near", "from far")
	x.wantSent(near, pushRelay)
}

// A circuit through a neighbour carries no frames: the neighbour does.
func TestNoFeedThroughANeighbour(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	far := x.neighbour("edge")
	far.limited, far.relay = true, "neighbour01"
	x.says(news{wantsFeed: true}, far)
	if !x.told(far).wantsFeed {
		t.Error("no feed through a relay that is no neighbour")
	}
	x.publishes("directly")
	x.wantSent(far, pushDirect, "directly")

	relay := x.neighbour("cloud")
	if relay.l.peer != far.relay {
		t.Fatalf("the relay is %v", relay.l.peer)
	}
	x.says(news{reach: []tail{far.tail}}, relay)
	x.says(news{}, far)
	if x.told(far).wantsFeed {
		t.Error("a feed through a neighbour")
	}
	x.publishes("by the relay")
	x.wantPublished("by the relay")
	x.wantSent(far, pushDirect)
}

// With few neighbours, what is to be passed on goes to each of them directly.
func TestPassingOnToFew(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	a, b := x.neighbour("device"), x.neighbour("edge")
	x.says(news{reach: []tail{tailOf(x.h.id)}}, a, b)
	x.receives(a, pushRelay, "for all")
	x.wantSent(a, pushDirect)
	x.wantSent(b, pushDirect, "for all")
	x.receives(b, pushDirect, "sent to all")
	x.wantSent(a, pushDirect)
	x.wantPublished()
	x.wantDelivered("for all", "sent to all")
}

// asked is the feeder, and wantsFeedOf whether a neighbour was told so: for tests in which others change it.
func (x *exchange) asked() *pushLink {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.feeder
}

func (x *exchange) wantsFeedOf(p *pushLink) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.told(p).wantsFeed
}

// pipeStream is a stream over a pipe: what is written waits until the other side reads.
type pipeStream struct {
	network.Stream
	c net.Conn
}

func (s pipeStream) Read(b []byte) (int, error)         { return s.c.Read(b) }
func (s pipeStream) Write(b []byte) (int, error)        { return s.c.Write(b) }
func (s pipeStream) SetWriteDeadline(t time.Time) error { return s.c.SetWriteDeadline(t) }
func (s pipeStream) Reset() error                       { return s.c.Close() }

// A feeder that takes nothing any more is replaced, although its connection stands.
func TestStalledFeederIsReplaced(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		x := newExchange(t, "device")
		a := x.neighbour("edge")
		ours, theirs := net.Pipe()
		a.take(pipeStream{c: ours})
		x.h.goes.run(a.run)
		defer x.h.goes.wait()
		defer close(a.l.ended)
		for asked := false; !asked; {
			kind, payload, err := readFrame(theirs, pushFrameMax)
			if err != nil || kind != pushNews {
				t.Fatalf("frame %d, %v", kind, err)
			}
			n, _ := decodeNews(payload)
			if asked = n.wantsFeed; !asked {
				writeFrame(theirs, pushNews, news{many: true}.encode())
			}
		}
		writeFrame(theirs, pushNews, news{many: true, feeds: true}.encode())
		synctest.Wait()
		b := x.neighbour("edge")
		x.says(news{many: true}, b)
		if x.asked() != a || x.current().way != byFeeder {
			t.Fatal("not fed by the first")
		}
		x.publishes("stuck") // nobody reads it
		time.Sleep(pushStall - 1)
		synctest.Wait()
		if x.asked() != a {
			t.Error("given up too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if x.asked() != b || !x.wantsFeedOf(b) || x.current().way != byTopic {
			t.Error("the other one was not asked, or frames still wait for the first")
		}
		a.q.mu.Lock()
		defer a.q.mu.Unlock()
		if a.q.missed.IsZero() {
			t.Error("the first would not be told what it missed")
		}
	})
}

// Connections of feeders, and of who is fed, are not the first to be closed.
func TestFeedsAreFavoured(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "device")
	a := x.neighbour("edge")
	x.says(news{many: true}, a)
	if !x.h.conns.IsProtected(a.l.peer, feederTag) {
		t.Error("the feeder is not protected")
	}
	x.hear(a, nil)
	if x.h.conns.IsProtected(a.l.peer, feederTag) {
		t.Error("still protected when it is not the feeder")
	}

	x = newExchange(t, "edge")
	d := x.neighbour("device")
	worth := func() int { return x.h.conns.GetTagInfo(d.l.peer).Value }
	x.says(news{many: true, wantsFeed: true}, d)
	if worth() != fedWorth {
		t.Errorf("who is fed is worth %d", worth())
	}
	x.says(news{many: true}, d)
	if worth() != 0 {
		t.Errorf("who is not fed is worth %d", worth())
	}
}

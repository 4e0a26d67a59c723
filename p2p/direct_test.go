package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/test/bubble"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
)

// exchange is a direct without a network: what it sends stays in the queues, and what it publishes on the topic is
// kept.
type exchange struct {
	*direct
	t       testing.TB
	got     [][]byte // delivered
	topical [][]byte // published on the topic, stamped
	missed  []crdt.NodeID
}

func newExchange(t testing.TB, tier string) *exchange {
	t.Helper()
	c := Config{Dir: "x", Name: "exchange", Tier: tier, limited: func(network.Conn) bool { return false }}
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	h := &Host{cfg: c, log: c.Logger, ctx: t.Context(), id: "self-self", member: &membership{cert: &Certificate{Tier: tier}}}
	h.gossip = &gossip{h: h, wake: make(chan struct{}, 1)}
	h.spans, h.goes = newSpans(h), &goes{}
	h.metrics = newHostMetrics(h)
	var err error
	if h.conns, err = connmgr.NewConnManager(1, 2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.conns.Close() })
	m, _ := newPushMetrics(h.metrics.gossipDropped)
	x := &exchange{direct: newDirect(h, m), t: t}
	h.direct = x.direct
	x.direct.topic = func(_ context.Context, stamped []byte) error {
		x.topical = append(x.topical, stamped)
		return nil
	}
	x.onGossip = func(_ crdt.NodeID, frame []byte) { x.got = append(x.got, frame) }
	x.onMissed = func(from crdt.NodeID) { x.missed = append(x.missed, from) }
	return x
}

// neighbour adds a proven connection whose stream is open and says nothing yet.
func (x *exchange) neighbour(tier string) *pushLink {
	id := peer.ID(fmt.Sprintf("neighbour%02d", len(x.links)))
	l := &link{h: x.h, peer: id, cert: &Certificate{Tier: tier}, ended: make(chan struct{})}
	p := newPushLink(x.direct, l)
	p.q.start(nil)
	x.change(func() { x.links[l], p.up = p, true })
	return p
}

// says has neighbours announce something, through the codec.
func (x *exchange) says(n news, from ...*pushLink) {
	x.t.Helper()
	for _, p := range from {
		if err := x.handle(p, pushNews, n.encode()); err != nil {
			x.t.Fatal(err)
		}
	}
}

// told is what a neighbour was told last.
func (x *exchange) told(p *pushLink) news {
	x.t.Helper()
	n, err := decodeNews(p.said)
	if err != nil {
		x.t.Fatal(err)
	}
	return n
}

func (x *exchange) publishes(frame string) {
	x.t.Helper()
	if err := x.publish(x.t.Context(), []byte(frame)); err != nil {
		x.t.Fatal(err)
	}
}

// receives hands over a frame as if it came from a neighbour, and returns it stamped.
func (x *exchange) receives(p *pushLink, kind byte, frame string) []byte {
	x.t.Helper()
	stamped := (&gossip{}).stamp([]byte(frame))
	if err := x.handle(p, kind, stamped); err != nil {
		x.t.Fatal(err)
	}
	return stamped
}

// wantSent checks what waits for a neighbour, and takes it.
func (x *exchange) wantSent(p *pushLink, kind byte, frames ...string) {
	x.t.Helper()
	var got []string
	for _, item := range p.q.items {
		frame, ok := unstamp(item.payload)
		if !ok || item.kind != kind {
			x.t.Errorf("%v was sent kind %d, %q; want kind %d", p.l.peer, item.kind, item.payload, kind)
		}
		got = append(got, string(frame))
	}
	if !slices.Equal(got, frames) {
		x.t.Errorf("%v was sent %q, want %q", p.l.peer, got, frames)
	}
	p.q.items, p.q.bytes = nil, 0
}

func (x *exchange) wantPublished(frames ...string) {
	x.t.Helper()
	var got []string
	for _, stamped := range x.topical {
		frame, _ := unstamp(stamped)
		got = append(got, string(frame))
	}
	if !slices.Equal(got, frames) {
		x.t.Errorf("published %q, want %q", got, frames)
	}
	x.topical = nil
}

func (x *exchange) wantDelivered(frames ...string) {
	x.t.Helper()
	var got []string
	for _, frame := range x.got {
		got = append(got, string(frame))
	}
	if !slices.Equal(got, frames) {
		x.t.Errorf("delivered %q, want %q", got, frames)
	}
	x.got = nil
}

// Few neighbours that have no others get frames directly; that holds as long as each of them says so.
func TestFewAreSentDirectly(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	x.publishes("to nobody")
	x.wantPublished()

	a, b := x.neighbour("edge"), x.neighbour("device")
	x.publishes("not heard yet")
	x.wantPublished("not heard yet")

	self := tailOf(x.h.id)
	x.says(news{reach: []tail{self, b.tail}}, a)
	x.says(news{reach: []tail{self}}, b)
	x.publishes("to both")
	x.wantPublished()
	x.wantSent(a, pushDirect, "to both")
	x.wantSent(b, pushDirect, "to both")

	x.says(news{reach: []tail{self, {1, 2, 3}}}, b)
	x.publishes("b has met someone")
	x.wantPublished("b has met someone")
	x.says(news{many: true}, b)
	x.publishes("and many more")
	x.wantPublished("and many more")

	close(b.l.ended)
	x.leave(b.l)
	x.publishes("gone, but a still sees it")
	x.wantPublished("gone, but a still sees it")
	x.says(news{reach: []tail{self}}, a)
	x.publishes("b is gone")
	x.wantSent(a, pushDirect, "b is gone")
	x.hear(a, nil)
	x.publishes("a's stream is gone")
	x.wantPublished("a's stream is gone")
}

func TestManyAreSentByTopic(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	for i := range fewMax + 1 {
		p := x.neighbour("edge")
		x.says(news{}, p)
		x.publishes("hello")
		if few := i < fewMax; few != (len(x.topical) == 0) {
			t.Errorf("with %d neighbours %d frames went by the topic", i+1, len(x.topical))
		}
		x.topical = nil
		if n := x.told(p); n.many != (i == fewMax) {
			t.Errorf("with %d neighbours: announced %+v", i+1, n)
		}
	}
}

// A frame that came by both ways is delivered once, and what this node published not at all.
func TestFramesAreDeliveredOnce(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	a, b := x.neighbour("edge"), x.neighbour("edge")
	x.says(news{many: true}, a, b)
	stamped := x.receives(a, pushDirect, "first")
	x.fromTopic(idOf(stamped), b.l.peer, stamped)
	if err := x.handle(b, pushRelay, stamped); err != nil {
		t.Fatal(err)
	}
	x.wantDelivered("first")
	x.wantPublished()

	other := (&gossip{salt: [stampSaltLen]byte{1}}).stamp([]byte("first"))
	x.fromTopic(idOf(other), b.l.peer, other)
	if err := x.handle(a, pushDirect, other); err != nil {
		t.Fatal(err)
	}
	x.wantDelivered("first") // the same frame, published anew

	x.publishes("own")
	if err := x.handle(a, pushDirect, x.topical[0]); err != nil {
		t.Fatal(err)
	}
	x.wantDelivered()
}

// What is delivered belongs to the callee: the copies that are passed on do not change with it.
func TestDeliveredFramesAreTheCallees(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	behind, in := x.neighbour("edge"), x.neighbour("edge")
	behind.limited = true
	x.says(news{many: true, wantsFeed: true}, behind)
	x.says(news{many: true}, in)
	x.receives(behind, pushRelay, "from behind")
	stamped := (&gossip{}).stamp([]byte("from topic"))
	x.fromTopic(idOf(stamped), in.l.peer, stamped)
	for _, frame := range x.got {
		clear(frame)
	}
	x.wantPublished("from behind")
	x.wantSent(behind, pushRelay, "from topic")
}

func TestBadPushFrames(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	p := x.neighbour("edge")
	for name, f := range map[string]pushItem{
		"no stamp":     {pushDirect, []byte("abc")},
		"half a stamp": {pushRelay, []byte("salt\xff")},
		"bad news":     {pushNews, []byte{0, 1}},
	} {
		if err := x.handle(p, f.kind, f.payload); !errors.Is(err, errPush) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := x.handle(p, 200, []byte("of a later version")); err != nil {
		t.Errorf("unknown frame: %v", err)
	}
	x.wantDelivered()
}

// Frames dropped on the way to a peer, here or in gossipsub's queue, end in a notice to it; its notice ends in a pull.
func TestLossBecomesNotice(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	a := x.neighbour("edge")
	x.says(news{}, a)
	for range pushQueueFrames + 1 {
		x.publishes("flood")
	}
	a.q.items, a.q.bytes = nil, 0
	b, _ := a.q.take(nil, time.Now())
	if !bytes.HasSuffix(b, appendFrame(nil, pushMissed, nil)) {
		t.Errorf("no notice in %x", b)
	}
	a.q.told = time.Time{}
	x.lost(a.l.peer)
	a.q.wantTaken(t, pushMissed)
	if err := x.handle(a, pushMissed, nil); err != nil || !slices.Equal(x.missed, []crdt.NodeID{nodeID(a.l.peer)}) {
		t.Errorf("missed %v, %v", x.missed, err)
	}
}

// What gossipsub dropped because this node was too slow ends in a pull: one for all of a while.
func TestOverrunBecomesPull(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		x := newExchange(t, "edge")
		tracer := gossipTracer{h: x.h}
		m := &pubsub.Message{ReceivedFrom: x.neighbour("edge").l.peer}
		for range 3 {
			tracer.UndeliverableMessage(m)
		}
		tracer.UndeliverableMessage(&pubsub.Message{ReceivedFrom: x.h.id}) // our own, not missed
		time.Sleep(overrunPause)
		synctest.Wait()
		if !slices.Equal(x.missed, []crdt.NodeID{nodeID(m.ReceivedFrom)}) {
			t.Errorf("pulls from %v, want one", x.missed)
		}
		tracer.UndeliverableMessage(m)
		time.Sleep(overrunPause)
		synctest.Wait()
		if len(x.missed) != 2 {
			t.Errorf("%d pulls, want another", len(x.missed))
		}
	})
}

// A message that gossipsub drops for a peer ends in a notice to that peer.
func TestTopicDropBecomesNotice(t *testing.T) {
	t.Parallel()
	x := newExchange(t, "edge")
	a, b := x.neighbour("edge"), x.neighbour("edge")
	a.q.wantTaken(t, pushNews)
	b.q.wantTaken(t, pushNews)
	rpc := &pubsub.RPC{}
	gossipTracer{h: x.h}.DropRPC(rpc, a.l.peer) // control only: nothing is missed
	a.q.wantTaken(t)
	rpc.Publish = []*pb.Message{{}}
	gossipTracer{h: x.h}.DropRPC(rpc, a.l.peer)
	a.q.wantTaken(t, pushMissed)
	b.q.wantTaken(t)
}

package p2p

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/peer"
)

// errPush: a member sent a push frame that no version of this program does.
var errPush = errors.New("malformed push frame")

// direct decides which way frames go, and sends those that do not go by the topic over push streams. The package
// documentation has the picture.
//
// What it knows of the mesh is what its neighbours announce: the neighbours that they have themselves. If those are
// all among ours, everybody whom anybody can reach is our neighbour.
type direct struct {
	h       *Host
	metrics *pushMetrics
	seen    seen
	topic   func(ctx context.Context, stamped []byte) error // publishes on it

	mu     sync.Mutex // a leaf, but for the queues' and seen's
	links  map[*link]*pushLink
	plan   plan
	feeder *pushLink // whom we, a device, asked to feed us; nil if nobody

	calls    sync.Mutex // held while a frame is delivered: one at a time
	onGossip func(from crdt.NodeID, frame []byte)
	onMissed func(from crdt.NodeID)
}

// way is how frames travel that this node publishes.
type way int

const (
	byTopic way = iota
	byStream
	byFeeder
)

// plan is which way frames go now. It changes with what neighbours there are and what they announce.
type plan struct {
	way   way
	to    []*pushLink // byStream: every neighbour; byFeeder: the feeder; byTopic: whom we feed
	feeds []*pushLink // who asked to be fed by us
	topic bool        // the topic is to be subscribed to
	leaf  bool        // we are fed, and pass nothing on: our feeder does
}

func newDirect(h *Host, m *pushMetrics) *direct {
	return &direct{
		h: h, metrics: m, links: map[*link]*pushLink{}, plan: plan{way: byStream, topic: true},
		topic:    func(ctx context.Context, stamped []byte) error { return h.gossip.topic.Publish(ctx, stamped) },
		onGossip: func(crdt.NodeID, []byte) {}, onMissed: func(crdt.NodeID) {},
	}
}

// of finds or makes the push side of a connection; nil if that has ended.
func (d *direct) of(l *link) *pushLink {
	d.mu.Lock()
	p, ok := d.links[l]
	if !ok {
		p = newPushLink(d, l)
		d.links[l] = p
	}
	d.mu.Unlock()
	if !ok && !d.h.goes.run(p.run) || l.over() {
		d.leave(l)
		return nil
	}
	return p
}

// arrive takes a proven connection into use.
func (d *direct) arrive(l *link) {
	if p := d.of(l); p != nil {
		d.change(func() { p.up = true })
	}
	if l.over() {
		d.leave(l)
	}
}

// leave takes a connection out of use. It may be called more than once.
func (d *direct) leave(l *link) {
	d.change(func() {
		if p := d.links[l]; p != nil {
			p.up, p.heard = false, false
			d.feed(p, false)
			if l.over() {
				delete(d.links, l)
			}
		}
	})
}

// hear takes in what a neighbour announces; nil: its stream has ended. It returns whether it was heard before.
func (d *direct) hear(p *pushLink, n *news) (before bool) {
	var fed bool
	d.change(func() {
		before = p.heard
		fed = n != nil && n.feeds && !p.news.feeds && p == d.feeder
		p.heard, p.news = n != nil, news{}
		if n != nil {
			p.news = *n
		}
	})
	if fed { // what was sent before it began to feed us went elsewhere
		d.onMissed(d.h.spans.node(p.l.peer))
	}
	return before
}

// change changes what is known and acts on it.
func (d *direct) change(what func()) {
	d.mu.Lock()
	what()
	d.replan()
	d.mu.Unlock()
	d.h.gossip.follow()
}

// replan is called with mu held.
func (d *direct) replan() {
	ups := d.ups()
	r := roleOf(d.h.Tier(), ups, d.feeder)
	d.favour(r, ups)
	d.plan = plan{topic: !r.leaf, leaf: r.leaf, feeds: r.feeds}
	many := len(ups) > fewMax
	var reach []tail
	for _, p := range ups {
		if !many {
			reach = append(reach, p.tail)
		}
	}
	switch {
	case len(ups) <= d.h.cfg.few && closed(ups, append(slices.Clone(reach), tailOf(d.h.id))):
		d.plan.way, d.plan.to = byStream, ups
	case r.leaf:
		d.plan.way, d.plan.to = byFeeder, []*pushLink{r.feeder}
	default:
		d.plan.way, d.plan.to = byTopic, r.feeds
	}
	for _, p := range ups {
		d.tell(p, news{wantsFeed: r.wants(p, ups), feeds: p.fed, needy: r.needy, many: many, reach: reach})
	}
}

// closed tells whether all neighbours of our neighbours are among the known ones. One that we see only through another
// neighbour is better sent to by that one: directly, each frame would go to the relay twice.
func closed(ups []*pushLink, known []tail) bool {
	for _, p := range ups {
		if !p.heard || !p.news.within(known) || p.covered(ups) {
			return false
		}
	}
	return true
}

// ups are the connections in use; few are sorted by peer, so that what is announced of them changes only if they do.
// Called with mu held.
func (d *direct) ups() (ups []*pushLink) {
	for _, p := range d.links {
		if p.up {
			ups = append(ups, p)
		}
	}
	if len(ups) <= fewMax {
		slices.SortFunc(ups, func(a, b *pushLink) int { return cmp.Compare(a.l.peer, b.l.peer) })
	}
	return ups
}

// tell announces what has changed. Called with mu held.
func (d *direct) tell(p *pushLink, n news) {
	encoded := n.encode()
	if bytes.Equal(encoded, p.said) {
		return
	}
	p.said = encoded
	p.q.announce(encoded)
}

// begin lets frames into a new stream, which an announcement opens.
func (d *direct) begin(p *pushLink) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.said == nil {
		p.said = news{many: true}.encode() // not in use yet; the next announcement says more
	}
	p.q.start(p.said)
}

// current is the plan of this moment.
func (d *direct) current() plan {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plan
}

// publish sends a frame the way that the plan says.
func (d *direct) publish(ctx context.Context, frame []byte) error {
	return d.publishTo(ctx, frame, nil)
}

// publishTo spares neighbours that do not want the frame, where it goes to each by a stream of its own and nobody passes it on. nil: all want it.
func (d *direct) publishTo(ctx context.Context, frame []byte, wanted func(crdt.NodeID) bool) error {
	if len(frame) > MaxFrameBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, len(frame), MaxFrameBytes)
	}
	stamped := d.h.gossip.stamp(frame)
	d.seen.first(idOf(stamped), time.Now())
	plan := d.current()
	if plan.way != byStream || wanted == nil {
		return d.sendBy(ctx, plan, stamped, nil)
	}
	plan.to = slices.DeleteFunc(slices.Clone(plan.to), func(p *pushLink) bool { return !wanted(d.h.spans.node(p.l.peer)) })
	return d.sendBy(ctx, plan, stamped, nil)
}

// send sends what we publish, or pass on for the neighbour it came from.
func (d *direct) send(ctx context.Context, stamped []byte, from *pushLink) error {
	return d.sendBy(ctx, d.current(), stamped, from)
}

func (d *direct) sendBy(ctx context.Context, plan plan, stamped []byte, from *pushLink) error {
	if plan.way == byStream {
		d.queue(plan.to, from, pushItem{pushDirect, stamped})
		return nil
	}
	d.queue(plan.to, from, pushItem{pushRelay, stamped})
	if plan.way == byFeeder {
		return nil
	}
	return d.topic(ctx, stamped)
}

// queue gives a frame to some neighbours, but not back to the one it came from.
func (d *direct) queue(to []*pushLink, from *pushLink, item pushItem) {
	path := pathOf(item.kind)
	for _, p := range to {
		switch {
		case p == from:
		case p.q.put(item):
			d.metrics.out(path).Inc()
		default:
			d.metrics.dropped.WithLabelValues(dropPeer).Inc()
		}
	}
}

// handle acts on one frame of a push stream.
func (d *direct) handle(p *pushLink, kind byte, payload []byte) error {
	switch kind {
	case pushNews:
		n, err := decodeNews(payload)
		if err != nil {
			return fmt.Errorf("%w: announcement: %w", errPush, err)
		}
		d.hear(p, &n)
	case pushMissed:
		d.metrics.missed.WithLabelValues("in").Inc()
		d.onMissed(d.h.spans.node(p.l.peer))
	case pushDirect, pushRelay:
		return d.take(p, kind, payload)
	}
	return nil
}

// take delivers a frame that came over a push stream, and passes it on if it is to be.
func (d *direct) take(p *pushLink, kind byte, stamped []byte) error {
	frame, ok := unstamp(stamped)
	if !ok {
		return fmt.Errorf("%w: no stamp in %d bytes", errPush, len(stamped))
	}
	path := pathOf(kind)
	d.metrics.in(path).Inc()
	if !d.seen.first(idOf(stamped), time.Now()) {
		d.metrics.duplicates(path).Inc()
		return nil
	}
	if kind == pushRelay && !d.current().leaf {
		if err := d.send(d.h.ctx, stamped, p); err != nil {
			d.h.log.Debug("p2p: frame not passed on; peers will pull", "from", p.l.peer, "err", err)
		}
		frame = bytes.Clone(frame) // the queues share the stamped one, the frame becomes the callee's
	}
	d.deliver(p.l.peer, frame)
	return nil
}

// fromTopic delivers what came by the topic, and feeds it to those who are not in it.
func (d *direct) fromTopic(id frameID, from peer.ID, stamped []byte) {
	frame, ok := unstamp(stamped)
	if !ok || !d.seen.first(id, time.Now()) {
		return
	}
	d.queue(d.current().feeds, nil, pushItem{pushRelay, stamped})
	d.deliver(from, bytes.Clone(frame)) // gossipsub's cache and the queues share the stamped one
}

// deliver gives one frame to the layer above.
func (d *direct) deliver(from peer.ID, frame []byte) {
	node := d.h.spans.node(from)
	d.calls.Lock()
	defer d.calls.Unlock()
	if d.h.ctx.Err() == nil {
		d.onGossip(node, frame)
	}
}

// lost notes that gossipsub dropped frames for a peer: it is told to pull.
func (d *direct) lost(to peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.links {
		if p.up && p.l.peer == to {
			p.q.lost()
		}
	}
}

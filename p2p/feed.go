package p2p

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// role is what a node is to its neighbours. A server is in the topic and feeds who asks: devices, and peers that it
// sees only through a relay that is no neighbour, since gossipsub would skip those. A device with a neighbour of a
// higher tier is a leaf: it leaves the topic, has that neighbour feed it, and publishes through it, so that every frame
// crosses its link once. A device among devices is in the topic as a server is; and so is one that would be a leaf, but
// has such a neighbour: else that one would hear of nothing.
type role struct {
	leaf   bool        // and the feeder has begun
	needy  bool        // a device without a neighbour of a higher tier
	feeder *pushLink   // whom to ask; nil: nobody
	feeds  []*pushLink // who asked us
}

// rankOf orders the tiers, 0 being a device.
func rankOf(tier string) int { return slices.Index(tiers, tier) }

// roleOf finds a node's role among its neighbours. It keeps the feeder for as long as that is there.
func roleOf(tier string, ups []*pushLink, feeder *pushLink) (r role) {
	if rankOf(tier) == 0 {
		r.needy = !slices.ContainsFunc(ups, func(p *pushLink) bool { return p.rank > 0 })
		r.feeder = chooseFeeder(ups, feeder)
		r.leaf = r.feeder != nil && r.feeder.news.feeds
	}
	if r.leaf {
		return r
	}
	for _, p := range ups {
		if p.asks() {
			r.feeds = append(r.feeds, p)
		}
	}
	return r
}

// Names of what the connection manager is told, and the worth of a peer that we feed: when there are too many
// connections it goes after those that nobody needs, and attaches elsewhere.
const (
	feederTag = "feeder"
	fedTag    = "fed"
	fedWorth  = 10
)

// favour notes whom we ask to feed us and whom we feed, so that those connections are not the first to be closed.
// Called with mu held.
func (d *direct) favour(r role, ups []*pushLink) {
	if d.feeder != r.feeder {
		if d.feeder != nil {
			d.h.conns.Unprotect(d.feeder.l.peer, feederTag)
		}
		if d.feeder = r.feeder; d.feeder != nil {
			d.h.conns.Protect(d.feeder.l.peer, feederTag)
		}
	}
	for _, p := range ups {
		d.feed(p, !r.leaf && p.asks())
	}
}

// asks tells whether a neighbour wants to be fed.
func (p *pushLink) asks() bool { return p.heard && p.news.wantsFeed }

// feed notes whether we feed a neighbour. Called with mu held.
func (d *direct) feed(p *pushLink, on bool) {
	switch {
	case on && !p.fed:
		d.h.conns.TagPeer(p.l.peer, fedTag, fedWorth)
	case !on && p.fed:
		d.h.conns.UntagPeer(p.l.peer, fedTag)
	}
	p.fed = on
}

// wants tells whether a neighbour is asked for its frames.
func (r role) wants(p *pushLink, ups []*pushLink) bool {
	if r.feeder != nil {
		return p == r.feeder
	}
	return p.limited && !p.covered(ups)
}

// covered tells whether the relay of a connection is our neighbour itself. It then gets our frames anyway, and passes
// them on to the other end, whose neighbour it is as well; the circuit carries pulls alone.
func (p *pushLink) covered(ups []*pushLink) bool {
	return p.relay != "" && slices.ContainsFunc(ups, func(o *pushLink) bool { return o.l.peer == p.relay && !o.limited })
}

// chooseFeeder finds who is to feed a device: a neighbour of a higher tier that speaks the protocol. The nearest is
// the best: without a relay in between, of the lowest tier, with the shortest round trip; which of equals is up to the
// device's own draw, so that many devices share many feeders.
func chooseFeeder(ups []*pushLink, now *pushLink) (best *pushLink) {
	for _, p := range ups {
		switch {
		case p.heard && p.rank == 0 && p.news.needy:
			return nil // a device among devices needs us in the topic
		case !p.heard || p.rank == 0:
		case p == now:
			best = p
		case best == nil || best != now && nearer(p, best) < 0:
			best = p
		}
	}
	return best
}

func nearer(a, b *pushLink) int {
	return cmp.Or(
		compareBool(a.limited, b.limited),
		cmp.Compare(a.rank, b.rank),
		cmp.Compare(a.distance(), b.distance()),
		cmp.Compare(a.draw, b.draw),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// distance is the round trip as a power of two of milliseconds: finer differences do not matter.
func (p *pushLink) distance() int {
	if p.l.control == nil {
		return 0
	}
	return bits.Len64(uint64(max(0, time.Duration(p.l.control.rtt.Load()).Milliseconds())))
}

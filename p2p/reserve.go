package p2p

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// relaysWanted is how many relays a node that cannot be dialled is reachable through: one may go.
	relaysWanted = 2
	// reserveTimeout is how long a relay may take to answer.
	reserveTimeout = 10 * time.Second
	// reserveRest is how long a relay is left alone that refused.
	reserveRest = 10 * time.Minute
	// renewAhead is how long before its end a reservation is renewed.
	renewAhead = 10 * time.Minute
)

// reservations keeps this node reachable through relays while nobody can dial it directly. It asks neighbours that
// offer to relay, the nearest first; what it gets goes into our signed addresses.
type reservations struct {
	h    *Host
	wake chan struct{} // room for one: a wake-up that finds one pending has nothing to add

	mu      sync.Mutex // a leaf
	held    map[*link]time.Time
	refused map[peer.ID]time.Time // until when; bounded by the neighbours that offer to relay
}

func newReservations(h *Host) *reservations {
	return &reservations{h: h, wake: make(chan struct{}, 1), held: map[*link]time.Time{}, refused: map[peer.ID]time.Time{}}
}

// kick has the loop look again: a neighbour came or went, or how we can be reached changed.
func (r *reservations) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// addrs are our addresses through the relays that have a reservation of ours, sorted.
func (r *reservations) addrs() (addrs []ma.Multiaddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.held {
		addrs = append(addrs, circuitAddr(l.peer))
	}
	slices.SortFunc(addrs, func(a, b ma.Multiaddr) int { return a.Compare(b) })
	return addrs
}

// urgent tells whether this node needs a relay, has none, and the peer may be one: then the keeper dials it although
// there are neighbours enough.
func (r *reservations) urgent(id peer.ID) bool {
	if r.holds() || r.h.reachable.public() {
		return false
	}
	m, ok := r.h.members.get(id)
	return ok && isServer(m.cert.Tier)
}

func (r *reservations) holds() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held) > 0
}

// loop runs until the host closes.
func (r *reservations) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.h.ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
		before := r.addrs()
		next := r.tend(time.Now())
		if !sameAddrs(before, r.addrs()) {
			r.h.tellContact()
		}
		timer.Reset(next)
	}
}

// tend drops what has ended, renews what is about to, and asks for what is missing. It returns when to look again.
func (r *reservations) tend(now time.Time) time.Duration {
	r.drop(now)
	if r.h.reachable.public() {
		r.release()
		return reservationTime
	}
	for _, l := range r.candidates(now) {
		if !r.wants(l, now) {
			continue
		}
		until, err := r.ask(l)
		r.note(l, now, until, err)
	}
	return r.untilNext(now)
}

func (r *reservations) drop(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l, until := range r.held {
		if l.isOver() || now.After(until) {
			r.forget(l)
		}
	}
	maps.DeleteFunc(r.refused, func(_ peer.ID, until time.Time) bool { return now.After(until) })
}

// release gives up all reservations: whoever can be dialled needs none. Their relays forget them in time.
func (r *reservations) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.held {
		r.forget(l)
	}
}

// forget is called with mu held.
func (r *reservations) forget(l *link) {
	delete(r.held, l)
	r.h.conns.Unprotect(l.peer, protectRelay)
}

const protectRelay = "relay"

// candidates are the direct neighbours that offer to relay, the nearest first.
func (r *reservations) candidates(now time.Time) []*link {
	r.mu.Lock()
	defer r.mu.Unlock()
	links := slices.DeleteFunc(r.h.spans.links(), func(l *link) bool {
		return !l.relays.Load() || isCircuit(l.conn.RemoteMultiaddr()) || now.Before(r.refused[l.peer])
	})
	slices.SortStableFunc(links, func(a, b *link) int { return cmp.Compare(a.control.rtt.Load(), b.control.rtt.Load()) })
	return links
}

func (r *reservations) wants(l *link, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, held := r.held[l]
	return held && until.Sub(now) < renewAhead || !held && len(r.held) < relaysWanted
}

// ask makes or renews one reservation.
func (r *reservations) ask(l *link) (until time.Time, err error) {
	ctx, cancel := context.WithTimeout(r.h.ctx, reserveTimeout)
	defer cancel()
	got, err := client.Reserve(network.WithNoDial(ctx, "the relay has gone"), r.h.services, peer.AddrInfo{ID: l.peer})
	if err != nil {
		return time.Time{}, err
	}
	return got.Expiration, nil
}

func (r *reservations) note(l *link, now, until time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.isOver() || r.h.ctx.Err() != nil {
		return
	}
	if err != nil {
		r.refused[l.peer] = now.Add(reserveRest)
		r.h.log.Info("p2p: a relay refused a reservation", "relay", l.peer, "name", l.cert.Name, "again", reserveRest, "err", err)
		return
	}
	if _, renewed := r.held[l]; !renewed {
		r.h.log.Info("p2p: reachable through a relay", "relay", l.peer, "name", l.cert.Name)
	}
	// Clocks differ: what the relay's says is bounded by what it is asked for.
	r.held[l] = now.Add(min(reservationTime, max(2*renewAhead, until.Sub(now))))
	r.h.conns.Protect(l.peer, protectRelay)
}

// untilNext is the time to the next renewal, or to when a relay that refused may be asked again.
func (r *reservations) untilNext(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := now.Add(reservationTime)
	for _, until := range r.held {
		if at := until.Add(-renewAhead); at.Before(next) {
			next = at
		}
	}
	for _, until := range r.refused {
		if until.Before(next) {
			next = until
		}
	}
	return max(time.Second, next.Sub(now))
}

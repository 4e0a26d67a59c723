package p2p

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// neighbours stands between spans and gossipsub, for which a peer is there or not, whatever its connections.
//
// gossipsub keeps one stream to a peer, on which it says what it subscribes to, once, at the beginning; the
// peer has another one back. When its own stream to a peer ends it forgets what the peer subscribed to, even
// if the peer has said so anew meanwhile, on a stream of its own that is in order. From then on it sends
// nothing to that peer, for ever. Three rules keep that from happening:
//
//  1. Both streams live on one connection and end together: the end of either closes the connection.
//  2. A peer's next connection is shown to gossipsub only when it has let go of the one before.
//  3. The peer's stream on a connection is handed over only when gossipsub has its own on the same one; so
//     what the peer subscribes to is heard after everything from before was forgotten.
type neighbours struct {
	h  *Host
	mu sync.Mutex // a leaf
	m  map[peer.ID]*neighbour
}

type neighbour struct {
	next  *link // proven; to be shown when held is free
	shown *link // what gossipsub sees
	held  *link // what gossipsub has its stream on
}

func newNeighbours(h *Host) *neighbours { return &neighbours{h: h, m: map[peer.ID]*neighbour{}} }

// arrive takes a proven connection; an older one of the same peer is hidden. One that a relay limits is not shown:
// gossipsub would not use it, and push streams do.
func (ns *neighbours) arrive(l *link) {
	ns.mu.Lock()
	n, ok := ns.m[l.peer]
	if !ok {
		n = &neighbour{}
		ns.m[l.peer] = n
	}
	n.next, n.shown = l, nil
	if l.limited() {
		n.next = nil
		ns.tidy(l.peer, n)
	}
	ns.mu.Unlock()
	ns.advance(l.peer)
}

// advance shows what waits, if gossipsub is ready for it.
func (ns *neighbours) advance(p peer.ID) {
	ns.mu.Lock()
	n := ns.m[p]
	if n == nil || n.held != nil || n.next == nil {
		ns.mu.Unlock()
		return
	}
	l := n.next
	n.next, n.shown = nil, l
	ns.mu.Unlock()
	if err := ns.h.view.announce(l); err != nil {
		ns.h.log.Warn("p2p: gossip did not take up a peer; connection closed", "peer", p, "err", err)
		l.conn.Close()
	}
}

// leave hides a connection that has ended.
func (ns *neighbours) leave(l *link) {
	ns.h.direct.leave(l)
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.m[l.peer]
	if n == nil {
		return
	}
	if n.next == l {
		n.next = nil
	}
	if n.shown == l {
		n.shown = nil
	}
	ns.tidy(l.peer, n)
}

// tidy is called with mu held.
func (ns *neighbours) tidy(p peer.ID, n *neighbour) {
	if *n == (neighbour{}) {
		delete(ns.m, p)
	}
}

// hold notes that gossipsub has its stream on l; false if l is no longer the one to use.
func (ns *neighbours) hold(l *link) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	n := ns.m[l.peer]
	if n == nil || n.shown != l || n.held != nil {
		return false
	}
	n.held = l
	close(l.gossips)
	return true
}

// released notes that gossipsub has let go of a peer. It is called from gossipsub's own loop, in the middle
// of that; so it takes a turn through the loop first.
func (ns *neighbours) released(p peer.ID) {
	ns.h.goes.run(func() {
		ns.h.gossip.ps.ListPeers("")
		ns.mu.Lock()
		n := ns.m[p]
		if n != nil {
			if n.shown == n.held {
				n.shown = nil
			}
			n.held = nil
			ns.tidy(p, n)
		}
		ns.mu.Unlock()
		ns.advance(p)
	})
}

// reannounceEvery is how often failed looks whether gossipsub has noticed.
const reannounceEvery = 10 * time.Millisecond

// failed notes that gossipsub could not open its stream to a peer. It will let go of the peer when it has heard
// so, in silence; a connection that was shown meanwhile has to be announced again after that.
func (ns *neighbours) failed(p peer.ID) {
	ns.h.goes.run(func() {
		tick := time.NewTicker(reannounceEvery)
		defer tick.Stop()
		for ns.waiting(p) != nil {
			if !slices.Contains(ns.h.gossip.ps.ListPeers(""), p) {
				if l := ns.waiting(p); l != nil {
					ns.h.view.announce(l)
				}
				return
			}
			select {
			case <-tick.C:
			case <-ns.h.ctx.Done():
				return
			}
		}
	})
}

// waiting is the connection that is shown and not yet in use, nil if there is none.
func (ns *neighbours) waiting(p peer.ID) *link {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if n := ns.m[p]; n != nil && n.held == nil {
		return n.shown
	}
	return nil
}

// shows is the connection under which gossipsub sees a peer, nil if it does not.
func (ns *neighbours) shows(p peer.ID) *link {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if n := ns.m[p]; n != nil {
		return n.shown
	}
	return nil
}

// shown are the peers that gossipsub sees, sorted.
func (ns *neighbours) shown() []peer.ID {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(ns.m)), func(p peer.ID) bool { return ns.m[p].shown == nil })
}

package p2p

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// span is the time during which a peer is connected, over however many connections.
type span struct {
	peer  peer.ID
	node  crdt.NodeID
	name  string
	tier  string
	since time.Time
	links []*link // proven, in the order of their proofs; never empty
}

// spans turns proven connections into "peer up" and "peer down", each exactly once per span. Changes are
// reported level-triggered: a change marks the peer, and one goroutine (deliver) compares what is with what
// it last reported. So nothing queues up behind a slow callback, and up and down of one peer alternate.
type spans struct {
	h     *Host
	mu    sync.Mutex
	m     map[peer.ID]*span
	dirty map[peer.ID]struct{}
	wake  chan struct{} // room for one: a wake-up that finds one pending has nothing to add
}

func newSpans(h *Host) *spans {
	return &spans{h: h, m: map[peer.ID]*span{}, dirty: map[peer.ID]struct{}{}, wake: make(chan struct{}, 1)}
}

// add puts a proven link under its peer's span and starts the span if it is the first. false if the
// connection has ended meanwhile.
func (ss *spans) add(l *link) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if l.gone {
		return false
	}
	s, ok := ss.m[l.peer]
	if !ok {
		s = &span{peer: l.peer, node: nodeID(l.peer), name: l.cert.Name, tier: l.cert.Tier, since: time.Now()}
		ss.m[l.peer] = s
		ss.mark(l.peer)
	}
	s.links = append(s.links, l)
	ss.doomDuplicates(s)
	return true
}

// doomDuplicates keeps one connection of those that two nodes make when they dial each other at once. Both
// sides choose alike: the one that the node with the smaller id dialled; of two with the same dialler the
// newer, because a peer that dials again has lost the older one. The others close after a grace, so that
// the other side's proof of the kept one can end first.
func (ss *spans) doomDuplicates(s *span) {
	keep := s.best()
	for _, l := range s.links {
		if l != keep && !l.doomed {
			l.doomed = true
			ss.h.goes.after(duplicateGrace, func() { ss.h.partDuplicate(l) })
		}
	}
}

// spare tells whether the peer has another connection that is to stay. If not, l is the one to keep now.
func (ss *spans) spare(l *link) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s, ok := ss.m[l.peer]; ok && slices.ContainsFunc(s.links, func(o *link) bool { return o != l && !o.doomed }) {
		return true
	}
	l.doomed = false
	return false
}

func (s *span) best() *link {
	best := s.links[0]
	for _, l := range s.links[1:] {
		if cmp.Compare(l.dialler(), best.dialler()) <= 0 {
			best = l
		}
	}
	return best
}

func (l *link) dialler() peer.ID {
	if l.outbound {
		return l.h.id
	}
	return l.peer
}

// drop ends a link; the span ends with its last one.
func (ss *spans) drop(l *link) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	l.gone = true
	s, ok := ss.m[l.peer]
	if !ok || !slices.Contains(s.links, l) {
		return
	}
	s.links = slices.DeleteFunc(s.links, func(o *link) bool { return o == l })
	if len(s.links) == 0 {
		delete(ss.m, l.peer)
		ss.mark(l.peer)
		ss.h.onSpanEnd(s)
	}
}

// mark is called with mu held.
func (ss *spans) mark(p peer.ID) {
	ss.dirty[p] = struct{}{}
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// conn is the connection to use for a new stream to the peer, nil if there is none.
func (ss *spans) conn(p peer.ID) network.Conn {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s, ok := ss.m[p]; ok {
		return s.best().conn
	}
	return nil
}

func (ss *spans) conns(p peer.ID) []network.Conn {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s, ok := ss.m[p]
	if !ok {
		return nil
	}
	conns := make([]network.Conn, len(s.links))
	for i, l := range s.links {
		conns[i] = l.conn
	}
	return conns
}

func (ss *spans) connected(p peer.ID) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.m[p] != nil
}

func (ss *spans) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.m)
}

// peers are the connected ones, sorted.
func (ss *spans) peers() []peer.ID {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return slices.Sorted(maps.Keys(ss.m))
}

// node is the peer's id in text, without encoding it anew for every gossip message.
func (ss *spans) node(p peer.ID) crdt.NodeID {
	ss.mu.Lock()
	s, ok := ss.m[p]
	ss.mu.Unlock()
	if ok {
		return s.node
	}
	return nodeID(p)
}

// links are the proven connections to use, one per peer, sorted by peer.
func (ss *spans) links() []*link {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	links := make([]*link, 0, len(ss.m))
	for _, p := range slices.Sorted(maps.Keys(ss.m)) {
		links = append(links, ss.m[p].best())
	}
	return links
}

func nodeID(p peer.ID) crdt.NodeID { return crdt.NodeID(p.String()) }

// onPeerFunc is the callback of Serve.
type onPeerFunc func(peer crdt.NodeID, name, tier string, up bool)

// deliver reports changes until the host closes. It is the only caller of onPeer.
func (ss *spans) deliver(onPeer onPeerFunc) {
	reported := map[peer.ID]*span{}
	for {
		select {
		case <-ss.h.ctx.Done():
			return
		case <-ss.wake:
		}
		for _, change := range ss.changes() {
			was, is := reported[change.peer], change.now
			if was == is {
				continue
			}
			if was != nil {
				onPeer(was.node, was.name, was.tier, false)
				delete(reported, change.peer)
			}
			if is != nil {
				onPeer(is.node, is.name, is.tier, true)
				reported[change.peer] = is
			}
		}
	}
}

type spanChange struct {
	peer peer.ID
	now  *span
}

func (ss *spans) changes() []spanChange {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	changes := make([]spanChange, 0, len(ss.dirty))
	for _, p := range slices.Sorted(maps.Keys(ss.dirty)) {
		changes = append(changes, spanChange{p, ss.m[p]})
	}
	clear(ss.dirty)
	return changes
}

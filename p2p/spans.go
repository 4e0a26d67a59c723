package p2p

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// span is the time during which a peer is connected: one proven connection. When a newer one takes its place,
// one span ends and another begins, because the peer has lost what was on the old one.
type span struct {
	node  crdt.NodeID
	name  string
	tier  string
	since time.Time
	link  *link
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

// add begins a span with a proven link, and ends the one before. false if the connection has ended
// meanwhile.
func (ss *spans) add(l *link) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if l.gone {
		return false
	}
	if old, ok := ss.m[l.peer]; ok {
		ss.end(old)
		old.link.conn.Close()
	}
	// The connection manager hears of proven connections only: strangers must not be able to have members'
	// connections closed by making many.
	l.managed = true
	ss.h.conns.Notifee().Connected(ss.h.net, l.conn)
	ss.m[l.peer] = &span{node: nodeID(l.peer), name: l.cert.Name, tier: l.cert.Tier, since: time.Now(), link: l}
	ss.mark(l.peer)
	return true
}

// drop ends a link, and its span if there is one.
func (ss *spans) drop(l *link) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	l.gone = true
	if l.managed {
		l.managed = false
		ss.h.conns.Notifee().Disconnected(ss.h.net, l.conn)
	}
	if s, ok := ss.m[l.peer]; ok && s.link == l {
		ss.end(s)
	}
}

// end is called with mu held.
func (ss *spans) end(s *span) {
	delete(ss.m, s.link.peer)
	ss.mark(s.link.peer)
	ss.h.onSpanEnd(s)
}

// mark is called with mu held.
func (ss *spans) mark(p peer.ID) {
	ss.dirty[p] = struct{}{}
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// conn is the connection to a peer, nil if there is none.
func (ss *spans) conn(p peer.ID) network.Conn {
	if l, _, ok := ss.current(p); ok {
		return l.conn
	}
	return nil
}

// current is the link to a peer, and since when.
func (ss *spans) current(p peer.ID) (l *link, since time.Time, ok bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s, ok := ss.m[p]
	if !ok {
		return nil, time.Time{}, false
	}
	return s.link, s.since, true
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

// links are the proven connections, sorted by peer.
func (ss *spans) links() []*link {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	links := make([]*link, 0, len(ss.m))
	for _, p := range slices.Sorted(maps.Keys(ss.m)) {
		links = append(links, ss.m[p].link)
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

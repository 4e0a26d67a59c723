package fabric

import (
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// acquaintance is a member that this node is, or was, connected to.
type acquaintance struct {
	name, tier string
	up         bool
	heard      time.Time // when something came from it last
}

// met is what a Transport may tell of members that were connected before this process began; p2p keeps them on disk. last is
// zero for one that never was.
type met interface {
	Met(fn func(id crdt.NodeID, name, tier string, last time.Time))
}

// acquaintances lists all members that were ever connected, as far as is known. Now and then is often enough: it takes
// time in proportion to them.
func (f *Fabric) acquaintances() map[crdt.NodeID]acquaintance {
	out := map[crdt.NodeID]acquaintance{}
	if t, ok := f.cfg.Transport.(met); ok {
		t.Met(func(id crdt.NodeID, name, tier string, last time.Time) {
			out[id] = acquaintance{name: name, tier: tier, heard: last}
		})
	}
	m := f.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.peers {
		out[id] = p.acquaintance()
	}
	return out
}

func (f *Fabric) acquaintance(id crdt.NodeID) (acquaintance, bool) {
	k, ok := f.acquaintances()[id]
	return k, ok
}

// acquaintance needs mesh.mu.
func (p *peer) acquaintance() acquaintance {
	return acquaintance{name: p.name, tier: p.tier, up: p.cancel != nil, heard: time.UnixMilli(p.heard.Load())}
}

// hear notes that something came from the peer.
func (p *peer) hear(at time.Time) { p.heard.Store(at.UnixMilli()) }

// upSince tells since when a peer is connected.
func (m *mesh) upSince(id crdt.NodeID) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	if p == nil || p.cancel == nil {
		return time.Time{}, false
	}
	return p.since, true
}

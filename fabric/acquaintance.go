package fabric

import (
	"maps"
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

// metFor is how long what the Transport told of members is taken for true. Those that come meanwhile are known by themselves.
const metFor = time.Minute

// metBefore gives what the Transport remembers.
func (f *Fabric) metBefore() map[crdt.NodeID]acquaintance {
	f.metMu.Lock()
	defer f.metMu.Unlock()
	now := f.cfg.Now()
	if t, ok := f.cfg.Transport.(met); ok && (f.met == nil || now.Sub(f.metAt) >= metFor || now.Before(f.metAt)) {
		f.met, f.metAt = map[crdt.NodeID]acquaintance{}, now
		t.Met(func(id crdt.NodeID, name, tier string, last time.Time) {
			f.met[id] = acquaintance{name: name, tier: tier, heard: last}
		})
	}
	return maps.Clone(f.met)
}

// acquaintances lists all members that were ever connected, as far as is known. It takes time in proportion to them.
func (f *Fabric) acquaintances() map[crdt.NodeID]acquaintance {
	out := f.metBefore()
	if out == nil {
		out = map[crdt.NodeID]acquaintance{}
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

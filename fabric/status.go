package fabric

import (
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// RegionStatus is what one replica holds and how far its peers are.
type RegionStatus struct {
	Name    string                 `json:"name"`
	Ack     Ack                    `json:"ack"`
	Entries int                    `json:"entries"`
	Bytes   int64                  `json:"bytes"` // keys and values, without indexes and causal metadata
	Ghosts  int                    `json:"ghosts"`
	Digest  string                 `json:"digest"` // equal on replicas with equal contexts
	Context crdt.Context           `json:"context"`
	Gaps    bool                   `json:"gaps"` // writes are known to be missing here
	Lag     map[crdt.NodeID]Lag    `json:"lag"`
	Floors  map[crdt.Origin]uint64 `json:"floors,omitempty"`
	Stats   crdt.Stats             `json:"stats"`
}

// Lag is how far a peer was behind, and ahead, when it was last heard of.
type Lag struct {
	Writes  uint64 `json:"writes"`  // ours that it lacked
	Missing uint64 `json:"missing"` // its that we lack
	AgeMS   int64  `json:"age_ms"`  // since it was heard of; -1 never
	Up      bool   `json:"connected"`
}

// Regions lists the regions that are in use: the default one, those that were created, and those that hold
// something.
func (f *Fabric) Regions() []RegionStatus {
	out := []RegionStatus{}
	for _, r := range f.all() {
		if r.inUse() {
			out = append(out, r.status())
		}
	}
	return out
}

// RegionStatus gives one region's status. Error: ErrNoRegion.
func (f *Fabric) RegionStatus(name string) (RegionStatus, error) {
	f.mu.RLock()
	r := f.byName[name]
	f.mu.RUnlock()
	if r == nil || !r.inUse() {
		return RegionStatus{}, fmt.Errorf("%w: %q", ErrNoRegion, name)
	}
	return r.status(), nil
}

func (r *Region) inUse() bool {
	if r.system {
		return false
	}
	if r.name == DefaultRegion || r.declared.Load() {
		return true
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.Entries() > 0
}

func (r *Region) status() RegionStatus {
	r.mu.RLock()
	s := RegionStatus{
		Name: r.name, Ack: r.Ack(), Entries: r.core.Entries(), Bytes: r.core.Bytes(), Ghosts: r.core.Ghosts(),
		Digest: fmt.Sprintf("%016x", r.core.Digest()), Context: r.core.Context(), Gaps: r.core.Gaps(),
		Lag: map[crdt.NodeID]Lag{}, Floors: map[crdt.Origin]uint64{}, Stats: r.core.Stats(),
	}
	for id, seq := range r.core.Floors() {
		s.Floors[id] = uint64(seq)
	}
	r.f.mesh.lags(r, &s, r.f.cfg.Now())
	r.mu.RUnlock()
	return s
}

// lags fills in how far each peer is. The caller holds the region's lock.
func (m *mesh) lags(r *Region, s *RegionStatus, now time.Time) {
	m.mu.Lock()
	peers := make(map[*peer]bool, len(m.peers))
	for _, p := range m.peers {
		peers[p] = p.cancel != nil
	}
	m.mu.Unlock()
	for p, up := range peers {
		k, ok := p.knows(r)
		lag := Lag{Writes: k.context.Missing(s.Context), Missing: s.Context.Missing(k.context), AgeMS: -1, Up: up}
		if ok {
			lag.AgeMS = now.Sub(k.at).Milliseconds()
		}
		s.Lag[p.id] = lag
	}
}

// SyncStats counts what pushes and pulls did since Open.
type SyncStats struct {
	PeersUp      int         `json:"peers_up"`
	PushFrames   uint64      `json:"push_frames"`
	PushBytes    uint64      `json:"push_bytes"`
	PushSkipped  uint64      `json:"push_skipped"` // left to pulls
	Pulls        uint64      `json:"pulls"`
	PullRounds   uint64      `json:"pull_round_trips"`
	PullChunks   uint64      `json:"pull_chunks"`
	PullBytes    uint64      `json:"pull_bytes"`
	ServedBytes  uint64      `json:"served_bytes"`
	PullFailures uint64      `json:"pull_failures"`
	PullsPutOff  uint64      `json:"pulls_put_off"`       // told by a busy peer to come back later
	Gate         GateStats   `json:"gate"`                // pulls by peers
	LastPull     *PullReport `json:"last_pull,omitempty"` // the last one that brought something
}

// SyncStats gives the counters.
func (f *Fabric) SyncStats() SyncStats {
	m, p := f.mesh, f.pushes
	return SyncStats{
		PeersUp: int(m.up.Load()), PushFrames: p.frames.Load(), PushBytes: p.bytes.Load(), PushSkipped: p.skipped.Load(),
		Pulls: m.pulls.Load(), PullRounds: m.rounds.Load(), PullChunks: m.chunks.Load(), PullBytes: m.pulledBytes.Load(),
		ServedBytes: m.servedBytes.Load(), PullFailures: m.failures.Load(), PullsPutOff: m.putOff.Load(), Gate: m.gate.stats(), LastPull: m.lastPull.Load(),
	}
}

package fabric

import (
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// RegionStatus is what one replica holds and how far its peers are.
type RegionStatus struct {
	At          time.Time              `json:"at"`
	Name        string                 `json:"name"`
	Ack         Ack                    `json:"ack"`
	Consistency Consistency            `json:"consistency"`
	Placement   string                 `json:"placement"`         // everywhere, demand or pinned: where copies are to be,
	MinCopies   int                    `json:"min_copies"`        // how many at least,
	Tiers       []string               `json:"tiers,omitempty"`   // at which tiers; none: all
	Labels      map[string]string      `json:"labels,omitempty"`  // and of nodes with which labels
	Holders     []Holder               `json:"holders"`           // by name
	Held        bool                   `json:"held"`              // this node has a copy; without one what follows is of an empty one
	QueueWrites bool                   `json:"queue_writes"`      // a node without one that reaches no holder keeps writes until it does;
	Queued      int                    `json:"queued_writes"`     // so many wait at this one
	Loading     bool                   `json:"loading,omitempty"` // reads are refused until a large pull is complete
	Entries     int                    `json:"entries"`
	Bytes       int64                  `json:"bytes"` // keys and values, without indexes and causal metadata
	Memory      RegionMemory           `json:"memory"`
	Ghosts      int                    `json:"ghosts"`
	Away        int                    `json:"values_on_disk"`       // alone: they left memory, and are read back when they are asked for
	AwayBytes   int64                  `json:"values_on_disk_bytes"` // of Bytes
	Digest      string                 `json:"digest"`               // equal on replicas with equal contexts
	Context     crdt.Context           `json:"context"`
	Writers     []Writer               `json:"writers"` // the origins in Context that are of running incarnations,
	Ended       Ended                  `json:"ended"`   // and the others
	Gaps        bool                   `json:"gaps"`    // writes are known to be missing here
	Lag         map[crdt.NodeID]Lag    `json:"lag"`     // without retired members that are away
	Complete    Completeness           `json:"complete"`
	Floors      map[crdt.Origin]uint64 `json:"floors,omitempty"`
	Stats       crdt.Stats             `json:"stats"`
}

// RegionMemory is what a region takes of this node's memory, and what it may.
type RegionMemory struct {
	Held     int64    `json:"held_bytes"` // by its own account: records, indexes, causal metadata, ghosts
	Priority Priority `json:"priority"`
	Quota    int64    `json:"quota_bytes"`       // 0: none
	Reserve  int64    `json:"reserve_bytes"`     // that nodes are to keep for it; 0: none
	Granted  int64    `json:"granted_bytes"`     // that this one keeps
	Full     bool     `json:"quota_full"`        // it takes no writes because of its quota
	Refused  uint64   `json:"refused_writes"`    // for lack of memory or quota, since the node started
	Refuses  string   `json:"refuses,omitempty"` // why writes are refused now
}

func (r *Region) memoryNow() RegionMemory {
	t := r.terms()
	m := RegionMemory{
		Held: r.held.Load(), Priority: r.Priority(), Quota: t.quota, Reserve: t.reserve, Granted: r.granted.Load(),
		Full: r.full() != nil, Refused: r.refused.Load(),
	}
	if err := r.short(); err != nil {
		m.Refuses = err.Error()
	}
	return m
}

// Lag is how far a peer was behind, and ahead, when it was last heard of.
type Lag struct {
	Writes   uint64 `json:"writes"`    // seen here that it lacked
	Bytes    uint64 `json:"bytes"`     // what they come to: Writes times the mean size of a value and its key here
	Missing  uint64 `json:"missing"`   // seen there that we lack
	BehindMS int64  `json:"behind_ms"` // age of the oldest write that it lacked, or more where that is not known; 0: none
	AgeMS    int64  `json:"age_ms"`    // since it was heard of; -1 never
	Up       bool   `json:"connected"`
}

// Regions lists the regions that are in use: the default one, those that were created, and those that hold
// something.
func (f *Fabric) Regions() []RegionStatus { return f.regionsAt(f.look()) }

func (f *Fabric) regionsAt(o *outlook) []RegionStatus {
	out := []RegionStatus{}
	for _, r := range f.all() {
		if r.inUse() {
			out = append(out, r.statusAt(o))
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

func (r *Region) status() RegionStatus { return r.statusAt(r.f.look()) }

func (r *Region) statusAt(o *outlook) RegionStatus {
	placed, holders := r.Placement(), o.holdersOf(r) // before the lock: the catalogue has one of its own
	queued, _ := r.Queued()
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := RegionStatus{
		At: o.now.UTC(), Name: r.name, Ack: r.Ack(), Consistency: r.Consistency(), Held: r.Held(), Loading: r.core.Loading(), Entries: r.core.Entries(), Bytes: r.core.Bytes(), Memory: r.memoryNow(), Ghosts: r.core.Ghosts(),
		Digest: fmt.Sprintf("%016x", r.core.Digest()), Context: r.core.Context(), Gaps: r.core.Gaps(),
		Placement: placed.Kind, MinCopies: placed.MinCopies, Tiers: placed.Tiers, Labels: placed.Labels, Holders: holders, QueueWrites: r.QueuesWrites(), Queued: queued,
		Lag: map[crdt.NodeID]Lag{}, Floors: map[crdt.Origin]uint64{}, Stats: r.core.Stats(),
	}
	s.Away, s.AwayBytes = r.core.AwayValues()
	for id, seq := range r.core.Floors() {
		s.Floors[id] = uint64(seq)
	}
	o.prove(r, &s)
	o.split(&s)
	return s
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
	SavedBytes   uint64      `json:"pull_saved_bytes"` // that compression kept from the links, of our pulls
	ServedBytes  uint64      `json:"served_bytes"`
	PullFailures uint64      `json:"pull_failures"`
	PushesMissed uint64      `json:"pushes_missed"`       // times that a peer could not hand over all of its frames: left to a pull
	PullsPutOff  uint64      `json:"pulls_put_off"`       // told by a busy peer to come back later
	Gate         GateStats   `json:"gate"`                // pulls by peers
	LastPull     *PullReport `json:"last_pull,omitempty"` // the last one that brought something
	// Pulling lists the regions that pulls are bringing now.
	Pulling []PullProgress `json:"pulling,omitempty"`
}

// SyncStats gives the counters.
func (f *Fabric) SyncStats() SyncStats {
	m, p := f.mesh, f.pushes
	return SyncStats{
		PeersUp: int(m.up.Load()), PushFrames: p.frames.Load(), PushBytes: p.bytes.Load(), PushSkipped: p.skipped.Load(),
		Pulls: m.pulls.Load(), PullRounds: m.rounds.Load(), PullChunks: m.chunks.Load(), PullBytes: m.pulledBytes.Load(),
		SavedBytes: m.savedBytes.Load(), ServedBytes: m.servedBytes.Load(), PullFailures: m.failures.Load(), PushesMissed: m.missed.Load(), PullsPutOff: m.putOff.Load(), Gate: m.gate.stats(), LastPull: m.lastPull.Load(),
		Pulling: m.tasks.running(f.cfg.Now()),
	}
}

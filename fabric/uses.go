package fabric

import (
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
	policy "github.com/edgemem/edgemem/tiers/place"
)

// uses keeps account of who uses a region that need not be everywhere: what decides where its copies are to be.
type uses struct {
	mu     sync.Mutex
	demand policy.Demand
}

// usedBy is where the region's use is counted, nil for one of the fabric's own and for one that is everywhere.
func (r *Region) usedBy() *uses {
	if p := r.placed.Load(); r.system || p == nil || p.everywhere() {
		return nil
	}
	if u := r.uses.Load(); u != nil {
		return u
	}
	r.uses.CompareAndSwap(nil, &uses{})
	return r.uses.Load()
}

// noteUse counts one operation that this node's copy answered for a consumer, by the bytes that were asked for or written.
func (r *Region) noteUse(consumer crdt.NodeID, write bool, bytes int) {
	u := r.usedBy()
	if u == nil {
		return
	}
	use := policy.Use{Consumer: consumer, Reads: 1, ReadBytes: int64(bytes)}
	if write {
		use = policy.Use{Consumer: consumer, Writes: 1, Written: int64(bytes)}
	}
	u.note(use, r.f.cfg.Now())
}

func (u *uses) note(use policy.Use, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.demand.Note(use, 0, now)
}

// Consumer is how much a node uses a region of late, with a half-life of 5 minutes.
type Consumer struct {
	ID     crdt.NodeID `json:"id"`
	Reads  float64     `json:"reads_per_second"`
	Writes float64     `json:"writes_per_second"`
}

// Consumers lists the nodes for which this node's copy answers, the busiest first; none of a region that is everywhere.
func (r *Region) Consumers() []Consumer {
	u := r.uses.Load()
	if u == nil {
		return []Consumer{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	out := []Consumer{}
	for _, c := range u.demand.Consumers(r.f.cfg.Now()) {
		out = append(out, Consumer{c.ID, c.Reads, c.Writes})
	}
	return out
}

package fabric

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/edgemem/edgemem/crdt"
	policy "github.com/edgemem/edgemem/tiers/place"
)

// uses keeps account of who uses a region that need not be everywhere: what decides where its copies are to be. What others ask of this node's
// copy is counted as it is answered; what this node does with it in lanes that readers do not share, and is summed up once a second (tally).
type uses struct {
	lanes  atomic.Pointer[[lanesEach]lane] // nil: this node never read it
	writes atomic.Uint64                   // transactions of this node and of those for whom it answers,
	bytes  atomic.Uint64                   // and what they gave the pusher to send, folded as it sends it

	mu     sync.Mutex
	demand policy.Demand
	news   bool // something is in demand that tally has not given yet
	served policy.Use
	had    struct{ reads, writes, bytes uint64 } // as of the last tally
	debt   int64                                 // reads that were answered for others and not counted here yet
}

// lane counts reads of some of the goroutines that read.
type lane struct {
	reads atomic.Uint64
	_     [seatBytes - unsafe.Sizeof(atomic.Uint64{})]byte
}

const lanesEach = 8 // 1 KiB for each region that is read

// usedBy is where the region's use is counted, nil for one of the fabric's own and for one that is everywhere.
func (r *Region) usedBy() *uses {
	if p := r.placed.Load(); r.system || p == nil || p.everywhere() || r.f.cfg.Transport == nil {
		return nil
	}
	if u := r.uses.Load(); u != nil {
		return u
	}
	r.uses.CompareAndSwap(nil, &uses{})
	return r.uses.Load()
}

// countUses begins to keep account, or ends it, as the placement asks for.
func (r *Region) countUses() {
	if r.usedBy() == nil {
		r.uses.Store(nil)
	}
}

// looked counts a read of this node's copy.
func (u *uses) looked() {
	lanes := u.lanes.Load()
	if lanes == nil {
		u.lanes.CompareAndSwap(nil, &[lanesEach]lane{})
		lanes = u.lanes.Load()
	}
	var here byte // as seats.mine
	h := uint64(uintptr(unsafe.Pointer(&here))>>stackLeastLog) * 0x9e3779b97f4a7c15
	lanes[h>>32%lanesEach].reads.Add(1)
}

// wrote counts a transaction, and what other holders are to be sent because of it.
func (u *uses) wrote(bytes int) {
	u.writes.Add(1)
	u.bytes.Add(uint64(max(1, bytes)))
}

func (u *uses) reads() (n uint64) {
	if lanes := u.lanes.Load(); lanes != nil {
		for i := range lanes {
			n += lanes[i].reads.Load()
		}
	}
	return n
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
	u.mu.Lock()
	defer u.mu.Unlock()
	u.served.Reads += use.Reads
	u.served.Writes += use.Writes
	u.note(use, r.f.cfg.Now())
}

// note counts use. The caller holds mu.
func (u *uses) note(use policy.Use, now time.Time) {
	u.demand.Note(use, 0, now)
	u.news = true
}

// tally gives what was done with the region since the last call, by consumer. A transaction or a view of this node counts as one operation, a view by the
// mean size of an entry. What was answered for others counts as theirs: each of their requests as one of the views, so that a request of
// many commands that alternate between reads and writes counts a little for this node, too. saved are reads of this node itself.
func (r *Region) tally(now time.Time) (out []policy.Use, saved uint64) {
	u := r.uses.Load()
	if u == nil {
		return nil, 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	reads, writes, bytes := u.reads(), u.writes.Load(), u.bytes.Load()
	if reads != u.had.reads || writes != u.had.writes {
		self := policy.Use{Consumer: r.f.cfg.Node}
		self.Reads = int64(reads-u.had.reads) - u.served.Reads - u.debt
		u.debt = max(0, -self.Reads)
		self.Reads = max(0, self.Reads)
		all := int64(writes - u.had.writes)
		self.Writes = max(0, all-u.served.Writes)
		if self.Reads > 0 {
			self.ReadBytes = self.Reads * r.meanBytes()
		}
		if all > 0 {
			self.Written = int64(float64(bytes-u.had.bytes) * float64(self.Writes) / float64(all))
		}
		u.had.reads, u.had.writes, u.had.bytes = reads, writes, bytes
		u.served = policy.Use{}
		if self.Reads+self.Writes > 0 {
			saved = uint64(self.Reads)
			u.note(self, now)
		}
	}
	if !u.news {
		return nil, 0
	}
	u.news = false
	return u.demand.Take(), saved
}

// meanBytes is the mean size of a key and its value, at least 1. It takes the region's lock, for reading.
func (r *Region) meanBytes() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return max(1, r.core.Bytes()/int64(max(1, r.core.Entries())))
}

// Consumer is how much a node uses a region of late, with a half-life of 5 minutes.
type Consumer struct {
	ID     crdt.NodeID `json:"id"`
	Reads  float64     `json:"reads_per_second"`
	Writes float64     `json:"writes_per_second"`
}

// Consumers lists the nodes that this node's copy serves, itself included, the busiest first; none of a region that is everywhere. Where this node
// decides on the region's copies, those are in it whom other holders serve.
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
	return slices.Clip(out)
}

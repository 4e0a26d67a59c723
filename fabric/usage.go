package fabric

import (
	"cmp"
	"context"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// RegionUsage says what a replica is made of, in memory and on disk.
type RegionUsage struct {
	Name        string           `json:"name"`
	System      bool             `json:"system,omitempty"` // of the fabric's own
	Entries     int              `json:"entries"`
	ValueBytes  int64            `json:"value_bytes"` // keys and values of all that is live, as users gave them, wherever they are
	Away        int              `json:"away"`        // values that are not in memory as they are, but on disk or packed
	AwayBytes   int64            `json:"away_bytes"`  // of them
	Ghosts      int              `json:"ghosts"`
	Origins     int              `json:"origins"` // in the causal context
	Memory      crdt.Footprint   `json:"memory"`
	Slots       []crdt.SlotClass `json:"slots,omitempty"` // by size; of one region alone
	ByOrigin    []OriginUsage    `json:"by_origin"`       // those that hold most, up to originsShown
	Rest        RestUsage        `json:"by_other_origins"`
	DiskBytes   int64            `json:"disk_bytes"` // newest versions; filled in by who knows the disk
	DiskRecords int              `json:"disk_records"`
}

// OriginUsage is what of a replica one origin wrote.
type OriginUsage struct {
	Origin crdt.Origin `json:"origin"`
	Node   crdt.NodeID `json:"node,omitempty"` // that writes as it, where that is known
	Live   int         `json:"live"`           // values
	Bytes  int64       `json:"bytes"`          // of them
	Ghosts int         `json:"ghosts"`
}

// RestUsage is what the origins wrote that are not listed.
type RestUsage struct {
	Origins int   `json:"origins"`
	Live    int   `json:"live"`
	Bytes   int64 `json:"bytes"`
	Ghosts  int   `json:"ghosts"`
}

const (
	// originsShown is how many origins of a region are told of.
	originsShown = 8
	// usageStep is how many cells are counted under one lock, for which writers of the region wait.
	usageStep = 4096
)

// Usage takes stock of all replicas, a bounded part under each lock: while a region is written its sums are of different instants.
// Error: the context's.
func (f *Fabric) Usage(ctx context.Context) ([]RegionUsage, error) {
	writers := f.roster.writers()
	var out []RegionUsage
	for _, r := range f.all() {
		if !r.system && !r.inUse() {
			continue
		}
		u, err := r.usage(ctx, writers)
		if err != nil {
			return nil, err
		}
		u.Slots = nil // RegionUsage tells them
		out = append(out, u)
	}
	return out, nil
}

// RegionUsage takes stock of one replica, in the same way. Errors: ErrNoRegion, the context's.
func (f *Fabric) RegionUsage(ctx context.Context, name string) (RegionUsage, error) {
	if _, err := f.RegionStatus(name); err != nil {
		return RegionUsage{}, err
	}
	r, err := f.Region(name)
	if err != nil {
		return RegionUsage{}, err
	}
	return r.usage(ctx, f.roster.writers())
}

func (r *Region) usage(ctx context.Context, writers map[crdt.Origin]crdt.NodeID) (RegionUsage, error) {
	by := map[crdt.Origin]*crdt.Tally{}
	for p := (crdt.Place{}); !p.Over(); {
		if err := ctx.Err(); err != nil {
			return RegionUsage{}, err
		}
		r.mu.RLock()
		p = r.core.TallyFrom(p, usageStep, by)
		r.mu.RUnlock()
	}
	r.mu.RLock()
	u := totals(r.core)
	r.mu.RUnlock()
	u.System = r.system
	u.split(by)
	for i := range u.ByOrigin {
		u.ByOrigin[i].Node = writers[u.ByOrigin[i].Origin]
	}
	return u, nil
}

// Measure takes stock of one replica that nobody else uses.
func Measure(core *crdt.Region) RegionUsage {
	by := map[crdt.Origin]*crdt.Tally{}
	for p := (crdt.Place{}); !p.Over(); {
		p = core.TallyFrom(p, usageStep, by)
	}
	u := totals(core)
	u.Slots = nil
	u.split(by)
	return u
}

func totals(core *crdt.Region) RegionUsage {
	return RegionUsage{
		Name: core.Name(), Entries: core.Entries(), ValueBytes: core.Bytes(), Ghosts: core.Ghosts(), Origins: len(core.Context()),
		Memory: core.Memory(), Slots: core.SlotClasses(),
	}
}

// split tells what each origin wrote.
func (u *RegionUsage) split(by map[crdt.Origin]*crdt.Tally) {
	u.ByOrigin = make([]OriginUsage, 0, len(by))
	for o, t := range by {
		u.ByOrigin = append(u.ByOrigin, OriginUsage{Origin: o, Live: t.Live, Bytes: t.Bytes, Ghosts: t.Ghosts})
		u.Away += t.Away
		u.AwayBytes += t.AwayBytes
	}
	slices.SortFunc(u.ByOrigin, func(a, b OriginUsage) int {
		return cmp.Or(-cmp.Compare(a.Bytes, b.Bytes), -cmp.Compare(a.Ghosts, b.Ghosts), slices.Compare(a.Origin[:], b.Origin[:]))
	})
	shown := min(len(u.ByOrigin), originsShown)
	for _, o := range u.ByOrigin[shown:] {
		u.Rest.Origins++
		u.Rest.Live += o.Live
		u.Rest.Bytes += o.Bytes
		u.Rest.Ghosts += o.Ghosts
	}
	u.ByOrigin = u.ByOrigin[:shown]
}

// PoolStatus is what lies between the regions and the system: chunks that the system gave, and what is in them.
type PoolStatus struct {
	Mapped    int64 `json:"mapped_bytes"`    // by the system
	Used      int64 `json:"used_bytes"`      // slots that regions have
	Rounding  int64 `json:"rounding_bytes"`  // of those, more than was asked for
	Slabs     int64 `json:"slab_free_bytes"` // free slots in slabs that have others in use
	Free      int64 `json:"free_bytes"`      // chunks and parts of them that no slab has
	Discarded int64 `json:"discarded_bytes"` // of those, without memory behind them
}

// Pools tells it.
func (f *Fabric) Pools() PoolStatus {
	s := f.heap.Stats()
	return PoolStatus{
		Mapped: s.Mapped, Used: s.Total.Used, Rounding: s.Total.Used - s.Total.Requested, Slabs: s.Total.Reserved - s.Total.Used,
		Free: s.Free, Discarded: s.Discarded,
	}
}

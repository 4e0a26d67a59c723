package fabric

import (
	"cmp"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

// RegionUsage says what a replica is made of, in memory.
type RegionUsage struct {
	Name        string         `json:"name"`
	System      bool           `json:"system,omitempty"` // of the fabric's own
	Entries     int            `json:"entries"`
	ValueBytes  int64          `json:"value_bytes"` // keys and values of all that is live, as users gave them
	Ghosts      int            `json:"ghosts"`
	Origins     int            `json:"origins"` // in the causal context
	Memory      crdt.Footprint `json:"memory"`
	ByOrigin    []OriginUsage  `json:"by_origin"`  // those that hold most, up to originsShown
	DiskBytes   int64          `json:"disk_bytes"` // newest versions; filled in by who knows the disk
	DiskRecords int            `json:"disk_records"`
}

// OriginUsage is what of a replica one origin wrote.
type OriginUsage struct {
	Origin crdt.Origin `json:"origin"`
	Node   crdt.NodeID `json:"node,omitempty"` // that writes as it, where that is known
	Live   int         `json:"live"`           // values
	Bytes  int64       `json:"bytes"`          // of them
	Ghosts int         `json:"ghosts"`
}

// originsShown is how many origins of a region are told of.
const originsShown = 8

// Usage takes stock of all replicas, with each one's lock for reading in turn: writers of a region wait while its entries are counted.
func (f *Fabric) Usage() []RegionUsage {
	writers := f.roster.writers()
	var out []RegionUsage
	for _, r := range f.all() {
		r.mu.RLock()
		u := Measure(r.core)
		r.mu.RUnlock()
		u.System = r.system
		for i := range u.ByOrigin {
			u.ByOrigin[i].Node = writers[u.ByOrigin[i].Origin]
		}
		if r.system || r.inUse() {
			out = append(out, u)
		}
	}
	return out
}

// Measure takes stock of one replica.
func Measure(core *crdt.Region) RegionUsage {
	u := RegionUsage{
		Name: core.Name(), Entries: core.Entries(), ValueBytes: core.Bytes(), Ghosts: core.Ghosts(), Origins: len(core.Context()), Memory: core.Memory(),
	}
	by := map[crdt.Origin]*OriginUsage{}
	core.EachTip(func(t crdt.Tip) {
		o := by[t.Dot.Origin]
		if o == nil {
			o = &OriginUsage{Origin: t.Dot.Origin}
			by[t.Dot.Origin] = o
		}
		if t.Tag == crdt.TagRemove {
			o.Ghosts++
			return
		}
		o.Live++
		o.Bytes += int64(len(t.Key) + len(t.Sub) + len(t.Value))
	})
	for _, o := range by {
		u.ByOrigin = append(u.ByOrigin, *o)
	}
	slices.SortFunc(u.ByOrigin, func(a, b OriginUsage) int {
		return cmp.Or(-cmp.Compare(a.Bytes, b.Bytes), -cmp.Compare(a.Ghosts, b.Ghosts), slices.Compare(a.Origin[:], b.Origin[:]))
	})
	u.ByOrigin = u.ByOrigin[:min(len(u.ByOrigin), originsShown)]
	return u
}

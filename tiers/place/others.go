package place

import (
	"cmp"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Static never moves a copy: what the policy is to be better than.
type Static struct{}

// Step decides nothing.
func (Static) Step(Observation, time.Time) []Decision { return nil }

// Replicate gives every node that may hold a region a copy, and leaves it there.
type Replicate struct{}

// Step decides for each node that has no copy.
func (Replicate) Step(o Observation, _ time.Time) (out []Decision) {
	holds := holderSet(o)
	if len(holds) >= len(o.Nodes.list) {
		return nil
	}
	for _, n := range o.Nodes.list {
		if !holds[n.ID] && o.Spec.allows(&n) && n.Lost.IsZero() && (n.Room < 0 || n.Room >= o.Bytes) {
			out = append(out, Decision{Kind: Promote, Rule: RuleEverywhere, Region: o.Region, Node: n.ID})
		}
	}
	return out
}

// LRU is a cache at the edge: the first node on a reader's way outward that may hold a region takes a copy as soon as the region is read
// through it, and when its room is used up the region that was not read for the longest time leaves.
type LRU struct {
	room  int64
	nodes map[crdt.NodeID]*lruNode
}

type lruNode struct {
	used    int64
	regions map[string]lruEntry
}

type lruEntry struct {
	bytes int64
	read  time.Time
}

// NewLRU makes caches of so many bytes each.
func NewLRU(room int64) *LRU { return &LRU{room: room, nodes: map[crdt.NodeID]*lruNode{}} }

// Step fills caches. Evictions are of other regions than the one observed.
func (l *LRU) Step(o Observation, now time.Time) (out []Decision) {
	holds := holderSet(o)
	for _, u := range o.Use {
		if u.Reads <= 0 {
			continue
		}
		i := slices.IndexFunc(o.Nodes.route(u.Consumer), o.Spec.allows)
		if i < 0 {
			continue
		}
		n := o.Nodes.route(u.Consumer)[i]
		c := l.nodes[n.ID]
		if c == nil {
			c = &lruNode{regions: map[string]lruEntry{}}
			l.nodes[n.ID] = c
		}
		_, cached := c.regions[o.Region]
		if !cached && (holds[n.ID] || o.Bytes > l.room) {
			continue // a copy that is not the cache's, or larger than it
		}
		if !cached {
			c.used += o.Bytes
			out = append(out, Decision{Kind: Promote, Rule: RuleCache, Region: o.Region, Node: n.ID})
			holds[n.ID] = true
		}
		c.regions[o.Region] = lruEntry{o.Bytes, now}
		out = append(out, c.shrink(l.room, n.ID)...)
	}
	return out
}

func (c *lruNode) shrink(room int64, id crdt.NodeID) (out []Decision) {
	for c.used > room {
		names := sortedKeys(c.regions)
		oldest := slices.MinFunc(names, func(a, b string) int {
			return cmp.Or(c.regions[a].read.Compare(c.regions[b].read), cmp.Compare(a, b))
		})
		c.used -= c.regions[oldest].bytes
		delete(c.regions, oldest)
		out = append(out, Decision{Kind: Demote, Rule: RuleCache, Region: oldest, Node: id})
	}
	return out
}

func holderSet(o Observation) map[crdt.NodeID]bool {
	holds := make(map[crdt.NodeID]bool, len(o.Holders))
	for _, h := range o.Holders {
		holds[h.Node] = true
	}
	return holds
}

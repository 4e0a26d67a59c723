package place

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// Node is what is known of a node.
type Node struct {
	ID     crdt.NodeID
	Tier   tiers.Tier
	Zone   string // what fails together; empty: a zone of its own
	Labels map[string]string
	// Upstream is the next node outward, by Link; empty: there is none.
	Upstream crdt.NodeID
	Link     Link
	// Room is how many bytes the region may take there, by quota and budget. Negative: no limit.
	Room     int64
	Pressure pressure.Level
	// Lost is since when it is not reached; zero: it is.
	Lost time.Time
}

// Holder is a node with a copy.
type Holder struct {
	Node crdt.NodeID
	// Durable and Complete are proved: the copy is on disk, and its digest and context are not behind what any other holder wrote.
	Durable, Complete bool
}

// Use is what one consumer did with the region since the last observation.
type Use struct {
	Consumer           crdt.NodeID
	Reads, Writes      int64
	ReadBytes, Written int64
}

// Observation is what is known of a region at an instant.
type Observation struct {
	Region  string
	Bytes   int64 // that a copy takes
	Spec    Spec
	Weights Weights
	Nodes   *Nodes
	Holders []Holder
	Moving  int // promotions and demotions that have begun and not ended
	Use     []Use
}

// Nodes are the nodes that are known, with their routes outward. They are shared between the observations of many regions.
type Nodes struct {
	list   []Node // by id
	routes [][]*Node
	at     map[crdt.NodeID]int
}

// NewNodes takes over a list. Of two nodes with one id the later counts.
func NewNodes(list []Node) *Nodes {
	all := &Nodes{at: make(map[crdt.NodeID]int, len(list))}
	byID := make(map[crdt.NodeID]Node, len(list))
	for _, n := range list {
		byID[n.ID] = n
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		all.at[id] = len(all.list)
		all.list = append(all.list, byID[id])
	}
	for i := range all.list {
		all.routes = append(all.routes, all.follow(&all.list[i]))
	}
	return all
}

// Get finds a node.
func (all *Nodes) Get(id crdt.NodeID) (Node, bool) {
	if i, ok := all.at[id]; ok {
		return all.list[i], true
	}
	return Node{}, false
}

// hopsMax bounds a route: upstreams that lead in a circle end there.
const hopsMax = 16

// follow gives a node and those above it, nearest first.
func (all *Nodes) follow(n *Node) []*Node {
	out := []*Node{n}
	for len(out) < hopsMax && n.Upstream != "" {
		i, ok := all.at[n.Upstream]
		if !ok {
			break
		}
		n = &all.list[i]
		out = append(out, n)
	}
	return out
}

// route is what follow gives for a node that is known, and nothing else.
func (all *Nodes) route(id crdt.NodeID) []*Node {
	if i, ok := all.at[id]; ok {
		return all.routes[i]
	}
	return nil
}

// depth is how many nodes are on a node's route.
func (all *Nodes) depth(id crdt.NodeID) int { return len(all.route(id)) }

// hop is the way from a node to the nearest one above it that accepts, and which that is; false: there is none.
func (all *Nodes) hop(n Node, accept func(Node) bool) (to Node, way Link, ok bool) {
	way = n.Link
	for _, up := range all.route(n.Upstream) {
		if accept(*up) {
			return *up, way, true
		}
		way = way.over(up.Link)
	}
	return Node{}, Link{}, false
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	return slices.SortedFunc(maps.Keys(m), func(a, b K) int { return strings.Compare(string(a), string(b)) })
}

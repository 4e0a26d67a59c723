package place

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/place"
)

// perTier is how many nodes each tier has: cloud c00–c99, edge e00–e99, device d00–d99.
const perTier = 100

const root crdt.NodeID = "c00"

func cloudAt(i int) crdt.NodeID  { return nodeAt("c", i) }
func edgeAt(i int) crdt.NodeID   { return nodeAt("e", i) }
func deviceAt(i int) crdt.NodeID { return nodeAt("d", i) }

func nodeAt(tier string, i int) crdt.NodeID { return crdt.NodeID(fmt.Sprintf("%s%02d", tier, i)) }

// The links, by what they lie between.
var (
	siteLink   = place.Link{RTT: 40 * time.Millisecond, Bandwidth: 500e6, Money: 0.02}
	rackLink   = place.Link{RTT: time.Millisecond, Bandwidth: 1e9}
	edgeLink   = place.Link{RTT: 15 * time.Millisecond, Bandwidth: 100e6, Money: 0.05}
	deviceLink = place.Link{RTT: 2 * time.Millisecond, Bandwidth: 20e6, Money: 0.1, Energy: 0.5}
)

// tree is the world of a run.
type tree struct {
	list  map[crdt.NodeID]place.Node
	nodes *place.Nodes
	rate  map[crdt.NodeID]float64       // what a byte costs over the hop above a node, with the usual weights
	up    map[crdt.NodeID][]crdt.NodeID // routes outward, without the root
}

func newTree() *tree {
	t := &tree{list: map[crdt.NodeID]place.Node{}, rate: map[crdt.NodeID]float64{}}
	for i := range perTier {
		site := cloudAt(i / 10 * 10)
		cloud := place.Node{ID: cloudAt(i), Tier: tiers.Cloud, Room: -1, Upstream: site, Link: rackLink}
		switch {
		case i == 0:
			cloud.Upstream = ""
		case cloud.ID == site:
			cloud.Upstream, cloud.Link = root, siteLink
		}
		t.add(cloud)
		t.add(place.Node{ID: edgeAt(i), Tier: tiers.Edge, Room: -1, Upstream: site, Link: edgeLink})
		t.add(place.Node{ID: deviceAt(i), Tier: tiers.Device, Room: -1, Upstream: edgeAt(i), Link: deviceLink})
	}
	t.settle()
	return t
}

func (t *tree) add(n place.Node) {
	t.list[n.ID] = n
	t.rate[n.ID] = place.UsualWeights.Transfer(n.Link, 1<<30) / (1 << 30)
}

// move puts a device under another edge. The caller settles.
func (t *tree) move(device, edge crdt.NodeID) {
	n := t.list[device]
	n.Upstream = edge
	t.add(n)
}

func (t *tree) settle() {
	t.nodes = place.NewNodes(slices.Collect(maps.Values(t.list)))
	t.up = make(map[crdt.NodeID][]crdt.NodeID, len(t.list))
	for id := range t.list { // each by itself
		var route []crdt.NodeID
		for at := id; t.list[at].Upstream != ""; at = t.list[at].Upstream {
			route = append(route, at)
		}
		t.up[id] = route
	}
}

func (t *tree) link(id crdt.NodeID) place.Link { return t.list[id].Link }

// holders are the nodes with a copy, the root apart, which always has one.
type holders map[crdt.NodeID]bool

// toCopy lists the hops from a node outward to the first copy.
func (t *tree) toCopy(id crdt.NodeID, h holders) []crdt.NodeID {
	route := t.up[id]
	for i, at := range route {
		if h[at] {
			return route[:i]
		}
	}
	return route
}

// feed is the hops that have a copy behind them, and what a byte to all of them costs.
type feed struct {
	hops map[crdt.NodeID]bool
	rate float64
}

func (t *tree) feed(h holders) feed {
	f := feed{hops: map[crdt.NodeID]bool{}}
	for id := range h { // a union
		for _, at := range t.up[id] {
			f.hops[at] = true
		}
	}
	for _, at := range sortedIDs(f.hops) { // in order: sums of floats depend on it
		f.rate += t.rate[at]
	}
	return f
}

// use is what a step's use costs with these holders.
func (t *tree) use(h holders, f feed, use []place.Use) (reads, writes float64) {
	for _, u := range use {
		if u.Reads > 0 {
			for _, at := range t.toCopy(u.Consumer, h) {
				reads += place.UsualWeights.Access(t.link(at), u.Reads, u.ReadBytes)
			}
		}
		rate := f.rate
		for _, at := range t.up[u.Consumer] {
			if !f.hops[at] {
				rate += t.rate[at]
			}
		}
		writes += float64(u.Written) * rate
	}
	return reads, writes
}

// gain is what it costs to give a node a copy.
func (t *tree) gain(h holders, id crdt.NodeID, bytes int64) (cost float64) {
	for _, at := range t.toCopy(id, h) {
		cost += place.UsualWeights.Move(t.link(at), bytes)
	}
	return cost
}

// depth orders nodes from the root inward.
func (t *tree) depth(id crdt.NodeID) int { return len(t.up[id]) }

func itoa(n int) string { return strconv.Itoa(n) }

package place

import (
	"cmp"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/place"
)

// Cost is what a run came to.
type Cost struct {
	Reads, Writes, Moved float64
	Gained, Dropped      int
	PerHour              int // most moves of one region that began within an hour
	Warm                 bool
	Right, Wrong         int           // warm-ups
	Hops                 int           // of devices
	First                time.Duration // mean round trip of the first read after one
}

// Total is all of it.
func (c Cost) Total() float64 { return c.Reads + c.Writes + c.Moved }

// run is a chooser in a world.
type run struct {
	tree    *tree
	trace   *Trace
	chooser place.Chooser
	warm    *place.Mobility
	state   []regionState
	index   map[string]int            // of regions, by name
	fresh   map[crdt.NodeID]bool      // devices that have not read since they moved
	stays   map[crdt.NodeID]place.Use // what a device reads in a stay, decayed
	stay    map[crdt.NodeID]place.Use // what it has read in this one
	waited  time.Duration
	now     time.Time
	cost    Cost
}

type regionState struct {
	holders holders
	list    []place.Holder // the same, and the root
	feed    feed
	moves   []time.Time // within the hour
}

// start is when every run begins.
var start = time.UnixMilli(1_700_000_000_000)

// play runs a trace. warm may be nil.
func play(tr *Trace, chooser place.Chooser, warm *place.Mobility) Cost {
	r := &run{
		tree: newTree(), trace: tr, chooser: chooser, warm: warm, state: make([]regionState, len(tr.Regions)), index: map[string]int{},
		fresh: map[crdt.NodeID]bool{}, stays: map[crdt.NodeID]place.Use{}, stay: map[crdt.NodeID]place.Use{},
	}
	for i := range r.state {
		r.state[i].holders = holders{}
		r.state[i].told()
		r.index[tr.Regions[i].Name] = i
	}
	for i, s := range tr.Steps {
		r.now = start.Add(time.Duration(i) * tr.Every)
		r.step(s)
	}
	if r.cost.Hops > 0 {
		r.cost.First = r.waited / time.Duration(r.cost.Hops)
	}
	if warm != nil {
		r.cost.Warm = true
		r.cost.Right, r.cost.Wrong, _ = warm.Score()
	}
	return r.cost
}

func (r *run) step(s Step) {
	r.travel(s.Moves)
	for _, region := range byRegion(s.Use) {
		i, use := region[0].Region, make([]place.Use, len(region))
		for k, u := range region {
			use[k] = u.Use
			r.arrive(i, u.Use)
		}
		st := &r.state[i]
		reads, writes := r.tree.use(st.holders, st.feed, use)
		r.cost.Reads, r.cost.Writes = r.cost.Reads+reads, r.cost.Writes+writes
		o := r.observe(i, use)
		r.apply(r.chooser.Step(o, r.now))
		r.expect(i, use)
	}
}

// byRegion groups uses, in the order of regions.
func byRegion(use []RegionUse) (out [][]RegionUse) {
	sorted := slices.SortedStableFunc(slices.Values(use), func(a, b RegionUse) int { return cmp.Compare(a.Region, b.Region) })
	for len(sorted) > 0 {
		n := slices.IndexFunc(sorted, func(u RegionUse) bool { return u.Region != sorted[0].Region })
		if n < 0 {
			n = len(sorted)
		}
		out, sorted = append(out, sorted[:n]), sorted[n:]
	}
	return out
}

func (r *run) observe(i int, use []place.Use) place.Observation {
	region := r.trace.Regions[i]
	return place.Observation{
		Region: region.Name, Bytes: region.Bytes, Weights: place.UsualWeights, Nodes: r.tree.nodes, Use: use,
		Spec:    place.Spec{Placement: place.OnDemand, Tiers: region.Tiers, Pins: []crdt.NodeID{root}},
		Holders: r.state[i].list,
	}
}

// told makes the list of holders that choosers see.
func (st *regionState) told() {
	st.list = []place.Holder{{Node: root, Durable: true, Complete: true}}
	for _, id := range sortedIDs(st.holders) {
		st.list = append(st.list, place.Holder{Node: id, Durable: true, Complete: true})
	}
}

// apply makes moves: copies are gained from the outermost inward.
func (r *run) apply(ds []place.Decision) {
	slices.SortStableFunc(ds, func(a, b place.Decision) int { return cmp.Compare(r.tree.depth(a.Node), r.tree.depth(b.Node)) })
	changed := map[*regionState]bool{}
	for _, d := range ds {
		i, ok := r.index[d.Region]
		if st := &r.state[i]; ok && d.Kind != place.None && d.Node != root && r.move(i, d) {
			changed[st] = true
			r.count(st)
		}
	}
	for st := range changed { // each by itself
		st.feed = r.tree.feed(st.holders)
		st.told()
	}
}

// move reports whether a decision changes something.
func (r *run) move(i int, d place.Decision) bool {
	h, gains := r.state[i].holders, d.Kind != place.Demote
	if gains == h[d.Node] {
		return false
	}
	if !gains {
		r.cost.Dropped++
		delete(h, d.Node)
		return true
	}
	r.cost.Moved += r.tree.gain(h, d.Node, r.trace.Regions[i].Bytes)
	r.cost.Gained++
	h[d.Node] = true
	return true
}

func (r *run) count(st *regionState) {
	st.moves = slices.DeleteFunc(append(st.moves, r.now), func(at time.Time) bool { return r.now.Sub(at) >= time.Hour })
	r.cost.PerHour = max(r.cost.PerHour, len(st.moves))
}

// travel moves devices, and what was warmed in vain goes.
func (r *run) travel(trips []Trip) {
	for _, t := range trips {
		r.tree.move(t.Device, t.Edge)
		r.fresh[t.Device] = true
		usual, last := r.stays[t.Device], r.stay[t.Device]
		r.stays[t.Device] = place.Use{Reads: (usual.Reads + last.Reads) / 2, ReadBytes: (usual.ReadBytes + last.ReadBytes) / 2}
		delete(r.stay, t.Device)
		if r.warm == nil {
			continue
		}
		for _, d := range r.warm.Moved(t.Device, t.Edge, r.now) {
			r.chooser.(*place.Policy).Settle(d.Region, d.Node, d.Kind == place.Promote)
			r.apply([]place.Decision{d})
		}
	}
	if len(trips) > 0 {
		r.tree.settle()
	}
}

// arrive notes how long the first read of a device at a new edge takes.
func (r *run) arrive(i int, u place.Use) {
	if u.Reads == 0 || !r.fresh[u.Consumer] {
		return
	}
	delete(r.fresh, u.Consumer)
	r.cost.Hops++
	for _, at := range r.tree.toCopy(u.Consumer, r.state[i].holders) {
		r.waited += r.tree.link(at).RTT
	}
}

// expect warms a copy where a device may go next: what a stay is worth there is what the last ones were.
func (r *run) expect(i int, use []place.Use) {
	for _, u := range use {
		if r.warm == nil || u.Reads == 0 || r.tree.list[u.Consumer].Tier != tiers.Device {
			continue
		}
		stay := r.stay[u.Consumer]
		stay.Reads, stay.ReadBytes = stay.Reads+u.Reads, stay.ReadBytes+u.ReadBytes
		r.stay[u.Consumer] = stay
		for _, d := range r.warm.Warm(r.observe(i, nil), u.Consumer, r.stays[u.Consumer], r.now) {
			r.chooser.(*place.Policy).Expect(d.Region, d.Node)
			r.apply([]place.Decision{d})
		}
	}
}

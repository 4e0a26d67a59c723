package fabric

import (
	"cmp"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	policy "github.com/edgemem/edgemem/tiers/place"
)

// What a decider observes. The policy thinks of a tree of nodes; here it hangs from the region's home, the holder that is farthest from the
// consumers by tier, the one with the least id among equals: what is outermost by the nodes' own word, and is not the home, comes below it. So a region that
// was created at an edge goes to the cloud before it goes to other edges, and one on nodes of one tier goes straight to where it is used.

// world is what the decider knows of the nodes at one moment.
type world struct {
	now   time.Time
	able  map[crdt.NodeID]bool
	nodes []policy.Node // by id, with the way outward that each says itself
	names map[crdt.NodeID]string
}

// world takes stock. It takes time in proportion to the members.
func (d *decider) world(able map[crdt.NodeID]bool, now time.Time) *world {
	f := d.f
	o := f.look()
	f.roster.mu.Lock()
	own := f.roster.own().link
	f.roster.mu.Unlock()
	w := &world{now: now, able: able, names: map[crdt.NodeID]string{f.cfg.Node: f.cfg.Name}}
	w.add(f.cfg.Node, f.cfg.Tier, f.cfg.Labels, own, time.Time{})
	for i := range o.members {
		m := &o.members[i]
		if m.retired() {
			continue
		}
		lost := time.Time{}
		if !m.met.up {
			if lost = m.heard(); lost.IsZero() {
				lost = f.began
			}
		}
		var labels map[string]string
		var link *linkNote
		if m.record != nil {
			labels, link = m.record.labels, m.record.link
		}
		w.names[m.id] = m.name
		w.add(m.id, m.tier, labels, link, lost)
	}
	slices.SortFunc(w.nodes, func(a, b policy.Node) int { return cmp.Compare(a.ID, b.ID) })
	return w
}

// tierOf ranks a tier's name, the nearest to the consumer least.
func tierOf(name string) int {
	t, err := tiers.Parse(name)
	if err != nil {
		return 0 // of a newer version
	}
	return int(t)
}

func (w *world) add(id crdt.NodeID, tier string, labels map[string]string, link *linkNote, lost time.Time) {
	t, err := tiers.Parse(tier)
	if err != nil { // of a newer version
		t = tiers.Device
	}
	n := policy.Node{ID: id, Tier: t, Zone: labels["zone"], Labels: labels, Link: link.cost(labels), Room: -1, Lost: lost}
	if link != nil {
		n.Upstream = link.up
	}
	w.nodes = append(w.nodes, n)
}

// home is the node from which the tree hangs: a holder that is reached and may hold the region, if there is one.
func (w *world) home(spec *policy.Spec, holds map[crdt.NodeID]bool) (home crdt.NodeID) {
	rank := func(n *policy.Node) int {
		score := int(n.Tier)
		if _, ok := spec.Allows(*n); ok {
			score += 100
		}
		if n.Lost.IsZero() {
			score += 200
		}
		return score
	}
	best := -1
	for i := range w.nodes { // by id: the first of equals stays
		if n := &w.nodes[i]; holds[n.ID] && rank(n) > best {
			home, best = n.ID, rank(n)
		}
	}
	return home
}

// hang gives the nodes as a tree below the home.
func (w *world) hang(home crdt.NodeID) []policy.Node {
	out := slices.Clone(w.nodes)
	at := make(map[crdt.NodeID]int, len(out))
	for i := range out {
		at[out[i].ID] = i
	}
	i, ok := at[home]
	if !ok {
		return out
	}
	toHome := policy.Link{} // from where the home's own way outward ends
	for n, hops := i, 0; ; hops++ {
		j, ok := at[out[n].Upstream]
		if !ok || hops == hopsMax {
			break
		}
		toHome = addLinks(toHome, out[n].Link)
		n = j
	}
	out[i].Upstream = ""
	for j := range out {
		n := &out[j]
		if _, ok := at[n.Upstream]; ok || j == i {
			continue
		}
		n.Upstream = home
		if toHome.RTT > n.Link.RTT {
			n.Link = toHome
		}
	}
	return out
}

func addLinks(a, b policy.Link) policy.Link {
	sum := policy.Link{RTT: a.RTT + b.RTT, Money: a.Money + b.Money, Energy: a.Energy + b.Energy, Bandwidth: b.Bandwidth}
	if a.Bandwidth > 0 {
		sum.Bandwidth = min(a.Bandwidth, b.Bandwidth)
	}
	return sum
}

// spec is what the catalogue asks for, in the terms of the policy.
func (p *Placement) spec() policy.Spec {
	s := policy.Spec{MinCopies: p.MinCopies, Labels: p.Labels}
	s.Placement, _ = policy.ParsePlacement(p.Kind) // what is not known is everywhere
	for _, name := range p.Tiers {
		if t, err := tiers.Parse(name); err == nil {
			s.Tiers = append(s.Tiers, t)
		}
	}
	return s
}

// observe gives what is known of a region. The caller holds mu of the decider.
func (d *decider) observe(r *Region, g *ruling, w *world, placed Placement) policy.Observation {
	spec := placed.spec()
	holds := map[crdt.NodeID]bool{}
	for id := range g.seen {
		holds[id] = true
	}
	o := policy.Observation{Region: r.name, Bytes: r.held.Load() + moveBytes, Spec: spec, Weights: policy.UsualWeights}
	for id, m := range g.moves {
		if m.ended.IsZero() {
			o.Moving++
		}
		if m.d.Kind == policy.Demote {
			delete(holds, id)
		} else {
			holds[id] = true
		}
	}
	nodes := w.hang(w.home(&spec, holds))
	for i := range nodes {
		n := &nodes[i]
		n.Pressure = d.pressureOf(n.ID, w.now)
		rests := g.refused[n.ID] != nil && w.now.Before(g.refused[n.ID].until)
		if rests {
			n.Room = 0
		}
		if !holds[n.ID] && !w.able[n.ID] && n.Lost.IsZero() {
			n.Lost = w.now // it takes none
		}
		if holds[n.ID] {
			proved := w.able[n.ID] && g.seen[n.ID]
			if (rests || !w.able[n.ID]) && n.Lost.IsZero() { // it gives none up, or not yet
				o.Spec.Pins = append(o.Spec.Pins, n.ID)
			}
			o.Holders = append(o.Holders, policy.Holder{Node: n.ID, Durable: proved, Complete: proved}) // GiveCopy has it proved
		}
	}
	slices.SortFunc(o.Holders, func(a, b policy.Holder) int { return cmp.Compare(a.Node, b.Node) })
	o.Nodes = policy.NewNodes(nodes)
	return o
}

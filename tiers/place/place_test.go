package place

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/pressure"
)

var start = time.UnixMilli(1_700_000_000_000)

// chain is a cloud, two edges under it in zones of their own, and a device under each; hops cost 1 for a MiB to move, next to nothing else.
func chain() []Node {
	link := Link{Bandwidth: mib}
	return []Node{
		{ID: "cloud", Tier: tiers.Cloud, Zone: "c", Room: -1},
		{ID: "edge1", Tier: tiers.Edge, Zone: "e1", Room: -1, Upstream: "cloud", Link: link},
		{ID: "edge2", Tier: tiers.Edge, Zone: "e2", Room: -1, Upstream: "cloud", Link: link},
		{ID: "dev1", Tier: tiers.Device, Room: -1, Upstream: "edge1", Link: link},
		{ID: "dev2", Tier: tiers.Device, Room: -1, Upstream: "edge2", Link: link},
	}
}

func observe(nodes []Node, holders ...crdt.NodeID) Observation {
	o := Observation{Region: "r", Bytes: mib, Spec: Spec{Placement: OnDemand}, Weights: Weights{Bandwidth: 1, Reliability: 1}, Nodes: NewNodes(nodes)}
	for _, id := range holders {
		o.Holders = append(o.Holders, Holder{Node: id, Durable: true, Complete: true})
	}
	return o
}

func moves(ds []Decision) (out []string) {
	for _, d := range ds {
		if d.Kind != None {
			out = append(out, fmt.Sprint(d.Kind, " ", d.Node, " ", d.Rule))
		}
	}
	return out
}

func reads(id crdt.NodeID, bytes int64) []Use {
	return []Use{{Consumer: id, Reads: 1, ReadBytes: bytes}}
}

func writes(id crdt.NodeID, bytes int64) []Use {
	return []Use{{Consumer: id, Writes: 1, Written: bytes}}
}

// TestRentPaysForTheMove: reads of as many bytes as the region has bring it to the edge and the device, writes of as many take it away.
func TestRentPaysForTheMove(t *testing.T) {
	t.Parallel()
	p := New(Config{Steady: true})
	o := observe(chain(), "cloud")
	expect := func(use []Use, want ...string) {
		t.Helper()
		o.Use = use
		if got := moves(p.Step(o, start)); !slices.Equal(got, want) {
			t.Fatalf("moves %q, want %q", got, want)
		}
	}
	expect(reads("dev1", mib*3/4))
	expect(reads("dev1", mib/4), "promote edge1 rent-or-buy")
	o.Holders = observe(nil, "cloud", "edge1").Holders
	expect(nil, "promote dev1 rent-or-buy") // a copy comes from the node above
	o.Holders = observe(nil, "cloud", "edge1", "dev1").Holders
	expect(nil)
	expect(writes("dev1", 10*mib)) // its own writes go outward in any case
	expect(writes("edge1", mib), "demote dev1 rent-or-buy")
	o.Holders = observe(nil, "cloud", "edge1").Holders
	expect(writes("cloud", mib/2))
	expect(writes("cloud", mib/2), "demote edge1 rent-or-buy")
}

// TestMeterIsTwiceTheOptimum plays sequences that adversaries would choose on one hop, for all thresholds, and compares the mean with the
// exact optimum.
func TestMeterIsTwiceTheOptimum(t *testing.T) {
	t.Parallel()
	const grain, draws = 200, 400 // steps in which the cost of a move is paid, thresholds
	turn := func(up, down int) (out []float64) {
		return slices.Concat(slices.Repeat([]float64{1. / grain}, up), slices.Repeat([]float64{-1. / grain}, down))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]float64, 20_000)
	for i := range noise {
		noise[i] = float64(rnd.IntN(3)-1) / grain
	}
	for name, steps := range map[string][]float64{
		"stops when it has paid":   turn(grain, 0),
		"stops at a third":         turn(grain/3, 0),
		"to and fro":               slices.Repeat(turn(grain, grain), 20),
		"to and fro by a half":     slices.Repeat(turn(grain/2, grain/2), 40),
		"in small steps":           slices.Repeat(turn(2, 1), 2_000),
		"around the middle":        slices.Concat(turn(grain/2, 0), slices.Repeat(turn(10, 10), 300)),
		"at random":                noise,
		"much more reads":          slices.Repeat(turn(3*grain, grain/2), 20),
		"more writes":              slices.Repeat(turn(grain, 3*grain), 20),
		"one read, and much later": turn(1, 3*grain),
	} {
		mean := 0.0
		for i := range draws {
			u := Meter(float64(i)+0.5) / draws
			mean += play(thresholds{u, u}, steps) / draws
		}
		best := optimum(steps)
		if limit := 2*best + 2./grain*float64(len(steps))/grain; mean > limit {
			t.Errorf("%s: mean cost %.3f, optimum %.3f: ratio %.3f", name, mean, best, mean/best)
		}
		if steady := play(thresholds{gain: 1}, steps); steady > 3*best+1 {
			t.Errorf("%s: steady cost %.3f, optimum %.3f", name, steady, best)
		}
	}
}

// play is what a meter pays; steps above 0 are rent, below upkeep, in moves.
func play(at thresholds, steps []float64) (cost float64) {
	var m Meter
	held := false
	for _, x := range steps {
		if held {
			cost += max(0, -x)
		} else {
			cost += max(0, x)
		}
		m.add(x, 1)
		if wants := at.wants(m, held); wants != held {
			if held = wants; held {
				cost++
			}
		}
	}
	return cost
}

// optimum is the exact one, by dynamic programming over both states.
func optimum(steps []float64) float64 {
	out, in := 0.0, 1.0
	for _, x := range steps {
		out, in = min(out, in)+max(0, x), min(in, out+1)+max(0, -x)
	}
	return min(out, in)
}

func TestDrawsAreEvenAndNest(t *testing.T) {
	t.Parallel()
	var below [10]int
	for i := range 10_000 {
		at := draw(Config{Seed: 7}, fmt.Sprint("region", i))
		if at.gain <= 0 || at.gain > 1 || at.gain != at.drop {
			t.Fatalf("thresholds %v", at)
		}
		below[min(9, int(at.gain*10))]++
	}
	for i, n := range below {
		if n < 850 || n > 1150 {
			t.Errorf("%d of 10,000 draws in tenth %d", n, i)
		}
	}
	if a, b := draw(Config{Seed: 1}, "r"), draw(Config{Seed: 2}, "r"); a == b {
		t.Error("the seed changes nothing")
	}
	if at := draw(Config{Seed: 1, Band: 0.2}, "r"); at.gain-at.drop < 0.1 {
		t.Errorf("band: %v", at)
	}
}

// TestConstraintsAreHard: each row wants a move that is not to be.
func TestConstraintsAreHard(t *testing.T) {
	t.Parallel()
	hot, cold := reads("dev1", 100*mib), writes("cloud", 100*mib)
	for _, c := range []struct {
		name    string
		change  func(o *Observation, nodes []Node)
		use     []Use
		holders []crdt.NodeID
		want    []string
		hinders string
	}{
		{"tier", func(o *Observation, _ []Node) { o.Spec.Tiers = []tiers.Tier{tiers.Cloud, tiers.Edge} }, hot, []crdt.NodeID{"cloud"},
			[]string{"promote edge1 rent-or-buy"}, ""},
		{"label", func(o *Observation, n []Node) {
			o.Spec.Labels = map[string]string{"country": "de"}
			n[0].Labels, n[3].Labels = o.Spec.Labels, o.Spec.Labels
		}, hot, []crdt.NodeID{"cloud"}, []string{"promote dev1 rent-or-buy"}, ""},
		{"room", func(_ *Observation, n []Node) { n[1].Room = mib - 1 }, hot, []crdt.NodeID{"cloud"}, nil, "room for 1048575 bytes"},
		{"pressure", func(_ *Observation, n []Node) { n[1].Pressure = pressure.Demote }, hot, []crdt.NodeID{"cloud"}, nil, "memory is short"},
		{"minimum", func(o *Observation, _ []Node) { o.Spec.MinCopies = 2 }, cold, []crdt.NodeID{"cloud", "edge1"}, nil, "1 copies would be left of 2"},
		{"copy at a tier", func(o *Observation, _ []Node) { o.Spec.CopyAt = tiers.Edge }, cold, []crdt.NodeID{"cloud", "edge1"}, nil, "no copy would be left at tier edge"},
		{"proof", func(o *Observation, _ []Node) { o.Holders[0].Complete = false }, cold, []crdt.NodeID{"cloud", "edge1"}, nil, "no other durable holder"},
		{"lost", func(_ *Observation, n []Node) { n[2].Lost = start }, writes("cloud", 0), []crdt.NodeID{"edge1", "edge2"}, nil, ""},
		{"pin", func(o *Observation, _ []Node) { o.Spec.Pins = []crdt.NodeID{"edge1"} }, cold, []crdt.NodeID{"cloud", "edge1"}, nil, ""},
		{"never leave", func(o *Observation, _ []Node) { o.Spec.NeverLeave = true }, cold, []crdt.NodeID{"cloud", "edge1"}, nil, ""},
		{"everywhere", func(o *Observation, _ []Node) { o.Spec.Placement = Everywhere; o.Spec.Tiers = []tiers.Tier{tiers.Edge} }, cold,
			[]crdt.NodeID{"edge1"}, []string{"promote edge2 everywhere"}, ""},
		{"pinned placement", func(o *Observation, _ []Node) {
			o.Spec.Placement, o.Spec.Pins = Pinned, []crdt.NodeID{"edge2"}
		}, hot, []crdt.NodeID{"cloud"}, []string{"promote edge2 pinned"}, ""},
		{"not allowed leaves when others have it", func(o *Observation, _ []Node) { o.Spec.Tiers = []tiers.Tier{tiers.Cloud} }, nil,
			[]crdt.NodeID{"cloud", "edge1"}, []string{"demote edge1 not-allowed"}, ""},
		{"not allowed stays until others have it", func(o *Observation, _ []Node) { o.Spec.Tiers = []tiers.Tier{tiers.Edge} }, nil,
			[]crdt.NodeID{"cloud"}, []string{"promote edge1 min-copies"}, "no other durable holder"},
		{"short of memory gives up", func(_ *Observation, n []Node) { n[1].Pressure = pressure.Slow }, nil,
			[]crdt.NodeID{"cloud", "edge1"}, []string{"demote edge1 pressure"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			nodes := chain()
			o := observe(nodes, c.holders...)
			c.change(&o, nodes)
			o.Nodes, o.Use = NewNodes(nodes), c.use
			ds := New(Config{Steady: true}).Step(o, start)
			if got := moves(ds); !slices.Equal(got, c.want) {
				t.Errorf("moves %q, want %q: %v", got, c.want, ds)
			}
			if c.hinders != "" && !slices.ContainsFunc(ds, func(d Decision) bool { return d.Kind == None && strings.Contains(d.String(), c.hinders) }) {
				t.Errorf("nothing says %q: %v", c.hinders, ds)
			}
		})
	}
}

// TestLostHoldersAreReplaced: after the grace, in another failure domain.
func TestLostHoldersAreReplaced(t *testing.T) {
	t.Parallel()
	nodes := chain()
	nodes = append(nodes, Node{ID: "cloud2", Tier: tiers.Cloud, Zone: "c", Room: -1})
	nodes[1].Lost = start
	o := observe(nodes, "cloud", "edge1")
	o.Spec.MinCopies = 2
	p := New(Config{Grace: time.Minute})
	if got := moves(p.Step(o, start.Add(59*time.Second))); got != nil {
		t.Errorf("within the grace: %q", got)
	}
	ds := p.Step(o, start.Add(time.Minute))
	if got := moves(ds); !slices.Equal(got, []string{"replace edge2 min-copies"}) || ds[0].Instead != "edge1" {
		t.Errorf("after the grace: %v", ds)
	}
	o.Weights.Reliability = 0
	if got := moves(New(Config{Grace: time.Minute}).Step(o, start.Add(time.Hour))); !slices.Equal(got, []string{"replace cloud2 min-copies"}) {
		t.Errorf("with no care for zones: %q", got)
	}
}

func TestMovesAreBounded(t *testing.T) {
	t.Parallel()
	nodes := []Node{{ID: "cloud", Tier: tiers.Cloud, Room: -1}}
	var use []Use
	for i := range 20 {
		id := crdt.NodeID(fmt.Sprintf("edge%02d", i))
		nodes = append(nodes, Node{ID: id, Tier: tiers.Edge, Room: -1, Upstream: "cloud", Link: Link{Bandwidth: mib}})
		use = append(use, reads(id, mib)...)
	}
	o := observe(nodes, "cloud")
	o.Use = use
	p := New(Config{AtOnce: 3, PerHour: 5})
	for i, want := range []int{3, 2, 0} {
		got := moves(p.Step(o, start.Add(time.Duration(i)*time.Minute)))
		if len(got) != want {
			t.Errorf("step %d: moves %q", i, got)
		}
	}
	o.Moving = 2
	if got := moves(p.Step(o, start.Add(time.Hour))); len(got) != 1 {
		t.Errorf("an hour later, beside two that run: %q", got)
	}
}

// TestConstraintsHoldAtRandom carries out what the policy says of random fabrics, and checks after each demotion what must be true.
func TestConstraintsHoldAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		p := New(Config{Seed: seed, Grace: time.Minute})
		nodes := chain()
		held := map[crdt.NodeID]bool{"cloud": true}
		spec := Spec{Placement: Placement(rnd.IntN(3)), MinCopies: rnd.IntN(4), CopyAt: []tiers.Tier{0, tiers.Edge, tiers.Cloud}[rnd.IntN(3)]}
		for i := range 100 {
			n := &nodes[rnd.IntN(len(nodes))]
			n.Lost = time.Time{}
			if now := start.Add(time.Duration(i) * time.Minute); rnd.IntN(4) == 0 {
				n.Lost = now
			}
			n.Pressure = pressure.Level(rnd.IntN(4))
			o := observe(nodes, sortedKeys(held)...)
			o.Spec = spec
			o.Use = append(reads(nodes[rnd.IntN(5)].ID, rnd.Int64N(mib)), writes(nodes[rnd.IntN(5)].ID, rnd.Int64N(mib))...)
			for _, d := range p.Step(o, start.Add(time.Duration(i)*time.Minute)) {
				checkMove(t, seed, o, d, held)
			}
		}
	}
}

func checkMove(t *testing.T, seed uint64, o Observation, d Decision, held map[crdt.NodeID]bool) {
	t.Helper()
	n, _ := o.Nodes.Get(d.Node)
	switch d.Kind {
	case Promote, Replace:
		if held[d.Node] || !n.Lost.IsZero() || n.Pressure >= pressure.Demote {
			t.Fatalf("seed %d: %v", seed, d)
		}
		held[d.Node] = true
	case Demote:
		delete(held, d.Node)
		live, atTier := 0, o.Spec.CopyAt == 0
		for id := range held {
			if m, _ := o.Nodes.Get(id); m.Lost.IsZero() {
				live++
				atTier = atTier || m.Tier == o.Spec.CopyAt
			}
		}
		if live < max(1, o.Spec.MinCopies) || !atTier || o.Spec.Placement == Everywhere {
			t.Fatalf("seed %d: %v leaves %v", seed, d, sortedKeys(held))
		}
	}
}

// TestHostileObservations: circles, strangers and numbers that are none decide nothing, and end.
func TestHostileObservations(t *testing.T) {
	t.Parallel()
	o := observe([]Node{
		{ID: "a", Tier: tiers.Edge, Room: -1, Upstream: "b", Link: Link{Bandwidth: math.NaN()}},
		{ID: "b", Tier: tiers.Edge, Room: -1, Upstream: "a", Link: Link{RTT: -1, Bandwidth: -1, Money: math.Inf(1)}},
		{ID: "b", Tier: tiers.Edge, Room: -1, Upstream: "b"},
	}, "stranger")
	o.Spec.MinCopies = math.MaxInt
	o.Bytes = -1
	o.Use = []Use{{Consumer: "nobody", Reads: -1, Written: math.MinInt64}, {Consumer: "a", Reads: math.MaxInt64, ReadBytes: math.MaxInt64}}
	p := New(Config{})
	for range 3 {
		p.Step(o, start)
	}
	p.Step(Observation{Spec: Spec{Placement: 99}}, start)
	_ = Decision{Kind: 99}.String()
}

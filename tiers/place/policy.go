package place

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// Chooser decides on the holders of regions: the Policy, or one of those to compare it with. It is not safe for use by several
// goroutines at once. Now must not go back.
type Chooser interface {
	Step(o Observation, now time.Time) []Decision
}

// Config says how a Policy decides. The zero value of a field takes its default.
type Config struct {
	// Seed draws the thresholds. Nodes that are to decide alike share it.
	Seed uint64
	// Steady takes the thresholds 1 and 0 instead of a draw.
	Steady bool
	// Band is the width of the hysteresis around a drawn threshold, from 0 to 1, and what it adds to the competitive ratio. Default 0:
	// what was paid is not paid back by chance, so a level does not flutter as a rate does; PerHour bounds what an adversary can do.
	Band float64
	// Grace is how long a holder may be lost before it is replaced. Default 10 min: a restart or a tunnel is shorter.
	Grace time.Duration
	// AtOnce is how many moves of a region run at most. Default 8.
	AtOnce int
	// PerHour is how many promotions and demotions of a region begin in an hour at most, repairs apart. Default 120.
	PerHour int
}

func (c Config) withDefaults() Config {
	c.Grace = cmp.Or(c.Grace, 10*time.Minute)
	c.AtOnce = cmp.Or(max(0, c.AtOnce), 8)
	c.PerHour = cmp.Or(max(0, c.PerHour), 120)
	c.Band = min(1, max(0, c.Band))
	return c
}

// metersMax bounds the nodes of which a region's levels are kept; where there are more, those that came first are.
const metersMax = 4096

// Policy is rent-or-buy under constraints.
type Policy struct {
	cfg   Config
	games map[string]*game
}

// New makes a Policy.
func New(c Config) *Policy { return &Policy{cfg: c.withDefaults(), games: map[string]*game{}} }

// Forget drops what is known of a region that is no more.
func (p *Policy) Forget(region string) { delete(p.games, region) }

// Level is the meter of a node and region.
func (p *Policy) Level(region string, id crdt.NodeID) float64 {
	if g := p.games[region]; g != nil {
		return float64(g.meters[id])
	}
	return 0
}

// game is what is kept of one region.
type game struct {
	meters   map[crdt.NodeID]Meter
	expected map[crdt.NodeID]bool // copies that wait for a device
	at       thresholds
	begun    []time.Time // the last PerHour moves, in a ring
	next     int
}

// Step takes in what happened since the last step and decides, in the order in which the moves are to begin. Errors of the observation, such as unknown holders or circles of
// upstreams, make it decide less, never wrongly.
func (p *Policy) Step(o Observation, now time.Time) []Decision {
	g := p.games[o.Region]
	if g == nil {
		g = &game{meters: map[crdt.NodeID]Meter{}, expected: map[crdt.NodeID]bool{}, at: draw(p.cfg, o.Region)}
		p.games[o.Region] = g
	}
	if o.Nodes == nil {
		return nil
	}
	s := &step{cfg: p.cfg, g: g, o: o, now: now, holds: map[crdt.NodeID]Holder{}}
	for _, h := range o.Holders {
		s.holds[h.Node] = h
	}
	s.meter()
	s.repair()
	s.tidy()
	if o.Spec.Placement == OnDemand {
		s.demote()
		s.promote()
	}
	return s.out
}

// step is one Step under way: what was decided already counts.
type step struct {
	cfg   Config
	g     *game
	o     Observation
	now   time.Time
	holds map[crdt.NodeID]Holder // without those that are given up
	costs map[crdt.NodeID]hopCost
	begun int
	out   []Decision
}

// hopCost is what the last step's use cost on one hop.
type hopCost struct {
	up                 crdt.NodeID
	rent, upkeep, move float64
}

// may accepts nodes that can hold the region.
func (s *step) may(n Node) bool { return n.Lost.IsZero() && s.o.Spec.allows(&n) }

func (s *step) has(id crdt.NodeID) bool { _, ok := s.holds[id]; return ok }

// meter takes the use in. Reads rent every hop on their way outward; writes are upkeep of every hop that they do not come over.
func (s *step) meter() {
	s.costs = map[crdt.NodeID]hopCost{}
	through := map[crdt.NodeID]int64{}
	var written int64
	for _, u := range s.o.Use {
		written += max(0, u.Written)
		for _, n := range s.o.Nodes.route(u.Consumer) {
			through[n.ID] += max(0, u.Written)
			s.rent(*n, u)
		}
	}
	if written > 0 {
		s.upkeep(written, through)
	}
	for id, c := range s.costs { // in any order: each touches its own meter
		m := s.g.meters[id]
		m.add(c.rent-c.upkeep, c.move)
		switch _, had := s.g.meters[id]; {
		case m == 0:
			delete(s.g.meters, id)
		case had || len(s.g.meters) < metersMax:
			s.g.meters[id] = m
		}
	}
}

func (s *step) rent(n Node, u Use) {
	c, hop, ok := s.hop(n)
	if !ok || u.Reads <= 0 && u.ReadBytes <= 0 {
		return
	}
	c.rent += s.o.Weights.Access(hop, u.Reads, u.ReadBytes)
	s.costs[n.ID] = c
}

func (s *step) upkeep(written int64, through map[crdt.NodeID]int64) {
	charge := func(id crdt.NodeID) {
		n, ok := s.o.Nodes.Get(id)
		if !ok {
			return
		}
		if c, hop, ok := s.hop(n); ok {
			c.upkeep = s.o.Weights.Transfer(hop, written-through[id])
			s.costs[id] = c
		}
	}
	for id := range s.g.meters { // in any order, as above
		charge(id)
	}
	for _, id := range sortedKeys(s.costs) {
		charge(id)
	}
}

// hop gives the costs noted for a node so far, and its hop; false where there is no game: the node may not hold the region, or
// nothing above it may.
func (s *step) hop(n Node) (hopCost, Link, bool) {
	if !s.may(n) {
		return hopCost{}, Link{}, false
	}
	to, way, ok := s.o.Nodes.hop(n, s.may)
	if !ok {
		return hopCost{}, Link{}, false
	}
	c := s.costs[n.ID]
	c.up, c.move = to.ID, s.o.Weights.Move(way, s.o.Bytes)
	return c, way, true
}

func (s *step) numbers(id crdt.NodeID, c hopCost, at Meter) Numbers {
	return Numbers{Rent: c.rent, Upkeep: c.upkeep, Move: c.move, Level: float64(s.g.meters[id]), Threshold: float64(at), Bytes: s.o.Bytes}
}

// promote gives copies to the nodes whose meters want them, from the outermost inward: a copy comes from the one above.
func (s *step) promote() {
	type candidate struct {
		n     Node
		depth int
	}
	var who []candidate
	for _, id := range sortedKeys(s.g.meters) {
		if n, ok := s.o.Nodes.Get(id); ok && !s.has(id) && s.g.at.wants(s.g.meters[id], false) {
			who = append(who, candidate{n, s.o.Nodes.depth(id)})
		}
	}
	slices.SortStableFunc(who, func(a, b candidate) int { return cmp.Compare(a.depth, b.depth) })
	for _, c := range who {
		cost, _, ok := s.hop(c.n)
		if !ok {
			continue
		}
		d := Decision{Kind: Promote, Rule: RuleRentOrBuy, Node: c.n.ID, From: cost.up, Numbers: s.numbers(c.n.ID, cost, s.g.at.gain)}
		why := s.noRoom(c.n)
		if why == "" && !s.has(cost.up) {
			why = fmt.Sprintf("its upstream %s has no copy yet", cost.up)
		}
		s.decide(d, why, true)
	}
}

// demote takes copies from the nodes whose meters do not want them, from the innermost outward.
func (s *step) demote() {
	who := sortedKeys(s.holds)
	slices.SortStableFunc(who, func(a, b crdt.NodeID) int { return cmp.Compare(s.o.Nodes.depth(b), s.o.Nodes.depth(a)) })
	for _, id := range who {
		n, ok := s.o.Nodes.Get(id)
		if !ok || s.g.expected[id] || s.g.at.wants(s.g.meters[id], true) {
			continue
		}
		c, _, ok := s.hop(n)
		if !ok { // nothing above it: it is the home
			continue
		}
		if s.owned(n) || s.feeds(id) {
			continue
		}
		d := Decision{Kind: Demote, Rule: RuleRentOrBuy, Node: id, From: c.up, Numbers: s.numbers(id, c, s.g.at.drop)}
		s.decide(d, s.mustStay(n), true)
	}
}

// feeds says whether another copy is kept current through a node's: a holder whose next possible holder above it is that node.
func (s *step) feeds(id crdt.NodeID) bool {
	for h := range s.holds { // any will do
		if h == id {
			continue
		}
		n, _ := s.o.Nodes.Get(h)
		if up, _, ok := s.o.Nodes.hop(n, s.may); ok && up.ID == id {
			return true
		}
	}
	return false
}

// Expect has a copy that was made for a device that is to come stay until Settle.
func (p *Policy) Expect(region string, id crdt.NodeID) {
	if g := p.games[region]; g != nil && len(g.expected) < metersMax {
		g.expected[id] = true
	}
}

// Settle ends what Expect began. A copy that the device came for is as good as paid for; one that it did not is of no use.
func (p *Policy) Settle(region string, id crdt.NodeID, came bool) {
	g := p.games[region]
	if g == nil || !g.expected[id] {
		return
	}
	delete(g.expected, id)
	delete(g.meters, id)
	if came && len(g.meters) < metersMax {
		g.meters[id] = 1
	}
}

// noRoom says why a node cannot take a copy now, or nothing.
func (s *step) noRoom(n Node) string {
	switch {
	case n.Room >= 0 && n.Room < s.o.Bytes:
		return fmt.Sprintf("it has room for %d bytes of %d", n.Room, s.o.Bytes)
	case n.Pressure >= pressure.Demote:
		return fmt.Sprintf("its memory is short: %v", n.Pressure)
	}
	return ""
}

// decide notes a decision, as none where something hinders it. Those that are paced count among the moves of an hour.
func (s *step) decide(d Decision, hinders string, paced bool) {
	d.Region = s.o.Region
	if hinders == "" && s.o.Moving+s.begun >= s.cfg.AtOnce {
		hinders = fmt.Sprintf("%d moves are under way", s.o.Moving+s.begun)
	}
	if hinders == "" && paced && !s.g.pace(s.cfg.PerHour, s.now) {
		hinders = fmt.Sprintf("%d moves began within the hour", s.cfg.PerHour)
	}
	if hinders != "" {
		d.Kind, d.Hinders = None, hinders
	} else if s.begun++; d.Kind == Demote {
		delete(s.holds, d.Node)
	}
	s.out = append(s.out, d)
}

// pace reports whether one more move may begin, and notes that it does.
func (g *game) pace(perHour int, now time.Time) bool {
	switch {
	case len(g.begun) < perHour:
		g.begun = append(g.begun, now)
		return true
	case now.Sub(g.begun[g.next]) < time.Hour:
		return false
	}
	g.begun[g.next] = now
	g.next = (g.next + 1) % perHour
	return true
}

// Thresholds are the levels at which a node of the region gains a copy, and below which it gives one up.
func (p *Policy) Thresholds(region string) (gain, drop float64) {
	at := draw(p.cfg, region)
	return float64(at.gain), float64(at.drop)
}

// Preview gives what Step would decide, and leaves everything as it is.
func (p *Policy) Preview(o Observation, now time.Time) []Decision {
	trial := &Policy{cfg: p.cfg, games: map[string]*game{}}
	if g := p.games[o.Region]; g != nil {
		trial.games[o.Region] = &game{meters: maps.Clone(g.meters), expected: maps.Clone(g.expected), at: g.at, begun: slices.Clone(g.begun), next: g.next}
	}
	return trial.Step(o, now)
}

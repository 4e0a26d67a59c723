package fabric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/edgemem/edgemem/crdt"
	policy "github.com/edgemem/edgemem/tiers/place"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// Explanation says where the copies of a region are, who uses it, what that costs, and why copies moved or did not.
type Explanation struct {
	Region    string            `json:"region"`
	At        time.Time         `json:"at"`
	Placement string            `json:"placement"`
	MinCopies int               `json:"min_copies"`
	Tiers     []string          `json:"tiers,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Holders   []Holder          `json:"holders"`
	Moves     []MoveRecord      `json:"moves"`             // the last ones, the newest first
	Decider   *Holder           `json:"decider,omitempty"` // who says what follows; none: the region is everywhere, or no decider is connected

	Bytes     int64         `json:"bytes,omitempty"` // that a copy takes in memory, with what a move costs beside
	Gain      float64       `json:"gain_level"`      // at which a node is to have a copy: between 0, it has no use, and 1, its use has paid for the move
	Consumers []Consumer    `json:"consumers"`       // the busiest first
	Nodes     []PlacedNode  `json:"nodes"`           // those that hold it, use it, or are on the way
	Decisions []MoveRecord  `json:"decisions"`       // of the last look, also those that something hinders
	Moving    []MoveRecord  `json:"moving"`          // under way
	Planned   *[]MoveRecord `json:"planned,omitempty"`
}

// PlacedNode is a node as the decider of a region sees it.
type PlacedNode struct {
	ID        crdt.NodeID `json:"id"`
	Name      string      `json:"name"`
	Tier      string      `json:"tier"`
	Holds     bool        `json:"holds"`
	Level     float64     `json:"level"`              // what its use and that of nodes below it has paid of the move
	Upstream  crdt.NodeID `json:"upstream,omitempty"` // none: it is the region's home
	RTTMS     float64     `json:"rtt_ms"`             // to the upstream
	Bandwidth float64     `json:"bytes_per_second"`
	Money     float64     `json:"price_per_gib,omitempty"`
	Energy    float64     `json:"joules_per_mib,omitempty"`
	Pressure  string      `json:"memory_pressure,omitempty"`
	LostMS    int64       `json:"not_reached_ms,omitempty"`
	Refused   string      `json:"refused,omitempty"` // why it is not asked for the moment
}

// MoveRecord is a decision on a copy, and what came of it.
type MoveRecord struct {
	At     time.Time   `json:"at"`
	Move   string      `json:"move"` // promote, demote, replace; none: something hinders it
	Node   crdt.NodeID `json:"node,omitempty"`
	By     crdt.NodeID `json:"by"`
	Rule   string      `json:"rule"`
	Why    string      `json:"why"` // the rule and its numbers, in one line
	TookMS int64       `json:"took_ms,omitempty"`
	Bytes  int64       `json:"bytes,omitempty"`
	Error  string      `json:"error,omitempty"` // why it was not done
}

// The last moves of a region are in its entry of the catalogue, as JSON: every node can tell of them.
//
//	moved.0 … moved.7   a MoveRecord each; the oldest makes room
const (
	fieldMoved   = "moved."
	movedKept    = 8
	movedBytes   = 2048 // of one that is read
	movedTextMax = 300  // bytes of its texts
)

func (d *decider) record(x policy.Decision, at time.Time) MoveRecord {
	return MoveRecord{At: at.UTC().Truncate(time.Millisecond), Move: x.Kind.String(), Node: x.Node, By: d.f.cfg.Node, Rule: string(x.Rule), Why: brief(x.String()), Bytes: x.Numbers.Bytes}
}

func brief(s string) string {
	if len(s) > movedTextMax {
		s = s[:movedTextMax]
	}
	return shown(s)
}

// parseMoved reads a record, or says that it is none.
func parseMoved(b []byte) (m MoveRecord, ok bool) {
	if len(b) > movedBytes || json.Unmarshal(b, &m) != nil || len(m.Node) > nodeIDMax || len(m.By) > nodeIDMax {
		return m, false
	}
	m.Move, m.Rule, m.Why, m.Error = brief(m.Move), brief(m.Rule), brief(m.Why), brief(m.Error)
	m.Node, m.By = crdt.NodeID(shown(string(m.Node))), crdt.NodeID(shown(string(m.By)))
	return m, true
}

// keep writes what came of a move into the catalogue.
func (d *decider) keep(r *Region, m *move, failed error) {
	rec := d.record(m.d, m.began)
	rec.TookMS = m.ended.Sub(m.began).Milliseconds()
	if failed != nil {
		rec.Error = brief(failed.Error())
	}
	b, err := json.Marshal(rec)
	if err == nil {
		err = d.f.tell(func(tx *crdt.Tx) error {
			if _, declared, _ := tx.MapGet(r.name, "ack"); !declared {
				return nil
			}
			slot, oldest := 0, time.Time{}
			for i := range movedKept {
				b, _, _ := tx.MapGet(r.name, fieldMoved+strconv.Itoa(i))
				if was, _ := parseMoved(b); i == 0 || was.At.Before(oldest) {
					slot, oldest = i, was.At
				}
			}
			_, err := tx.MapSet(r.name, fieldMoved+strconv.Itoa(slot), b)
			return err
		})
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		d.f.cfg.Logger.Warn("a move of a copy could not be noted", "region", r.name, "err", err)
	}
}

// moved lists the last moves of a region, the newest first.
func (f *Fabric) moved(name string) []MoveRecord {
	out := []MoveRecord{}
	_ = f.catalogue.View(func(v *crdt.View) { // a region of the fabric's own never loads
		for i := range movedKept {
			if b, ok, _ := v.MapGet(name, fieldMoved+strconv.Itoa(i)); ok {
				if m, ok := parseMoved(b); ok {
					out = append(out, m)
				}
			}
		}
	})
	slices.SortStableFunc(out, func(a, b MoveRecord) int { return b.At.Compare(a.At) })
	return out
}

// Explain says where the copies of a region are and why, as its decider knows it, if that is connected. With a placement to try it also says, in
// Planned, what would move; what that leaves open stays as it is. Errors: ErrNoRegion, ErrBadPlacement, the context's.
func (f *Fabric) Explain(ctx context.Context, name string, try *Placement) (Explanation, error) {
	if try != nil {
		if err := try.check(); err != nil {
			return Explanation{}, err
		}
	}
	s, err := f.RegionStatus(name)
	if err != nil && (try == nil || CheckRegionName(name) != nil) {
		return Explanation{}, err
	}
	x := Explanation{
		Region: name, At: f.cfg.Now().UTC(), Placement: s.Placement, MinCopies: s.MinCopies, Tiers: s.Tiers, Labels: s.Labels, Holders: s.Holders,
		Moves: f.moved(name), Consumers: []Consumer{}, Nodes: []PlacedNode{}, Decisions: []MoveRecord{}, Moving: []MoveRecord{},
	}
	if err != nil { // there is no such region yet
		x.Placement, x.MinCopies, x.Holders = policy.Everywhere.String(), 1, []Holder{}
	}
	q := explainRequest{name, try}
	d := f.decider
	if out, ok := d.explain(q); ok {
		x.take(out)
		return x, nil
	}
	for _, p := range d.knowing(f.known(name)) {
		out, err := d.ask(ctx, p, q)
		if err != nil {
			f.cfg.Logger.Debug("a decider does not explain itself", "peer", p, "err", err)
			continue
		}
		if out != nil {
			x.take(*out)
			return x, nil
		}
	}
	return x, ctx.Err()
}

// take takes over what a decider says.
func (x *Explanation) take(y Explanation) {
	x.At, x.Decider, x.Bytes, x.Gain, x.Consumers, x.Nodes, x.Decisions, x.Moving, x.Planned = y.At, y.Decider, y.Bytes, y.Gain, y.Consumers, y.Nodes, y.Decisions, y.Moving, y.Planned
}

// knowing lists the connected holders that move copies, the one that is to decide first.
func (d *decider) knowing(r *Region) (out []crdt.NodeID) {
	if r == nil || !r.isPlaced() {
		return nil
	}
	able, _ := d.able()
	for id := range r.keepers.Load().at {
		if able[id] && id != d.f.cfg.Node {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// ask has another node explain; nil: it cannot.
func (d *decider) ask(ctx context.Context, id crdt.NodeID, q explainRequest) (*Explanation, error) {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	b, err := q.append(nil)
	if err != nil {
		return nil, err
	}
	b, err = d.exchange(ctx, id, frameExplain, b, frameExplained)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return decodeExplanation(b)
}

func decodeExplanation(b []byte) (*Explanation, error) {
	if len(b) > explainMax {
		return nil, fmt.Errorf("%w: an explanation of %d bytes", errProtocol, len(b))
	}
	x := &Explanation{}
	if err := json.Unmarshal(b, x); err != nil {
		return nil, fmt.Errorf("%w: an explanation: %w", errProtocol, err)
	}
	if h := x.Decider; h != nil {
		h.ID, h.Name, h.Tier = crdt.NodeID(shown(string(h.ID))), shown(h.Name), shown(h.Tier)
	}
	for i := range x.Consumers {
		x.Consumers[i].ID = crdt.NodeID(shown(string(x.Consumers[i].ID)))
	}
	for i := range x.Nodes {
		n := &x.Nodes[i]
		n.ID, n.Name, n.Upstream = crdt.NodeID(shown(string(n.ID))), shown(n.Name), crdt.NodeID(shown(string(n.Upstream)))
		n.Tier, n.Pressure, n.Refused = shown(n.Tier), shown(n.Pressure), shown(n.Refused)
	}
	lists := [][]MoveRecord{x.Decisions, x.Moving}
	if x.Planned != nil {
		lists = append(lists, *x.Planned)
	}
	for _, list := range lists {
		for i := range list {
			m := &list[i]
			m.Node, m.By = crdt.NodeID(shown(string(m.Node))), crdt.NodeID(shown(string(m.By)))
			m.Move, m.Rule, m.Why, m.Error = brief(m.Move), brief(m.Rule), brief(m.Why), brief(m.Error)
		}
	}
	return x, nil
}

// explained answers the question of another node.
func (d *decider) explained(q explainRequest) ([]byte, error) {
	x, ok := d.explain(q)
	if !ok {
		return nil, nil
	}
	b, err := json.Marshal(x)
	if err == nil && len(b) > explainMax {
		err = fmt.Errorf("%w: an explanation of %d bytes", ErrTooLarge, len(b))
	}
	return b, err
}

// explain says what this node knows of a region that it decides on. false: it does not. A region that does not exist yet can be tried anywhere.
func (d *decider) explain(q explainRequest) (x Explanation, ok bool) {
	f := d.f
	r := f.known(q.region)
	if !d.moves() || f.cfg.Transport == nil || r == nil && q.try == nil {
		return x, false
	}
	able, _ := d.able()
	now := f.cfg.Now()
	placed := *usualPlacement()
	if r != nil {
		if placed = r.Placement(); r.isPlaced() && (!r.Held() || r.decidedBy(able) != f.cfg.Node) || !r.isPlaced() && q.try == nil {
			return x, false
		}
	}
	w := d.world(able, now)
	d.mu.Lock()
	defer d.mu.Unlock()
	x.At, x.Decider = now.UTC(), &Holder{ID: f.cfg.Node, Name: f.cfg.Name, Tier: f.cfg.Tier}
	x.Consumers, x.Decisions, x.Moving = []Consumer{}, []MoveRecord{}, []MoveRecord{}
	x.Gain, _ = d.policy.Thresholds(q.region)
	if r == nil { // it would be here first
		r = &Region{f: f, name: q.region}
	}
	g := d.rulings[r]
	if g == nil {
		g = &ruling{seen: map[crdt.NodeID]bool{}}
		d.supposed(r, g, w)
	}
	o := d.observe(r, g, w, placed)
	x.Bytes, x.Consumers = o.Bytes, r.Consumers()
	for _, dec := range g.wanted {
		x.Decisions = append(x.Decisions, d.record(dec, g.looked))
	}
	for _, id := range slices.Sorted(maps.Keys(g.moves)) {
		if m := g.moves[id]; m.ended.IsZero() {
			x.Moving = append(x.Moving, d.record(m.d, m.began))
		}
	}
	x.Nodes = d.placedNodes(r, g, o, x.Consumers, w)
	if q.try == nil {
		return x, true
	}
	planned := []MoveRecord{}
	for _, dec := range d.policy.Preview(d.observe(r, g, w, placed.with(q.try)), now) {
		planned = append(planned, d.record(dec, now))
	}
	x.Planned = &planned
	return x, true
}

// supposed fills in who holds a region that this node does not decide on: all, of one that is everywhere; itself, of one that is not there yet.
func (d *decider) supposed(r *Region, g *ruling, w *world) {
	if k := r.keepers.Load(); k != nil && k.placed {
		for id := range k.at {
			g.seen[id] = true
		}
		return
	}
	if !r.declared.Load() && r.held.Load() == 0 {
		g.seen[d.f.cfg.Node] = true
		return
	}
	for i := range w.nodes {
		g.seen[w.nodes[i].ID] = true
	}
}

// with gives the placement with what another one does not leave open.
func (p Placement) with(q *Placement) Placement {
	if q.Kind != "" {
		p.Kind = q.Kind
	}
	if q.MinCopies > 0 {
		p.MinCopies = q.MinCopies
	}
	if q.Tiers != nil {
		p.Tiers = inOrder(q.Tiers)
	}
	if q.Labels != nil {
		p.Labels = q.Labels
	}
	return p
}

// explainNodes bounds the nodes that an explanation tells of.
const explainNodes = 256

// placedNodes lists the nodes that matter to a region: those that hold it, consume it, refused it, or lie on the way of one of these. The caller
// holds mu.
func (d *decider) placedNodes(r *Region, g *ruling, o policy.Observation, consumers []Consumer, w *world) []PlacedNode {
	matter := map[crdt.NodeID]bool{}
	mark := func(id crdt.NodeID) {
		for n, ok := o.Nodes.Get(id); ok && !matter[n.ID]; n, ok = o.Nodes.Get(n.Upstream) {
			matter[n.ID] = true
		}
	}
	holds := map[crdt.NodeID]bool{}
	for _, h := range o.Holders {
		holds[h.Node] = true
		mark(h.Node)
	}
	for _, c := range consumers {
		mark(c.ID)
	}
	for id := range g.refused {
		mark(id)
	}
	out := []PlacedNode{}
	for i := range w.nodes {
		id := w.nodes[i].ID
		n, ok := o.Nodes.Get(id)
		if !ok || !matter[id] || len(out) >= explainNodes {
			continue
		}
		p := PlacedNode{
			ID: id, Name: w.names[id], Tier: n.Tier.String(), Holds: holds[id], Level: d.policy.Level(r.name, id), Upstream: n.Upstream,
			RTTMS: float64(n.Link.RTT.Microseconds()) / 1000, Bandwidth: n.Link.Bandwidth, Money: n.Link.Money, Energy: n.Link.Energy,
		}
		if n.Pressure > pressure.None {
			p.Pressure = n.Pressure.String()
		}
		if lost := w.nodes[i].Lost; !lost.IsZero() {
			p.LostMS = w.now.Sub(lost).Milliseconds()
		}
		if x := g.refused[id]; x != nil && w.now.Before(x.until) {
			p.Refused = shown(x.why)
		}
		out = append(out, p)
	}
	return out
}

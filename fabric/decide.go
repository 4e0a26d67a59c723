package fabric

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	policy "github.com/edgemem/edgemem/tiers/place"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// Each region that is not everywhere has a decider: of its holders that are connected to each other, and move copies, the one with the least id.
// The others tell it once a second who used their copies, if somebody did. It asks tiers/place, and has nodes take and give copies:
//
//	holder  ── REPORT use by consumer, memory pressure ──▶ decider ── MOVE take, or give ──▶ node
//	                                                          │        ◀── STILL…, MOVED ──
//	                                                          └─ what was moved, and why, in the catalogue
//
// Two sides of a split decide each for itself, and so may two nodes of which one does not see the other. Nothing is lost by that, since a copy
// goes only when others vow that they keep what it has (vows.go); there are more copies for a while than there need be.
//
// A decider that begins takes each copy that it finds as one that has paid for itself, and so one that is taken by hand; one that is given up by hand has to
// be earned anew. What use has come to until then is forgotten with the decider that knew it.

const (
	lookEvery  = 5 * time.Minute  // a region that nobody uses is looked at again after that,
	shortEvery = 10 * time.Second // one that lacks something after that

	takeTime   = 10 * time.Minute // for a move
	giveTime   = time.Minute
	movesEach  = 2                // that a node is asked for at once by one decider
	movesAsked = 4                // that a node carries out at once for others
	settleFor  = 15 * time.Second // until the catalogue says what came of a move
	refuseLeast,
	refuseMost = 10 * time.Second, 10 * time.Minute // a node that refused a move, or failed, is not asked again

	newcomerFor = 3 * time.Second // a new decider waits before its first decision
	moveBytes   = 256 << 10       // what a move costs beside the bytes of the region: entries in the catalogue, commits
	pressureFor = 10 * time.Second
)

// decider decides on the copies of the regions of which this node is the decider, and serves those of others.
type decider struct {
	f    *Fabric
	wake signal
	some atomic.Bool  // there is a region that is not everywhere
	busy atomic.Int32 // moves that are carried out for others

	saidAt time.Time // of the goroutine that makes the rounds

	mu      sync.Mutex
	placed  map[*Region]bool // those that are not everywhere
	policy  *policy.Policy
	rulings map[*Region]*ruling
	asked   map[crdt.NodeID]int // moves under way
	pressed map[crdt.NodeID]pressed
	count   MoveStats
}

// pressed is how short of memory a holder is, as it said.
type pressed struct {
	level pressure.Level
	at    time.Time
}

// ruling is what the decider of a region keeps.
type ruling struct {
	seen    map[crdt.NodeID]bool // holders, as of the last look
	moves   map[crdt.NodeID]*move
	refused map[crdt.NodeID]*refusal
	since   time.Time // when it began to decide
	looked  time.Time
	again   bool // something ended since
	lacks   bool // something that is due could not be done

	// As of the last look.
	keepers   *keepers
	placement *Placement
	able      uint64
	wanted    []policy.Decision
}

// move is under way, or was until the catalogue says so.
type move struct {
	d     policy.Decision
	began time.Time
	ended time.Time // zero: it is under way
}

// refusal says that a node is not to be asked for a while.
type refusal struct {
	until time.Time
	after time.Duration
	why   string
}

// MoveStats counts the moves of copies since Open.
type MoveStats struct {
	Promoted uint64 `json:"promoted"`       // copies that nodes took on this node's decision, itself included,
	Demoted  uint64 `json:"demoted"`        // and gave up
	Failed   uint64 `json:"failed"`         // decisions that could not be carried out
	Bytes    uint64 `json:"bytes_moved"`    // of the regions whose copies were taken, by their size in memory
	Carried  uint64 `json:"carried_out"`    // moves of this node's copies that other nodes decided on
	Saved    uint64 `json:"reads_answered"` // reads that a copy here answered, of regions that are not everywhere: without it they go to another node
	Reports  uint64 `json:"reports_sent"`   // to deciders
}

// MoveStats gives the counters.
func (f *Fabric) MoveStats() MoveStats {
	f.decider.mu.Lock()
	defer f.decider.mu.Unlock()
	return f.decider.count
}

func newDecider(f *Fabric) *decider {
	return &decider{f: f, placed: map[*Region]bool{}, policy: policy.New(policy.Config{}), rulings: map[*Region]*ruling{}, asked: map[crdt.NodeID]int{},
		pressed: map[crdt.NodeID]pressed{}}
}

// moves says whether this node takes part.
func (d *decider) moves() bool { return !d.f.cfg.ManualMoves && d.f.mesh.can&canDecide != 0 }

// place notes whether a region need not be everywhere. The caller holds no lock of a region.
func (d *decider) place(r *Region) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case r.usedBy() != nil && r.declared.Load():
		d.placed[r] = true
		d.some.Store(true)
	case d.placed[r]:
		delete(d.placed, r)
		d.some.Store(len(d.placed) > 0)
		d.forget(r)
	}
}

// forget drops what is kept of a region. The caller holds mu.
func (d *decider) forget(r *Region) {
	if d.rulings[r] != nil {
		delete(d.rulings, r)
		d.policy.Forget(r.name)
	}
}

// run makes a round whenever it is woken: by the tick, and when a move ended.
func (d *decider) run() {
	for {
		next := d.wake.next()
		d.round()
		select {
		case <-next:
		case <-d.f.ctx.Done():
			return
		}
	}
}

// regions lists those that are not everywhere, by name.
func (d *decider) regions() []*Region {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.placed) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(d.placed), byName)
}

// round looks at each region that is not everywhere and held here.
func (d *decider) round() {
	regions := d.regions()
	if len(regions) == 0 {
		return
	}
	now := d.f.cfg.Now()
	d.sayLink(now)
	able, mark := d.able()
	var w *world
	reports := map[crdt.NodeID][]useReport{}
	level := d.f.budget.verdict.Load().Level
	for _, r := range regions {
		if !r.Held() {
			d.mu.Lock()
			d.forget(r)
			d.mu.Unlock()
			continue
		}
		who := r.decidedBy(able)
		if who == d.f.cfg.Node && d.fresh(r, now) {
			continue
		}
		use, saved := r.tally(now)
		d.mu.Lock()
		d.count.Saved += saved
		if who != d.f.cfg.Node {
			d.forget(r)
			d.mu.Unlock()
			if len(use) > 0 || level >= pressure.Demote {
				reports[who] = append(reports[who], useReport{r.id, use})
			}
			continue
		}
		if d.due(r, use, mark, now) {
			if w == nil {
				w = d.world(able, now)
			}
			d.rule(r, use, w, now)
			d.rulings[r].able = mark
		}
		d.mu.Unlock()
	}
	for _, id := range slices.Sorted(maps.Keys(reports)) {
		list := reports[id]
		d.f.goDo(func() { d.report(id, level, list) })
	}
}

// able gives the connected nodes that move copies, this one among them, and a mark that tells whether they are the same.
func (d *decider) able() (nodes map[crdt.NodeID]bool, mark uint64) {
	nodes = map[crdt.NodeID]bool{d.f.cfg.Node: true}
	peers := d.f.mesh.connected()
	n := d.f.roster
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range peers {
		if rec := n.nodes[p.id]; rec != nil && rec.link != nil && rec.retired == nil {
			nodes[p.id] = true
			h := tagOf(p.id)
			for i, b := range h {
				mark ^= uint64(b) << (8 * i)
			}
		}
	}
	return nodes, mark
}

// decidedBy is the decider of the region, as far as this node, which holds it, can see.
func (r *Region) decidedBy(able map[crdt.NodeID]bool) crdt.NodeID {
	least := r.f.cfg.Node
	if k := r.keepers.Load(); k != nil {
		for id := range k.at {
			if id < least && able[id] {
				least = id
			}
		}
	}
	return least
}

// fresh says whether this node has just become the decider of the region. What the one before it began has time to end, and who holds it to be heard of.
func (d *decider) fresh(r *Region, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.rulings[r]
	if g == nil {
		g = &ruling{seen: map[crdt.NodeID]bool{}, moves: map[crdt.NodeID]*move{}, refused: map[crdt.NodeID]*refusal{}, since: now, again: true}
		d.rulings[r] = g
		d.policy.Step(policy.Observation{Region: r.name}, now)
	}
	return now.Sub(g.since) < newcomerFor
}

// due says whether there is something to decide. The caller holds mu.
func (d *decider) due(r *Region, use []policy.Use, mark uint64, now time.Time) bool {
	g := d.rulings[r]
	since := now.Sub(g.looked)
	return len(use) > 0 || g.again || g.able != mark || g.keepers != r.keepers.Load() || g.placement != r.placed.Load() ||
		since >= lookEvery || g.lacks && since >= shortEvery
}

// rule decides on one region, and begins what it decided. The caller holds mu.
func (d *decider) rule(r *Region, use []policy.Use, w *world, now time.Time) {
	g := d.rulings[r]
	g.looked, g.again, g.keepers, g.placement = now, false, r.keepers.Load(), r.placed.Load()
	g.tidy(now)
	d.notice(r, g)
	o := d.observe(r, g, w, r.Placement())
	o.Use = use
	g.wanted, g.lacks = d.policy.Step(o, now), len(g.refused) > 0
	for _, x := range g.wanted {
		if x.Kind == policy.None || !d.begin(r, g, x, now) {
			g.lacks = true
		}
	}
}

// tidy forgets moves that the catalogue had time to tell, and refusals that are over for long.
func (g *ruling) tidy(now time.Time) {
	for id, m := range g.moves {
		if !m.ended.IsZero() && now.Sub(m.ended) >= settleFor {
			delete(g.moves, id)
		}
	}
	for id, x := range g.refused {
		if now.Sub(x.until) >= x.after {
			delete(g.refused, id)
		}
	}
}

// notice has the policy know of copies that came and went without its asking. The caller holds mu.
func (d *decider) notice(r *Region, g *ruling) {
	holders := map[crdt.NodeID]bool{}
	if g.keepers != nil {
		for id := range g.keepers.at {
			holders[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(holders)) {
		if m := g.moves[id]; m != nil && m.d.Kind != policy.Demote {
			if !m.ended.IsZero() {
				delete(g.moves, id)
			}
		} else if m == nil && !g.seen[id] && !d.f.repaired(r.name, id) {
			d.policy.Expect(r.name, id)
			d.policy.Settle(r.name, id, true)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.seen)) {
		if holders[id] {
			continue
		}
		if m := g.moves[id]; m != nil && m.d.Kind == policy.Demote {
			if !m.ended.IsZero() {
				delete(g.moves, id)
			}
		} else if m == nil {
			d.policy.Expect(r.name, id)
			d.policy.Settle(r.name, id, false)
		}
	}
	g.seen = holders
}

// repaired says whether a node took its copy only because there were too few, as far as the catalogue tells: then it has to earn it where there are
// enough.
func (f *Fabric) repaired(name string, id crdt.NodeID) bool {
	for _, m := range f.moved(name) { // the newest first
		if m.Node == id && m.Error == "" && m.Move != policy.Demote.String() {
			return m.Rule == string(policy.RuleMinCopies)
		}
	}
	return false
}

// begin has a decision carried out, and reports whether it can be now. The caller holds mu.
func (d *decider) begin(r *Region, g *ruling, x policy.Decision, now time.Time) bool {
	if g.moves[x.Node] != nil || d.asked[x.Node] >= movesEach || d.f.closed.Load() {
		return false
	}
	m := &move{d: x, began: now}
	g.moves[x.Node] = m
	d.asked[x.Node]++
	d.f.goDo(func() { d.carry(r, g, m) })
	return true
}

// carry has a move made, and notes what came of it.
func (d *decider) carry(r *Region, g *ruling, m *move) {
	f, id, give := d.f, m.d.Node, m.d.Kind == policy.Demote
	limit := takeTime
	if give {
		limit = giveTime
	}
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	var err error
	switch {
	case id != f.cfg.Node:
		err = d.order(ctx, id, moveOrder{r.id, give, m.d.Numbers.Bytes})
	case give:
		err = r.GiveCopy(ctx)
	default:
		err = r.TakeCopy(ctx)
	}
	d.ended(r, g, m, err)
	if f.ctx.Err() == nil {
		d.keep(r, m, err)
	}
	d.wake.raise()
}

// ended counts a move.
func (d *decider) ended(r *Region, g *ruling, m *move, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id, now := m.d.Node, d.f.cfg.Now()
	if d.asked[id]--; d.asked[id] == 0 {
		delete(d.asked, id)
	}
	m.ended, g.again = now, true
	switch {
	case err != nil:
		d.count.Failed++
		delete(g.moves, id)
		x := g.refused[id]
		if x == nil {
			x = &refusal{}
			g.refused[id] = x
		}
		x.after = min(max(2*x.after, refuseLeast), refuseMost)
		x.until, x.why = now.Add(x.after), err.Error()
		d.f.cfg.Logger.Info("a copy could not be moved", "region", r.name, "node", id, "why", m.d.String(), "err", err)
		return
	case m.d.Kind == policy.Demote:
		d.count.Demoted++
		if m.d.Rule != policy.RuleRentOrBuy { // to have it again it has to be used anew
			d.policy.Expect(r.name, id)
			d.policy.Settle(r.name, id, false)
		}
	default:
		d.count.Promoted++
		d.count.Bytes += uint64(max(0, m.d.Numbers.Bytes))
	}
	delete(g.refused, id)
	d.f.cfg.Logger.Info("a copy moved", "region", r.name, "why", m.d.String(), "took", now.Sub(m.began).Round(time.Millisecond))
}

// take adds what other holders told of the use of a region.
func (d *decider) take(from crdt.NodeID, level pressure.Level, list []useReport) {
	now := d.f.cfg.Now()
	d.mu.Lock()
	if level >= pressure.Demote {
		d.pressed[from] = pressed{level, now}
	} else {
		delete(d.pressed, from)
	}
	d.mu.Unlock()
	for _, x := range list {
		r := d.f.regionByID(x.region)
		if r == nil || !r.keptBy(from) {
			continue
		}
		u := r.usedBy()
		if u == nil {
			continue
		}
		u.mu.Lock()
		for _, use := range x.use {
			u.note(use, now)
		}
		u.mu.Unlock()
	}
}

// pressureOf is how short of memory a node is, as far as is known. The caller holds mu.
func (d *decider) pressureOf(id crdt.NodeID, now time.Time) pressure.Level {
	if id == d.f.cfg.Node {
		return d.f.budget.verdict.Load().Level
	}
	if p, ok := d.pressed[id]; ok && now.Sub(p.at) < pressureFor {
		return p.level
	}
	return pressure.None
}

// roomFor says why this node has no room for a region of so many bytes, or nil.
func (r *Region) roomFor(bytes int64) error {
	f := r.f
	if level := f.budget.verdict.Load().Level; level >= pressure.Demote {
		return fmt.Errorf("%w: memory is short: %v", ErrMemoryFull, level)
	}
	if free := f.budget.writes - f.budget.used.Load(); f.cfg.MemoryBudget > 0 && free < bytes && !f.evicts.on() {
		return fmt.Errorf("%w: it takes %d bytes, and there are %d", ErrMemoryFull, bytes, max(0, free))
	}
	if quota := r.terms().quota; quota > 0 && bytes > quota {
		return fmt.Errorf("%w: it takes %d bytes of %d", ErrQuota, bytes, quota)
	}
	return nil
}

// carryOut moves this node's copy because the decider of its region asks for it.
func (d *decider) carryOut(ctx context.Context, from crdt.NodeID, o moveOrder) error {
	r := d.f.regionByID(o.region)
	switch {
	case !d.moves():
		return errors.New("copies move by hand alone here")
	case r == nil || !r.isPlaced():
		return errors.New("the region is not known here, or everywhere")
	case !r.keptBy(from):
		return errors.New("who asks is not known to hold it")
	}
	if n := d.busy.Add(1); n > movesAsked {
		d.busy.Add(-1)
		return fmt.Errorf("%d moves are under way here", movesAsked)
	}
	defer d.busy.Add(-1)
	var err error
	if o.give {
		ctx, cancel := context.WithTimeout(ctx, giveTime)
		defer cancel()
		err = r.GiveCopy(ctx)
	} else if r.Held() {
		return nil
	} else if err = r.roomFor(o.bytes); err == nil {
		ctx, cancel := context.WithTimeout(ctx, takeTime)
		defer cancel()
		err = r.TakeCopy(ctx)
	}
	if err == nil {
		d.mu.Lock()
		d.count.Carried++
		d.mu.Unlock()
	}
	return err
}

var (
	movesPromoted = fabricMetric("moves_promoted_total", "Copies that nodes took because this one decided so.", counter)
	movesDemoted  = fabricMetric("moves_demoted_total", "Copies that nodes gave up because this one decided so.", counter)
	movesFailed   = fabricMetric("moves_failed_total", "Decisions of this node on copies that could not be carried out.", counter)
	movesBytes    = fabricMetric("moves_bytes_total", "Bytes of the regions whose copies were taken, by their size in memory.", counter)
	movesCarried  = fabricMetric("moves_carried_out_total", "Moves of this node's copies that other nodes decided on.", counter)
	movesSaved    = fabricMetric("moves_reads_saved_total", "Reads of regions that are not everywhere that a copy here answered, and no other node had to.", counter)
	movesReports  = fabricMetric("moves_reports_total", "Reports of use sent to the nodes that decide.", counter)
)

func (s *MoveStats) collect(ch chan<- prometheus.Metric) {
	for _, x := range []struct {
		m metric
		n uint64
	}{
		{movesPromoted, s.Promoted}, {movesDemoted, s.Demoted}, {movesFailed, s.Failed}, {movesBytes, s.Bytes}, {movesCarried, s.Carried},
		{movesSaved, s.Saved}, {movesReports, s.Reports},
	} {
		x.m.send(ch, int(x.n))
	}
}

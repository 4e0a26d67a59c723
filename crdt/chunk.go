package crdt

import (
	"cmp"
	"fmt"
	"slices"
)

// chunk is a decoded part of a pull.
type chunk struct {
	region RegionID
	last   bool
	full   bool
	recon  bool
	lo, hi pos
	cut    Context // changes of the sender's context since the chunk before
	floors map[Origin]Seq
	scopes []span
	cells  []cellState
}

type cellState struct {
	key, sub string
	kind     CellKind
	tips     []cellTip
}

type cellTip struct {
	dot  Dot
	val  []byte
	hlc  HLC
	tag  Tag
	form byte
}

func (s *cellState) pos(k hashKey) pos { return k.pos(s.key, s.kind, s.sub) }

func (s *cellState) sameCell(o *cellState) bool {
	return s.kind == o.kind && s.key == o.key && s.sub == o.sub
}

// manyTips is where a look through the tips gives way to a map. A cell has about as many as concurrent writers.
const manyTips = 32

// names gives a function that reports whether the sender has a dot, as a sibling or, where ghosts is set, as a ghost.
func (s *cellState) names() func(d Dot, ghosts bool) bool {
	if len(s.tips) > manyTips {
		ghost := make(map[Dot]bool, len(s.tips))
		for i := range s.tips {
			ghost[s.tips[i].dot] = s.tips[i].form == tipGhost
		}
		return func(d Dot, ghosts bool) bool { g, ok := ghost[d]; return ok && g == ghosts }
	}
	return func(d Dot, ghosts bool) bool {
		return slices.ContainsFunc(s.tips, func(t cellTip) bool { return t.dot == d && (t.form == tipGhost) == ghosts })
	}
}

// twice reports whether a dot is there twice.
func (s *cellState) twice() bool {
	if len(s.tips) < 2 {
		return false
	}
	seen := make(map[Dot]bool, len(s.tips))
	for i := range s.tips {
		seen[s.tips[i].dot] = true
	}
	return len(seen) < len(s.tips)
}

func decodeChunk(msg []byte, key hashKey) (*chunk, error) {
	d := decoder{b: msg}
	d.version("a chunk")
	var c chunk
	copy(c.region[:], d.take(16))
	flags := d.byte()
	if flags&^(chunkLast|chunkFull|chunkRecon) != 0 {
		d.fail("a chunk with flags %#x", flags)
	}
	c.last, c.full, c.recon = flags&chunkLast != 0, flags&chunkFull != 0, flags&chunkRecon != 0
	ids := d.origins()
	c.lo, c.hi = d.pos(), d.pos()
	if c.hi.less(c.lo) {
		d.fail("a chunk's range ends before it begins")
	}
	c.cut = d.context(ids)
	c.floors = map[Origin]Seq{}
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		id := d.origin(ids)
		c.floors[id] = d.seq()
	}
	for n := d.count(32); n > 0; n-- {
		c.scopes = append(c.scopes, span{d.pos(), d.pos()})
	}
	n := d.count(4)
	for ; n > 0 && d.err == nil; n-- {
		c.cells = append(c.cells, d.cell(ids))
	}
	c.cells = sortCells(append(c.cells, d.columns(ids)...), key)
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("chunk: %w", err)
	}
	return &c, c.check(key)
}

func (d *decoder) cell(ids []Origin) cellState {
	s := cellState{kind: CellKind(d.byte())}
	s.key, s.sub = string(d.bytes(MaxKeyBytes)), string(d.bytes(MaxKeyBytes))
	d.checkCell(s.kind, s.key, s.sub)
	n := d.count(3)
	s.tips = make([]cellTip, 0, min(n, 1024))
	for range n {
		t := cellTip{form: d.byte(), dot: Dot{d.origin(ids), d.seq()}}
		switch t.form {
		case tipGhost, tipKnown:
		case tipValue:
			t.tag, t.hlc = Tag(d.byte()), HLC(d.u64())
			t.val = slices.Clone(d.bytes(MaxValueBytes))
			if t.tag == TagRemove || s.kind == CellDrop || s.kind == CellFlush {
				d.fail("a sibling of tag %d in a cell of kind %d", t.tag, s.kind)
			}
		default:
			d.fail("a tip of form %d", t.form)
		}
		if d.err != nil {
			return s
		}
		s.tips = append(s.tips, t)
	}
	return s
}

// check makes sure that the cells and scopes lie in the range, in order: the join relies on it.
func (c *chunk) check(key hashKey) error {
	for i := range c.scopes {
		s := c.scopes[i]
		if s.lo.less(c.lo) || c.hi.less(s.hi) || s.hi.less(s.lo) || i > 0 && !c.scopes[i-1].hi.less(s.lo) {
			return fmt.Errorf("chunk: %w: a scope outside the range or out of order", ErrMalformed)
		}
	}
	at := c.lo
	for i := range c.cells {
		p := c.cells[i].pos(key)
		if p.less(at) || c.hi.less(p) || i > 0 && p == at && c.cells[i].sameCell(&c.cells[i-1]) {
			return fmt.Errorf("chunk: %w: key %.64q outside the range or out of order", ErrMalformed, c.cells[i].key)
		}
		at = p
	}
	return nil
}

// Receiver is the pulling side of one pull. Make one for each Hello sent.
type Receiver struct {
	r    *Region
	cut  Context // the sender's context, as told so far
	all  Context // and what that was in every chunk: what the sender has seen everywhere
	from map[Origin]Seq
	last bool

	told     *Seen // what our Hello said
	recon    *recon
	reply    []byte
	back     *Pull // of what the sender lacks, see back.go
	withhold bool
	arrived  uint64 // Region.arrived when the Hello was made, and what came by chunks since that go on from each other
	reached  pos    // the furthest end of a chunk
}

// NewReceiver prepares to merge the answer to the Hello that the region would send now. Take both
// under one lock.
func (r *Region) NewReceiver() *Receiver {
	told := r.seenNow()
	return &Receiver{r: r, cut: told.Context.Clone(), from: map[Origin]Seq{}, told: told, arrived: r.arrived}
}

// NewEmptyReceiver prepares to merge the answer to no Hello at all: the peer assumes that nothing was seen.
func (r *Region) NewEmptyReceiver() *Receiver {
	return &Receiver{r: r, cut: Context{}, from: map[Origin]Seq{}, told: &Seen{}, arrived: r.arrived}
}

// Cut is the sender's context as of the last chunk, what it has seen in that part of the space only included.
func (rc *Receiver) Cut() Context { return rc.cut }

// ChunkRegion tells which region a chunk is for, without decoding the rest.
func ChunkRegion(msg []byte) (RegionID, error) {
	d := decoder{b: msg}
	d.version("a chunk")
	var id RegionID
	copy(id[:], d.take(16))
	return id, d.err
}

// Done reports whether the last chunk was merged.
func (rc *Receiver) Done() bool { return rc.last }

// Merge takes one message of the pull: it joins a chunk, atomically, whole or not at all, or takes a step of a
// reconciliation, for which TakeReply may give a reply. Errors: ErrMalformed, ErrVersion, ErrRolledBack.
func (rc *Receiver) Merge(msg []byte, now int64) error {
	r := rc.r
	if kind, err := chunkKind(msg, r.id); err != nil || kind >= msgOffer {
		if err == nil {
			err = rc.reconcile(msg)
		}
		if err != nil {
			return fmt.Errorf("region %q: pull: %w", r.name, err)
		}
		return nil
	}
	c, err := decodeChunk(msg, r.store.key)
	if err != nil {
		return fmt.Errorf("region %q: %w", r.name, err)
	}
	if c.recon && len(rc.told.Context)+len(rc.told.pieces) > 0 && (rc.recon == nil || !rc.recon.agreed) {
		return fmt.Errorf("region %q: chunk: %w: it relies on a reconciliation that did not end", r.name, ErrMalformed)
	}
	cut := rc.cut.with(c.cut)
	if err := r.checkChunk(c, cut); err != nil {
		return fmt.Errorf("region %q: %w", r.name, err)
	}
	r.protect(cut, now)
	rc.cut, rc.last = cut, c.last
	for id, f := range c.floors {
		rc.from[id] = max(rc.from[id], f)
	}
	rc.join(c, cut, now)
	rc.heard()
	return nil
}

// heard takes down, at the end, what the sender has seen of ours. What it has seen in a part of the space only does not count.
func (rc *Receiver) heard() {
	own := Context{}
	for id, runs := range rc.cut {
		if id.sameLine(rc.r.origin) {
			own[id] = runs
		}
	}
	if rc.all != nil {
		own = own.Intersect(rc.all)
	}
	if rc.all = own; rc.last {
		rc.r.NoteTold(own)
	}
}

// chunkKind is the byte after the region: a chunk's flags, or another kind of message.
func chunkKind(msg []byte, want RegionID) (byte, error) {
	d := decoder{b: msg}
	d.version("a message of a pull")
	var id RegionID
	copy(id[:], d.take(16))
	kind := d.byte()
	if d.err == nil && id != want {
		d.fail("it is for region %v", id)
	}
	return kind, d.err
}

// checkChunk refuses what a right sender never sends: dots that its context lacks, values left out that
// we do not have, more origins than a region may have.
func (r *Region) checkChunk(c *chunk, cut Context) error {
	if r.known()+len(cut) > 2*MaxOrigins || len(r.pieces) >= maxPieces {
		return fmt.Errorf("chunk: %w: %d origins, %d pieces: too many", ErrMalformed, len(cut), len(r.pieces))
	}
	if err := r.checkOwn(cut); err != nil {
		return err
	}
	for i := range c.cells {
		s := &c.cells[i]
		p := s.pos(r.store.key)
		if s.twice() {
			return fmt.Errorf("chunk: %w: key %.64q has one dot twice", ErrMalformed, s.key)
		}
		for j := range s.tips {
			t := &s.tips[j]
			if !cut.Has(t.dot) || t.dot.Origin.IsLine() {
				return fmt.Errorf("chunk: %w: key %.64q has %v, which its sender has not seen", ErrMalformed, s.key, t.dot)
			}
			if t.form == tipKnown && !r.has(p, t.dot) {
				return fmt.Errorf("chunk: %w: key %.64q lacks the value of %v", ErrMalformed, s.key, t.dot)
			}
		}
	}
	return nil
}

// join merges a checked chunk.
func (rc *Receiver) join(c *chunk, cut Context, now int64) {
	r, floors := rc.r, rc.from
	fresh, before := rc.reached.less(c.lo) || c.lo == posMin && rc.reached == posMin, r.arrived
	if c.full {
		r.raiseFloors(floors)
	}
	x := r.handle()
	for i := range c.cells {
		s := &c.cells[i]
		r.seek(x, s.key, s.kind, s.sub)
		r.joinCell(x, s, cut, floors, now)
	}
	for _, sc := range c.scopes {
		r.store.rewriteCells(r.store.places(sc.lo, sc.hi), func(x *cell) {
			if !c.names(x, r.store.key) {
				r.joinCell(x, &cellState{}, cut, floors, now)
			}
		})
	}
	quiet := fresh && before == rc.arrived
	if fresh {
		rc.arrived += r.arrived - before
	}
	rc.reached = maxPos(rc.reached, c.hi)
	if c.recon {
		rc.settle(c, cut, quiet)
	}
	if r.cfg.Mutant == MutantNoRangeCut {
		r.claimBrought(c, cut)
	} else {
		r.raise(c.lo, c.hi, cut)
	}
	r.stats.ChunksMerged++
	r.retryWaiting(now)
	r.trimPieces()
	r.absorbResets(now)
}

// names reports whether a cell is one of the chunk's, which are in the order of their positions.
func (c *chunk) names(x *cell, key hashKey) bool {
	i, _ := slices.BinarySearchFunc(c.cells, x, func(s cellState, x *cell) int {
		if n := s.pos(key).compare(x.at); n != 0 {
			return n
		}
		return cmp.Or(cmp.Compare(s.key, string(x.key)), cmp.Compare(s.kind, x.kind), cmp.Compare(s.sub, string(x.sub)))
	})
	return i < len(c.cells) && c.cells[i].is(x)
}

// is reports whether the state is one of cell x.
func (s *cellState) is(x *cell) bool {
	return s.kind == x.kind && s.key == string(x.key) && s.sub == string(x.sub)
}

// joins reports whether the chunk says all of a cell, by naming it or by a scope.
func (c *chunk) joins(x *cell, key hashKey) bool {
	return slices.ContainsFunc(c.scopes, func(s span) bool { return s.holds(x.at) }) || c.names(x, key)
}

// joinCell is rule 2: what the sender has seen and does not have is gone, what we have not seen is new.
// Ghosts follow the same rule, unless the sender may have pruned them.
func (r *Region) joinCell(x *cell, s *cellState, cut Context, floors map[Origin]Seq, now int64) {
	if r.cfg.Mutant == MutantWriteContexts {
		cut = tipContext(s)
	}
	p := x.pos()
	was, before := x.present(), r.stats.TipsMerged
	n := len(x.sibs) + len(x.ghosts)
	names := s.names()
	r.dropWhere(x, func(o *sibling) bool {
		d := r.dot(o.tip)
		return cut.Has(d) && !names(d, false)
	}, func(g tip) bool {
		d := r.dot(g)
		return cut.Has(d) && !names(d, true) && !pruned(floors, d)
	})
	dropped, found := n != len(x.sibs)+len(x.ghosts), false
	for i := range s.tips {
		if t := &s.tips[i]; !r.has(p, t.dot) {
			r.admit(x, t, now)
		} else if r.aside().lost > 0 && t.form == tipValue {
			found = r.findAgain(x, t) || found
		}
	}
	if found && !dropped && r.stats.TipsMerged == before {
		r.put(x, was)
	}
	if dropped || r.stats.TipsMerged != before {
		r.recount(x, was)
	}
}

// findAgain takes over the value of a sibling that is here and was lost.
func (r *Region) findAgain(x *cell, t *cellTip) bool {
	org, ok := r.numberOf(t.dot.Origin)
	if !ok {
		return false
	}
	i := x.sibling(tip{org, t.dot.Seq})
	if i < 0 || !x.sibs[i].lost {
		return false
	}
	came := sibling{val: t.val, hlc: t.hlc, tag: t.tag, tip: x.sibs[i].tip}
	if r.siblingHash(x, &came) != x.sibs[i].hash {
		return false
	}
	r.comeBack(&x.sibs[i], t.val)
	return true
}

func (r *Region) admit(x *cell, t *cellTip, now int64) {
	tag := t.tag
	if t.form == tipGhost {
		tag = TagRemove
	}
	r.place(x, sibling{val: t.val, hlc: t.hlc, tip: tip{r.intern(t.dot.Origin), t.dot.Seq}, tag: tag}, now)
	r.stats.TipsMerged++
}

// tipContext is what a cell's tips say by themselves, as if the writes of one origin to one cell were all
// that a pull could go by. It is too little; MutantWriteContexts uses it.
func tipContext(s *cellState) Context {
	c := Context{}
	for i := range s.tips {
		runs := c[s.tips[i].dot.Origin]
		runs.Union(Runs{Base: s.tips[i].dot.Seq})
		c[s.tips[i].dot.Origin] = runs
	}
	return c
}

package crdt

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrWrongType is returned when a key shows a kind that the operation is not for.
var ErrWrongType = errors.New("crdt: the key holds another kind of value")

// ErrTooLarge is returned for a key, member or field name of more than MaxKeyBytes, or a value of more than
// MaxValueBytes. Such a write is left out: no replica would take it, nor would a checkpoint read back.
var ErrTooLarge = errors.New("crdt: key or value too large")

// Tx reads and writes one region. What a function writes through one Tx has contiguous dots.
type Tx struct {
	View
	err   error // of a write that could not return it
	stamp HLC   // of writes that are written again; 0: now

	pullOnly bool // a push cannot tell what the next write goes after
}

// Writes counts the writes made here, also by earlier transactions: it grows with each.
func (t *Tx) Writes() uint64 { return t.r.stats.LocalWrites }

// Update runs fn with a transaction at now, Unix milliseconds. What fn wrote before it returned an error
// stays written: check first, then write. Errors: fn's, else ErrTooLarge for a Set that was left out, ErrUnreadable for a
// value that was asked for and cannot be read back.
func (r *Region) Update(now int64, fn func(*Tx) error) error {
	tx := r.begin(now)
	err := fn(tx)
	if err == nil {
		err = cmp.Or(tx.err, tx.View.err)
	}
	r.absorbResets(now)
	return err
}

// fits refuses what decoders refuse.
func fits(key, sub string, val []byte) error {
	if len(key) <= MaxKeyBytes && len(sub) <= MaxKeyBytes && len(val) <= MaxValueBytes {
		return nil
	}
	return fmt.Errorf("%w: key %.32q of %d bytes, member or field of %d (limit %d), value of %d (limit %d)",
		ErrTooLarge, key, len(key), len(sub), MaxKeyBytes, len(val), MaxValueBytes)
}

func (r *Region) begin(now int64) *Tx {
	if !r.hasSelf {
		r.self, r.hasSelf = r.intern(r.origin), true
	}
	tx := &r.store.working().tx
	*tx = Tx{View: View{r: r, now: now, writes: true}}
	return tx
}

// write issues the next dot to a cell. It covers every ghost of the cell, but not one of a scoped removal that has
// come to a part of its scope only, and the siblings that covers accepts; nil covers all. Others apply it only after the writes in after, which are to the same cell.
func (t *Tx) write(c *cell, tag Tag, val []byte, covers func(*sibling) bool, after ...tip) {
	r := t.r
	self := &r.origins[r.self]
	dot := tip{r.self, max(self.runs.Top(), r.aside().wrote) + 1}
	hlc, push := t.stamp, r.cfg.Push
	var deps []tip
	if hlc == 0 {
		hlc = r.clock.Next(t.now)
	}
	if r.cfg.Trace != nil {
		r.cfg.Trace(Written{r.dot(dot), string(c.key), string(c.sub), c.kind, tag, hlc, val})
	}
	was := c.present()
	for i := len(c.sibs) - 1; i >= 0; i-- {
		if covers == nil || covers(&c.sibs[i]) {
			if push {
				deps = append(deps, c.sibs[i].tip)
			}
			r.dropSibling(c, i)
		}
	}
	for i := len(c.ghosts) - 1; i >= 0; i-- {
		if g := c.ghosts[i]; !c.scopes() || r.everywhere(g) {
			if push {
				deps = append(deps, g)
			}
			r.dropGhost(c, i)
		}
	}
	if push && r.causal {
		r.outgoing().past.note(r)
	}
	r.claim(dot)
	if tag == TagRemove {
		r.addGhost(c, dot)
	} else {
		r.addSibling(c, sibling{val: val, hlc: hlc, tip: dot, tag: tag})
	}
	r.recount(c, was)
	r.stats.LocalWrites++
	if push {
		op := outOp{tip: dot, tag: tag, val: val, hlc: hlc, absent: t.pullOnly, deps: deps}
		op.after = append(r.scopeGhosts(c), after...)
		o := r.outgoing()
		o.add(c, op)
		o.past.version = r.version
	}
}

// scopeGhosts lists the ghosts of whole-entry and whole-region removals that a write to c comes after.
func (r *Region) scopeGhosts(c *cell) []tip {
	var out []tip
	add := func(scope *cell) {
		if scope == nil || scope.ref == c.ref {
			return
		}
		for _, g := range scope.ghosts {
			if len(r.pieces) == 0 || r.has(c.pos(), r.dot(g)) {
				out = append(out, g)
			}
		}
	}
	add(r.flushed())
	if !c.solo() {
		add(r.store.entryAt(c.in).cell(CellDrop, ""))
	}
	return out
}

// prepare readies a key for a write: what has expired, or is left over without a value, is removed first. Where there
// is no entry, it gives the hash of one.
func (t *Tx) prepare(key string) entry {
	h := t.r.store.key.string(0, key)
	e := t.r.find(h, key)
	if e.ok() && !e.isRegister() && !t.shows(e) && leftOver(e) {
		t.drop(key)
		e = t.r.find(h, key)
	}
	e.hash = h
	return e
}

// leftOver reports whether an entry that shows nothing still holds siblings that a new value must not inherit.
func leftOver(e entry) bool {
	if e.many() {
		return headLiveCells(e.b) > 0
	}
	found := false
	e.each(0, func(c *cell) bool {
		found = live(c)
		return !found
	})
	return found
}

// live reports whether a cell holds siblings that are more than resets.
func live(c *cell) bool {
	return slices.ContainsFunc(c.sibs, func(s sibling) bool { return s.tag != TagReset })
}

// need gives the entry for a write of kind k.
func (t *Tx) need(key string, k Kind) (entry, error) {
	e := t.prepare(key)
	if have := e.kind(); have != KindNone && have != k {
		return e, ErrWrongType
	}
	return e, nil
}

// Set makes key a register that holds val, whatever it was. Unless keepTTL, its expiry goes. What is too large
// is left out, and Update returns ErrTooLarge. val is kept until the next push: the caller must not change it, nor give what a View
// of this region returned.
func (t *Tx) Set(key string, val []byte, keepTTL bool) {
	if err := fits(key, "", val); err != nil {
		t.err = cmp.Or(t.err, err)
		return
	}
	e := t.prepare(key)
	if e.isRegister() && t.overwrite(e, val) {
		return
	}
	if exp := e.exp(); !e.plain() && e.kind() > KindString {
		t.drop(key)
		if keepTTL && exp != 0 {
			defer t.Expire(key, exp)
		}
		e = t.r.find(e.hash, key)
		e.hash = t.r.store.key.string(0, key)
	}
	expires := !e.plain() && e.record(CellExpiry, "") != 0
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellValue, "")
	t.assign(c, val)
	if expires && !keepTTL {
		t.clearExpiry(key)
	}
}

// assign writes a register over everything in a value or field cell.
func (t *Tx) assign(c *cell, val []byte) {
	resets := t.resetOthers(c)
	t.write(c, TagReg, val, t.coverable, resets...)
}

// coverable: a reset of another origin's contribution stays until its owner absorbs it.
func (t *Tx) coverable(s *sibling) bool { return s.tag != TagReset || t.r.resetsUs(s) }

// resetOthers leaves a reset for each contribution of another origin in the cell, and gives their dots: the write
// that they belong to goes after them, so that nobody takes it without them.
func (t *Tx) resetOthers(c *cell) (resets []tip) {
	type counted struct {
		tip
		reset
	}
	var of []counted // read before the first write: values are parts of the record
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagCount && s.org != t.r.self {
			k := decodeContribution(s.val)
			of = append(of, counted{s.tip, reset{t.r.origins[s.org].id, s.seq, k.baseSeq, k.total}})
		}
	}
	if len(of) == 0 {
		return nil
	}
	slices.SortFunc(of, func(a, b counted) int { return cmp.Compare(a.tip.seq, b.tip.seq) })
	for _, x := range of {
		t.write(c, TagReset, x.encode(), func(o *sibling) bool {
			return o.tip == x.tip || o.tag == TagReset && x.replaces(decodeReset(o.val))
		})
		resets = append(resets, tip{t.r.self, t.r.origins[t.r.self].runs.Top()})
	}
	return resets
}

// remove takes out everything in one cell.
func (t *Tx) remove(c *cell) {
	resets := t.resetOthers(c)
	t.write(c, TagRemove, nil, t.coverable, resets...)
}

func (t *Tx) clearExpiry(key string) {
	if c := t.r.lookup(key).cell(CellExpiry, ""); c != nil && len(c.sibs) > 0 {
		t.write(c, TagRemove, nil, nil)
	}
}

// Incr adds delta to the integer at key, which starts at 0. Errors: ErrWrongType, ErrNotInteger, ErrOverflow.
func (t *Tx) Incr(key string, delta int64) (int64, error) {
	if err := fits(key, "", nil); err != nil {
		return 0, err
	}
	e, err := t.need(key, KindString)
	if err != nil {
		return 0, err
	}
	return t.incrCell(e, key, CellValue, "", delta)
}

func (t *Tx) incrCell(e entry, key string, kind CellKind, sub string, delta int64) (int64, error) {
	c := t.r.handle()
	t.r.seekIn(c, e, key, kind, sub)
	cur, err := t.r.integer(c)
	if err != nil {
		return 0, t.failed(err)
	}
	next := cur.add(num{small: delta})
	if !next.isInt64() {
		return 0, ErrOverflow
	}
	if err := t.contribute(c, num{small: delta}); err != nil {
		return 0, err
	}
	return next.small, nil
}

// IncrFloat adds a decimal to the number at key, which starts at 0, and gives the sum as a decimal without
// exponent. Errors: ErrWrongType, ErrNotNumber (the value or the argument), ErrOverflow.
func (t *Tx) IncrFloat(key, decimal string) (string, error) {
	if err := fits(key, "", nil); err != nil {
		return "", err
	}
	e, err := t.need(key, KindString)
	if err != nil {
		return "", err
	}
	return t.incrFloatCell(e, key, CellValue, "", decimal)
}

func (t *Tx) incrFloatCell(e entry, key string, kind CellKind, sub, decimal string) (string, error) {
	delta, err := parseNum(decimal)
	if err != nil {
		return "", err
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, kind, sub)
	cur, err := t.r.number(c)
	if err != nil {
		return "", t.failed(err)
	}
	next := cur.add(delta)
	if next.tooLong() {
		return "", ErrOverflow
	}
	if err := t.contribute(c, delta); err != nil {
		return "", err
	}
	return next.String(), nil
}

// contribute adds delta to our contribution in a cell. Our sum may not fit where others' make the total small.
func (t *Tx) contribute(c *cell, delta num) error {
	k := t.ours(c)
	if k.total = k.total.add(delta); k.total.tooLong() {
		return ErrOverflow
	}
	t.assignContribution(c, k)
	return nil
}

// ours is our contribution in the cell with the latest reset of it absorbed, or the beginning of a new chain.
func (t *Tx) ours(c *cell) (k contribution) {
	r := t.r
	var seq Seq
	if c != nil {
		for i := range c.sibs {
			if s := &c.sibs[i]; s.tag == TagCount && s.org == r.self {
				k, seq = decodeContribution(s.val), s.seq
			}
		}
	}
	if seq == 0 {
		return contribution{baseSeq: r.OwnTop()}
	}
	if x, ok := latestReset(c, r.origin, k, seq); ok {
		k.baseSeq, k.base = x.seq, x.total
	}
	return k
}

// assignContribution replaces our contribution, and takes out the resets that it has absorbed.
func (t *Tx) assignContribution(c *cell, k contribution) {
	r := t.r
	t.pullOnly = t.endForgotten(c)
	defer func() { t.pullOnly = false }()
	t.write(c, TagCount, k.encode(), func(s *sibling) bool {
		return s.tag == TagCount && s.org == r.self || s.tag == TagReset && r.resetsUs(s)
	}, t.endOfChain(c)...)
}

// endOfChain lists what a write goes after that takes out resets of a chain which has ended: whoever still has
// a contribution of that chain needs the resets until it knows what ended it.
func (t *Tx) endOfChain(c *cell) (after []tip) {
	resets := false
	for i := range c.sibs {
		switch s := &c.sibs[i]; {
		case s.tag == TagCount && s.org == t.r.self:
			return nil
		case s.tag == TagReset && t.r.resetsUs(s):
			resets = true
		default:
			after = append(after, s.tip)
		}
	}
	if !resets {
		return nil
	}
	return after
}

// endForgotten reports whether what ended the chain of resets of ours in c may be a ghost that was forgotten. A push cannot
// tell then what a write goes after that takes the resets out; a pull can.
func (t *Tx) endForgotten(c *cell) bool {
	resets := false
	for i := range c.sibs {
		s := &c.sibs[i]
		if s.tag == TagCount && s.org == t.r.self {
			return false
		}
		resets = resets || s.tag == TagReset && t.r.resetsUs(s)
	}
	return resets && slices.ContainsFunc(t.r.origins, func(o originState) bool { return o.floor > 0 })
}

// absorbResets rewrites our contributions that others have reset meanwhile, so that the resets can go.
func (r *Region) absorbResets(now int64) {
	for len(r.aside().settle) > 0 {
		cells := r.aside().settle
		r.setAside().settle = nil
		tx := r.begin(now)
		r.store.rewriteCells(cells, tx.absorb)
	}
}

func (t *Tx) absorb(c *cell) {
	if c.kind == CellBound {
		if !c.present() && t.r.rowIn(c) {
			t.remove(c)
		}
		return
	}
	ours, theirs := false, false
	for i := range c.sibs {
		s := &c.sibs[i]
		ours = ours || s.tag == TagCount && s.org == t.r.self
		theirs = theirs || s.tag == TagReset && t.r.resetsUs(s)
	}
	switch {
	case theirs && ours:
		t.assignContribution(c, t.ours(c))
	case theirs:
		t.pullOnly = t.endForgotten(c)
		defer func() { t.pullOnly = false }()
		t.write(c, TagRemove, nil, func(s *sibling) bool { return s.tag == TagReset && t.r.resetsUs(s) }, t.endOfChain(c)...)
	}
}

// Del removes the entry. It reports whether there was one to see.
func (t *Tx) Del(key string) bool {
	e := t.r.lookup(key)
	seen := t.shows(e)
	t.prepare(key)
	if seen {
		t.drop(key)
	}
	return seen
}

// fewRemoves is up to how many cells of an entry are removed one by one. A scoped remove is one write for any number, but
// waits at a peer until that has seen all that we had; a string with an expiry is too common for that.
const fewRemoves = 2

// drop removes all that is live in an entry: plain removes for few cells, one scoped remove for more.
func (t *Tx) drop(key string) {
	var cells []pos
	e := t.r.lookup(key)
	e.each(0, func(c *cell) bool {
		if live(c) {
			cells = append(cells, c.at)
		}
		return true
	})
	if len(cells) <= fewRemoves {
		t.eachOf(key, cells, t.remove)
		return
	}
	t.eachOf(key, cells, func(c *cell) { t.resetOthers(c) })
	t.scoped(key, CellDrop)
}

// eachOf calls fn on the cells of one entry at some positions. fn may write to its cell.
func (t *Tx) eachOf(key string, at []pos, fn func(*cell)) {
	t.r.store.rewriteCells(at, func(c *cell) {
		if string(c.key) == key {
			fn(c)
		}
	})
}

// Flush removes every entry with one delta.
func (t *Tx) Flush() {
	r := t.r
	if r.live == 0 {
		return
	}
	var counted []pos
	r.store.eachCell(posMin, posMax, func(c *cell) bool {
		if slices.ContainsFunc(c.sibs, func(s sibling) bool { return s.tag == TagCount && s.org != r.self }) {
			counted = append(counted, c.at)
		}
		return true
	})
	r.store.rewriteCells(counted, func(c *cell) { t.resetOthers(c) })
	t.scoped("", CellFlush)
}

// scoped removes everything in the scope of a cell, an entry or the region, that this replica has seen.
func (t *Tx) scoped(key string, kind CellKind) {
	r := t.r
	t.removeBeyond(scopeAt(r.store.key.entry(key, kind), kind))
	ctx := r.Context()
	c := r.upsert(key, kind, "")
	t.write(c, TagRemove, nil, nil)
	if r.cfg.Push {
		r.out.scope(ctx)
	}
	r.clearScope(c, r.everywhere)
}

// removeBeyond removes one by one what an unfinished pull has brought: the context that a scoped remove carries
// is the one of the whole region, and would not cover it.
func (t *Tx) removeBeyond(s span) {
	r := t.r
	if len(r.pieces) == 0 {
		return
	}
	beyond := func(x sibling) bool { return x.tag != TagReset && !r.everywhere(x.tip) }
	r.store.rewriteCells(r.store.places(s.lo, s.hi), func(c *cell) {
		if slices.ContainsFunc(c.sibs, beyond) {
			t.remove(c)
		}
	})
}

// clearScope drops the siblings and ghosts in the scope of c that seen accepts. Resets stay: they are not
// values, and only their owners may take them out. Scope ghosts of a smaller or the same scope go.
func (r *Region) clearScope(c *cell, seen func(tip) bool) {
	drops := func(s *sibling) bool { return s.tag != TagReset && seen(s.tip) }
	s, kind, key := scopeOf(c), c.kind, string(c.key)
	r.store.rewriteCells(r.store.places(s.lo, s.hi), func(x *cell) {
		if x.kind == kind && (kind == CellFlush || string(x.key) == key) || kind == CellDrop && string(x.key) != key {
			return
		}
		was, n := x.present(), len(x.sibs)+len(x.ghosts)
		r.dropWhere(x, drops, seen)
		if len(x.sibs)+len(x.ghosts) != n {
			r.recount(x, was)
		}
	})
}

// SetAdd adds a member. A member that is there is written again, so that a concurrent remove of the earlier
// add does not take it. It reports whether the member was new.
func (t *Tx) SetAdd(key, member string) (added bool, err error) {
	if err := fits(key, member, nil); err != nil {
		return false, err
	}
	e, err := t.need(key, KindSet)
	if err != nil {
		return false, err
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellMember, member)
	added = !c.present()
	t.write(c, TagMember, nil, nil)
	return added, nil
}

// SetRemove removes the member as far as it was seen here. It reports whether there was one.
func (t *Tx) SetRemove(key, member string) (removed bool, err error) {
	return t.removeSub(key, KindSet, CellMember, member)
}

func (t *Tx) removeSub(key string, k Kind, kind CellKind, sub string) (bool, error) {
	e, err := t.need(key, k)
	if err != nil {
		return false, err
	}
	c := e.cell(kind, sub)
	if c == nil || !c.present() {
		return false, nil
	}
	t.remove(c)
	if t.r.lookup(key).kind() == KindNone {
		t.clearExpiry(key)
	}
	return true, nil
}

// MapSet writes a field. It reports whether the field was new.
func (t *Tx) MapSet(key, field string, val []byte) (added bool, err error) {
	if err := fits(key, field, val); err != nil {
		return false, err
	}
	e, err := t.need(key, KindMap)
	if err != nil {
		return false, err
	}
	if t.overwriteField(e, field, val) {
		return false, nil
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellField, field)
	added = !c.present()
	t.assign(c, val)
	return added, nil
}

// MapDel removes the field as far as it was seen here. It reports whether there was one.
func (t *Tx) MapDel(key, field string) (removed bool, err error) {
	return t.removeSub(key, KindMap, CellField, field)
}

// MapIncr adds delta to the integer in a field, as Incr does.
func (t *Tx) MapIncr(key, field string, delta int64) (int64, error) {
	if err := fits(key, field, nil); err != nil {
		return 0, err
	}
	e, err := t.need(key, KindMap)
	if err != nil {
		return 0, err
	}
	return t.incrCell(e, key, CellField, field, delta)
}

// MapIncrFloat adds a decimal to the number in a field, as IncrFloat does.
func (t *Tx) MapIncrFloat(key, field, decimal string) (string, error) {
	if err := fits(key, field, nil); err != nil {
		return "", err
	}
	e, err := t.need(key, KindMap)
	if err != nil {
		return "", err
	}
	return t.incrFloatCell(e, key, CellField, field, decimal)
}

// Expire makes the entry invisible from the instant on, Unix milliseconds; an instant that is past
// removes it now. It reports whether there was an entry.
func (t *Tx) Expire(key string, at int64) bool {
	e := t.prepare(key)
	if !t.shows(e) {
		return false
	}
	if at <= t.now {
		t.drop(key)
		return true
	}
	t.write(t.r.upsert(key, CellExpiry, ""), TagExpiry, encodeInstant(at), nil)
	return true
}

// Persist takes the expiry away, concurrent ones too. It reports whether there was one.
func (t *Tx) Persist(key string) bool {
	e := t.prepare(key)
	if !t.shows(e) || e.exp() == 0 {
		return false
	}
	t.write(t.r.upsert(key, CellExpiry, ""), TagExpiry, encodeInstant(never), nil)
	return true
}

package crdt

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
)

// View reads one region at one instant. It is valid only while nothing writes to the region, and so
// are the byte slices that it returns: copy what must last. Expired entries are invisible.
type View struct {
	r       *Region
	now     int64
	clock   func() int64 // gives now, when it is asked for first; nil: it was
	touched uint64
	writes  bool      // nothing else reads
	wanted  []headRef // entries whose order was made for this view alone
	err     error     // of a value that cannot be read
	lazy    bool      // single values that are away are not read,
	missing []Missing // but noted
}

// Missing is a value that a lazy View was asked for and that is on disk alone: give the record under Key to Region.Return. A packed
// one is in memory and was read: Region.Unpack makes the next read cheaper.
type Missing struct {
	Key    []byte
	Packed bool
}

// missingMax bounds what one View notes.
const missingMax = 256

// Lazy makes Get and MapGet answer ErrAway for values that are away, and note them, instead of reading them while the region is locked.
// What reads many values reads them all the same.
func (v *View) Lazy(on bool) { v.lazy = on }

// Missed reports whether a lazy View was asked for a value that is on disk alone.
func (v *View) Missed() bool {
	return slices.ContainsFunc(v.missing, func(m Missing) bool { return !m.Packed })
}

// Missing lists what was noted since the last call. What it gives is reused.
func (v *View) Missing() []Missing {
	out := v.missing
	v.missing = v.missing[:0]
	return out
}

// ErrAway says that a value is on disk alone, to whoever reads lazily.
var ErrAway = errors.New("crdt: the value is on disk")

// Err is the first ErrUnreadable of this view.
func (v *View) Err() error { return v.err }

// TakeErr is Err, and forgets it: whoever reads for several clients tells one of it.
func (v *View) TakeErr() error {
	err := v.err
	v.err = nil
	return err
}

// failed notes an error for Err, and gives it back.
func (v *View) failed(err error) error {
	if v.err == nil && errors.Is(err, ErrUnreadable) {
		v.err = err
	}
	return err
}

// misses notes that a cell holds a value that is away, and reports whether it does.
func (v *View) misses(e entry, kind CellKind, sub string) bool {
	if !v.lazy || v.r.aside().away == 0 {
		return false
	}
	c := e.cell(kind, sub)
	if c == nil {
		return false
	}
	w := v.r.winner(c)
	if w == nil || !w.away || w.lost {
		return false
	}
	if len(v.missing) < missingMax {
		v.missing = append(v.missing, Missing{v.r.cellKey(c.key, c.kind, c.sub), w.packed != nil})
	}
	return w.packed == nil
}

// View reads at now, Unix milliseconds.
func (r *Region) View(now int64) *View { return &View{r: r, now: now} }

// Touched is the EntryHash of the entry that was looked up last through this view; 0 if none was.
func (v *View) Touched() uint64 { return v.touched }

// Look makes v a View that asks clock for its instant, Unix milliseconds, when it first needs it: of most entries it is not needed. v
// may be used again and again.
func (r *Region) Look(v *View, clock func() int64) {
	*v = View{r: r, clock: clock, missing: v.missing[:0]}
}

// Version grows with every write and merge that the region shows.
func (v *View) Version() uint64 { return v.r.version }

// Now is the instant of the view, Unix milliseconds.
func (v *View) Now() int64 {
	if v.clock != nil {
		v.now, v.clock = v.clock(), nil
	}
	return v.now
}

func (v *View) shows(e entry) bool {
	if e.kind() == KindNone {
		return false
	}
	exp := e.exp()
	return exp == 0 || exp > v.Now()
}

// get finds an entry that shows, or none.
func (v *View) get(key string) entry {
	v.touched = v.r.store.key.string(0, key)
	if e := v.r.find(v.touched, key); e.ok() && v.shows(e) {
		return e
	}
	return entry{}
}

// of finds an entry of kind k, or none; an entry of another kind is ErrWrongType.
func (v *View) of(key string, k Kind) (entry, error) {
	e := v.get(key)
	if e.ok() && e.kind() != k {
		return entry{}, ErrWrongType
	}
	return e, nil
}

// Kind is what key shows; KindNone if it is absent.
func (v *View) Kind(key string) Kind { return v.get(key).kind() }

// Get reads a register or counter as bytes. Errors: ErrWrongType, ErrUnreadable, ErrAway of a lazy View.
func (v *View) Get(key string) (val []byte, ok bool, err error) {
	v.touched = v.r.store.key.string(0, key)
	e := v.r.find(v.touched, key)
	if val, ok = e.register(); ok { // most entries
		if v.r.store.policy != nil {
			v.r.store.touch(e.ref)
		}
		return val, true, nil
	}
	if !e.ok() || !v.shows(e) {
		return nil, false, nil
	}
	if e.kind() != KindString {
		return nil, false, ErrWrongType
	}
	return v.scalarOf(e, CellValue, "")
}

// scalarOf reads a cell that is there.
func (v *View) scalarOf(e entry, kind CellKind, sub string) (val []byte, ok bool, err error) {
	if v.misses(e, kind, sub) {
		return nil, false, ErrAway
	}
	if v.r.store.policy != nil {
		v.r.store.touch(e.record(kind, sub))
	}
	if val, err = v.r.scalarOf(e, kind, sub); err != nil {
		return nil, false, v.failed(err)
	}
	return val, true, nil
}

// Sibling is one of the concurrent values of a register.
type Sibling struct {
	Value []byte
	Dot   Dot
	HLC   HLC
}

// Siblings lists the concurrent values of the register at key, the one that Get shows first. Where one cannot be read it lists
// none, and Err tells.
func (v *View) Siblings(key string) []Sibling {
	e := v.get(key)
	if !e.ok() {
		return nil
	}
	return v.registers(e.cell(CellValue, ""))
}

// MapSiblings lists the concurrent values of one map field, the one that MapGet shows first.
func (v *View) MapSiblings(key, field string) []Sibling {
	e := v.get(key)
	if !e.ok() {
		return nil
	}
	return v.registers(e.cell(CellField, field))
}

// registers lists a cell's registers; none if one of them cannot be read, which Err then tells.
func (v *View) registers(c *cell) []Sibling {
	r := v.r
	if c == nil || v.failed(r.fetch(c, isAway)) != nil {
		return nil
	}
	var regs []sibling
	for _, s := range c.sibs {
		if s.tag == TagReg {
			regs = append(regs, s)
		}
	}
	slices.SortFunc(regs, func(a, b sibling) int { return r.laterSibling(&b, &a) })
	out := make([]Sibling, len(regs))
	for i, s := range regs {
		out[i] = Sibling{s.val, r.dot(s.tip), s.hlc}
	}
	return out
}

// SetHas reports whether member is in the set. Error: ErrWrongType.
func (v *View) SetHas(key, member string) (bool, error) {
	e, err := v.of(key, KindSet)
	if !e.ok() {
		return false, err
	}
	return e.shows(CellMember, member), nil
}

// SetLen counts the members. Error: ErrWrongType.
func (v *View) SetLen(key string) (int, error) {
	e, err := v.of(key, KindSet)
	if !e.ok() {
		return 0, err
	}
	return e.count(CellMember), nil
}

// SetEach calls fn on each member, in an order that is the same on every replica, until fn returns false.
func (v *View) SetEach(key string, fn func(member string) bool) error {
	e, err := v.of(key, KindSet)
	if !e.ok() {
		return err
	}
	e.each(0, func(c *cell) bool { return c.kind != CellMember || !c.present() || fn(string(c.sub)) })
	return nil
}

// SetScan calls fn on about count members from cursor on and returns the next cursor, 0 at the end.
// A member that is there from the first call to the last is delivered at least once.
func (v *View) SetScan(key string, cursor uint64, count int, fn func(member string)) (next uint64, err error) {
	e, err := v.of(key, KindSet)
	if !e.ok() {
		return 0, err
	}
	return e.scan(cursor, count, CellMember, func(c *cell) { fn(string(c.sub)) }), nil
}

// scan visits the present cells of one kind from a cursor on. Cells with one hash are visited together, so
// the cursor, a hash, never splits them.
func (e entry) scan(cursor uint64, count int, kind CellKind, fn func(*cell)) (next uint64) {
	n, last := 0, cursor
	e.each(cursor, func(c *cell) bool {
		if n >= count && c.at.c != last {
			next = c.at.c
			return false
		}
		last = c.at.c
		n++
		if c.kind == kind && c.present() {
			fn(c)
		}
		return true
	})
	return next
}

// MapGet reads one field as bytes. Errors as of Get.
func (v *View) MapGet(key, field string) ([]byte, bool, error) {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return nil, false, err
	}
	if !e.shows(CellField, field) {
		return nil, false, nil
	}
	return v.scalarOf(e, CellField, field)
}

// MapLen counts the fields. Error: ErrWrongType.
func (v *View) MapLen(key string) (int, error) {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return 0, err
	}
	return e.count(CellField), nil
}

// MapEach calls fn on each field, in an order that is the same on every replica, until fn returns false. Errors: ErrWrongType,
// ErrUnreadable, with which it ends.
func (v *View) MapEach(key string, fn func(field string, val []byte) bool) error {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return err
	}
	e.each(0, func(c *cell) bool {
		if c.kind != CellField || !c.present() {
			return true
		}
		var val []byte
		if val, err = v.r.scalar(c); err != nil {
			return false
		}
		return fn(string(c.sub), val)
	})
	return v.failed(err)
}

// MapNames calls fn on the name of each field, as MapEach does. It reads no values. Error: ErrWrongType.
func (v *View) MapNames(key string, fn func(field string) bool) error {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return err
	}
	e.each(0, func(c *cell) bool { return c.kind != CellField || !c.present() || fn(string(c.sub)) })
	return nil
}

// MapHas reports whether the field is there. It reads no value. Error: ErrWrongType.
func (v *View) MapHas(key, field string) (bool, error) {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return false, err
	}
	return e.shows(CellField, field), nil
}

// MapScan is to fields as SetScan is to members.
func (v *View) MapScan(key string, cursor uint64, count int, fn func(field string, val []byte)) (next uint64, err error) {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return 0, err
	}
	next = e.scan(cursor, count, CellField, func(c *cell) {
		val, bad := v.r.scalar(c)
		if bad != nil {
			err = cmp.Or(err, bad)
			return
		}
		fn(string(c.sub), val)
	})
	return next, v.failed(err)
}

// ExpireAt is when the entry expires, Unix milliseconds; ok is false where it does not, or is absent.
func (v *View) ExpireAt(key string) (unixMilli int64, ok bool) {
	exp := v.get(key).exp()
	return exp, exp != 0
}

// Len counts the entries, expired ones that were not swept yet included.
func (v *View) Len() int { return v.r.visible }

// Scan calls fn on about count keys from cursor on and returns the next cursor, 0 at the end. A key that
// is there from the first call to the last is delivered at least once, also when the table grows.
func (v *View) Scan(cursor uint64, count int, fn func(key string, kind Kind)) (next uint64) {
	n, last := 0, cursor
	v.r.store.eachEntry(cursor, func(e entry) bool {
		if n >= count && e.hash != last {
			next = e.hash
			return false
		}
		last = e.hash
		n++
		if v.shows(e) {
			fn(string(e.key()), e.kind())
		}
		return true
	})
	return next
}

// KeysWithPrefix calls fn on every key that starts with prefix, until fn returns false. It looks at every
// entry of the region.
func (v *View) KeysWithPrefix(prefix string, fn func(key string, kind Kind) bool) {
	start := []byte(prefix)
	v.r.store.eachEntry(0, func(e entry) bool {
		return !bytes.HasPrefix(e.key(), start) || !v.shows(e) || fn(string(e.key()), e.kind())
	})
}

// Int reads the counter, or the register that holds an integer, at key; 0 if it is absent. Errors:
// ErrWrongType, ErrNotInteger.
func (v *View) Int(key string) (int64, error) {
	e, err := v.of(key, KindString)
	if !e.ok() {
		return 0, err
	}
	n, err := v.r.number(e.cell(CellValue, ""))
	if errors.Is(err, ErrUnreadable) {
		return 0, v.failed(err)
	}
	if err != nil || !n.isInt64() {
		return 0, ErrNotInteger
	}
	return n.small, nil
}

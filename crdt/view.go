package crdt

import (
	"bytes"
	"slices"
)

// View reads one region at one instant. It is valid only while nothing writes to the region, and so
// are the byte slices that it returns: copy what must last. Expired entries are invisible.
type View struct {
	r       *Region
	now     int64
	touched uint64
}

// View reads at now, Unix milliseconds.
func (r *Region) View(now int64) *View { return &View{r: r, now: now} }

// Touched is the EntryHash of the entry that was looked up last through this view; 0 if none was.
func (v *View) Touched() uint64 { return v.touched }

// Now is the instant of the view, Unix milliseconds.
func (v *View) Now() int64 { return v.now }

func (v *View) shows(e entry) bool {
	if e.kind() == KindNone {
		return false
	}
	exp := e.exp()
	return exp == 0 || exp > v.now
}

// get finds an entry that shows, or none.
func (v *View) get(key string) entry {
	v.touched = v.r.key.string(0, key)
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

// Get reads a register or counter as bytes. Error: ErrWrongType.
func (v *View) Get(key string) (val []byte, ok bool, err error) {
	v.touched = v.r.key.string(0, key)
	e := v.r.find(v.touched, key)
	if val, ok = e.register(); ok { // most entries
		return val, true, nil
	}
	if !e.ok() || !v.shows(e) {
		return nil, false, nil
	}
	if e.kind() != KindString {
		return nil, false, ErrWrongType
	}
	return v.r.scalarOf(e, CellValue, ""), true, nil
}

// Sibling is one of the concurrent values of a register.
type Sibling struct {
	Value []byte
	Dot   Dot
	HLC   HLC
}

// Siblings lists the concurrent values of the register at key, the one that Get shows first.
func (v *View) Siblings(key string) []Sibling {
	e := v.get(key)
	if !e.ok() {
		return nil
	}
	return v.r.registers(e.cell(CellValue, ""))
}

// MapSiblings lists the concurrent values of one map field, the one that MapGet shows first.
func (v *View) MapSiblings(key, field string) []Sibling {
	e := v.get(key)
	if !e.ok() {
		return nil
	}
	return v.r.registers(e.cell(CellField, field))
}

func (r *Region) registers(c *cell) []Sibling {
	if c == nil {
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

// MapGet reads one field as bytes. Error: ErrWrongType.
func (v *View) MapGet(key, field string) ([]byte, bool, error) {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return nil, false, err
	}
	if !e.shows(CellField, field) {
		return nil, false, nil
	}
	return v.r.scalarOf(e, CellField, field), true, nil
}

// MapLen counts the fields. Error: ErrWrongType.
func (v *View) MapLen(key string) (int, error) {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return 0, err
	}
	return e.count(CellField), nil
}

// MapEach calls fn on each field, in an order that is the same on every replica, until fn returns false.
func (v *View) MapEach(key string, fn func(field string, val []byte) bool) error {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return err
	}
	e.each(0, func(c *cell) bool {
		return c.kind != CellField || !c.present() || fn(string(c.sub), v.r.scalar(c))
	})
	return nil
}

// MapScan is to fields as SetScan is to members.
func (v *View) MapScan(key string, cursor uint64, count int, fn func(field string, val []byte)) (next uint64, err error) {
	e, err := v.of(key, KindMap)
	if !e.ok() {
		return 0, err
	}
	return e.scan(cursor, count, CellField, func(c *cell) { fn(string(c.sub), v.r.scalar(c)) }), nil
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
	if err != nil || !n.isInt64() {
		return 0, ErrNotInteger
	}
	return n.small, nil
}

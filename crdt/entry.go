package crdt

import (
	"encoding/binary"
	"slices"
)

// entry is one key's cells: a handle on a record, solo or head, see store.go. The zero entry is none. It is valid
// until the region is written to.
type entry struct {
	s    *store
	b    []byte
	ref  uint64
	hash uint64
}

func (e entry) ok() bool { return e.ref != 0 }

// many reports whether the entry has several cells.
func (e entry) many() bool { return e.ref != 0 && e.b[0]&formMask == formHead }

func (e entry) key() []byte { return entryKey(e.b) }

// count is how many cells of a kind show something.
func (e entry) count(kind CellKind) int {
	if e.ref == 0 {
		return 0
	}
	if e.b[0]&formMask == formHead {
		return headCountOf(e.b, kind)
	}
	if p := unpack(e.b); p.kind == kind && p.present() {
		return 1
	}
	return 0
}

// exp is the effective expiry, Unix ms; 0 none.
func (e entry) exp() int64 {
	if e.ref == 0 {
		return 0
	}
	if e.b[0]&formMask == formHead {
		return headExpiry(e.b)
	}
	if CellKind(e.b[1]&nibbleWide) != CellExpiry {
		return 0
	}
	var c cell
	e.load(&c, e.ref)
	return latestInstant(&c)
}

// kind is what the entry shows, expiry aside.
func (e entry) kind() Kind {
	if e.ref == 0 {
		return KindNone
	}
	if e.b[0]&formMask != formHead {
		p := unpack(e.b)
		if !p.present() {
			return KindNone
		}
		return kindOf(p.kind)
	}
	for _, k := range shownKinds {
		if headCountOf(e.b, k) > 0 {
			return kindOf(k)
		}
	}
	return KindNone
}

// shownKinds are those of cells that show something, in the order in which entries show them.
var shownKinds = [...]CellKind{CellBound, CellNode, CellBlock, CellEntry, CellStream, CellFlag, CellItem, CellScore, CellField, CellMember, CellValue}

// kindOf is the kind of an entry of which a cell of this kind shows.
func kindOf(k CellKind) Kind {
	switch k {
	case CellValue:
		return KindString
	case CellMember:
		return KindSet
	case CellField:
		return KindMap
	case CellScore:
		return KindSorted
	case CellItem:
		return KindList
	case CellFlag:
		return KindFlag
	case CellEntry, CellStream:
		return KindStream
	case CellBlock:
		return KindBlock
	case CellNode:
		return KindJSON
	case CellBound:
		return KindBounded
	}
	return KindNone
}

// record finds the record of a cell, or 0.
func (e entry) record(kind CellKind, sub string) uint64 {
	if e.ref == 0 {
		return 0
	}
	is := func(ref uint64) bool {
		p := unpack(e.s.mem.Bytes(ref))
		return p.kind == kind && string(p.sub) == sub
	}
	if e.b[0]&formMask == formHead {
		t := e.s.cellsOf(e.b)
		return t.find(e.s.key.cell(kind, sub), is)
	}
	if is(e.ref) {
		return e.ref
	}
	return 0
}

// cell finds a cell, or nil.
func (e entry) cell(kind CellKind, sub string) *cell {
	ref := e.record(kind, sub)
	if ref == 0 {
		return nil
	}
	c := new(cell)
	e.load(c, ref)
	return c
}

// shows reports whether a cell is there that shows something.
func (e entry) shows(kind CellKind, sub string) bool {
	ref := e.record(kind, sub)
	if ref == 0 {
		return false
	}
	p := unpack(e.s.mem.Bytes(ref))
	return p.present()
}

// isRegister reports whether the entry holds one register and nothing else, as most do.
func (e entry) isRegister() bool {
	return e.ref != 0 && isRegister(e.b)
}

// register is the value of such an entry.
func (e entry) register() (val []byte, ok bool) {
	if !e.isRegister() {
		return nil, false
	}
	b := e.b
	if n := int(b[2]); n < 0x80 {
		return value(b[3+n:], b[0]&recordWide != 0), true
	}
	_, b = cut(b[2:])
	return value(b, e.b[0]&recordWide != 0), true
}

// plain reports whether the entry is none, or a value without an expiry.
func (e entry) plain() bool {
	return e.ref == 0 || e.b[0]&formMask == formSolo && CellKind(e.b[1]&nibbleWide) == CellValue
}

// load reads a cell of the entry.
func (e entry) load(c *cell, ref uint64) {
	p := unpack(e.s.mem.Bytes(ref))
	e.s.take(c, &p, ref, e)
}

// size is how many cells there are.
func (e entry) size() int {
	switch {
	case e.ref == 0:
		return 0
	case e.b[0]&formMask == formHead:
		t := e.s.cellsOf(e.b)
		return t.n
	}
	return 1
}

// each calls fn on the cells from hash from on, in order, until fn returns false. The cell is one handle, read anew for
// each. fn must not write to the region.
func (e entry) each(from uint64, fn func(*cell) bool) {
	var c cell
	e.records(from, func(ref uint64) bool {
		e.load(&c, ref)
		return c.at.c < from || fn(&c)
	})
}

// records calls fn on the records of the cells from hash from on, and maybe a few before it, until fn returns false.
func (e entry) records(from uint64, fn func(ref uint64) bool) {
	switch {
	case e.ref == 0:
	case e.b[0]&formMask == formHead:
		t := e.s.cellsOf(e.b)
		t.ascend(from, fn)
	default:
		fn(e.ref)
	}
}

// entryAt is the entry of a record, solo or head.
func (s *store) entryAt(ref uint64) entry {
	if ref == 0 {
		return entry{}
	}
	b := s.mem.Bytes(ref)
	return entry{s, b, ref, s.entryHash(b)}
}

// find finds an entry by its hash and key. It is table.find written out: every read and write of a key passes here.
func (s *store) find(h uint64, key string) entry {
	t := &s.entries
	if t.n == 0 {
		return entry{}
	}
	h28 := h >> refBits
	for at := t.home(h28) * slotBytes; at+slotBytes <= len(t.b); at += slotBytes {
		x := binary.LittleEndian.Uint64(t.b[at:])
		if x>>refBits < h28 && x != 0 {
			continue
		}
		if x>>refBits != h28 || x == 0 {
			break
		}
		ref := x & refMask
		var b []byte
		if own := s.slabs; own != nil {
			b = own.Bytes(ref)
		} else {
			b = s.mem.Bytes(ref)
		}
		if ahead(b) && hasKey(b, key) {
			return entry{s, b, ref, h}
		}
	}
	return entry{}
}

// ahead is true of every record. It looks at the first byte and at one a cache line behind it, so that the processor fetches both
// lines at once, and not the value's after the key's.
func ahead(b []byte) bool {
	const line = 64
	return b[0]|b[min(line, len(b)-1)] != 0
}

// eachEntry calls fn on every entry whose hash is at least from, in order, until fn returns false. fn must not
// write to the region.
func (s *store) eachEntry(from uint64, fn func(entry) bool) {
	s.entries.ascend(from, func(ref uint64) bool {
		e := s.entryAt(ref)
		return e.hash < from || fn(e)
	})
}

// load reads the cell of a record, solo or part.
func (s *store) load(c *cell, ref uint64) {
	p := unpack(s.mem.Bytes(ref))
	in := p.head
	if in == 0 {
		in = ref
	}
	s.take(c, &p, ref, s.entryAt(in))
}

// take makes c the handle on a record of entry e.
func (s *store) take(c *cell, p *packed, ref uint64, e entry) {
	c.ref, c.in, c.epoch = ref, e.ref, s.epoch
	c.kind, c.sub, c.dirty, c.arrival = p.kind, p.sub, p.flags&recordDirty != 0, p.arrival
	if c.key = p.key; p.head != 0 {
		c.key = entryKey(e.b)
	}
	c.at = pos{e.hash, s.value}
	if p.kind != CellValue || len(p.sub) > 0 {
		c.at.c = s.key.cellBytes(p.kind, p.sub)
	}
	c.fresh = c.fresh[:0]
	p.decode(c)
}

// posOf is the position of a record's cell.
func (s *store) posOf(ref uint64) pos {
	p := unpack(s.mem.Bytes(ref))
	in := ref
	if p.head != 0 {
		in = p.head
	}
	return pos{s.entryHash(s.mem.Bytes(in)), s.key.cellBytes(p.kind, p.sub)}
}

// at lists the records of the cells at a position, mostly one.
func (s *store) at(p pos, refs []uint64) []uint64 {
	s.entries.alike(p.e, func(ref uint64) bool {
		if e := s.entryAt(ref); e.hash == p.e {
			refs = e.at(p.c, refs)
		}
		return true
	})
	return refs
}

func (e entry) at(h uint64, refs []uint64) []uint64 {
	is := func(ref uint64) bool {
		if x := unpack(e.s.mem.Bytes(ref)); e.s.key.cellBytes(x.kind, x.sub) == h {
			refs = append(refs, ref)
		}
		return true
	}
	if e.many() {
		t := e.s.cellsOf(e.b)
		t.alike(h, is)
	} else {
		is(e.ref)
	}
	return refs
}

// eachCell calls fn on the cells of [lo, hi] by position until it returns false. The cell is one handle, read anew for
// each. fn must not write to the region.
func (s *store) eachCell(lo, hi pos, fn func(*cell) bool) {
	more := true
	var c cell
	s.eachEntry(lo.e, func(e entry) bool {
		if e.hash > hi.e {
			return false
		}
		from := uint64(0)
		if e.hash == lo.e {
			from = lo.c
		}
		e.records(from, func(ref uint64) bool {
			e.load(&c, ref)
			if c.at.c < from {
				return true
			}
			if e.hash == hi.e && c.at.c > hi.c {
				return false
			}
			more = fn(&c)
			return more
		})
		return more
	})
}

// cellsFrom lists the cells of [lo, hi] by position.
func (s *store) cellsFrom(lo, hi pos) []*cell {
	var out []*cell
	s.eachCell(lo, hi, func(c *cell) bool {
		x := new(cell)
		x.copyFrom(c)
		out = append(out, x)
		return true
	})
	return out
}

// places lists the positions of [lo, hi] that have cells.
func (s *store) places(lo, hi pos) []pos {
	var out []pos
	s.eachCell(lo, hi, func(c *cell) bool {
		out = append(out, c.at)
		return true
	})
	slices.SortFunc(out, pos.compare) // entries that share a hash have their cells between each other's
	return slices.Compact(out)
}

// rewriteCells calls fn on the cells at each of some positions. fn may write to its cell.
func (s *store) rewriteCells(at []pos, fn func(*cell)) {
	var c cell
	var refs []uint64
	for _, p := range at {
		refs = s.at(p, refs[:0])
		if len(refs) == 1 {
			s.load(&c, refs[0])
			fn(&c)
			continue
		}
		for _, x := range s.named(refs) { // a write to one may move another
			if ref := s.find(p.e, x.key).record(x.kind, x.sub); ref != 0 {
				s.load(&c, ref)
				fn(&c)
			}
		}
	}
}

// cellName names a cell for as long as one likes.
type cellName struct {
	key, sub string
	kind     CellKind
}

func (s *store) named(refs []uint64) []cellName {
	out := make([]cellName, len(refs))
	for i, ref := range refs {
		var c cell
		s.load(&c, ref)
		out[i] = cellName{string(c.key), string(c.sub), c.kind}
	}
	return out
}

package crdt

import "slices"

// CellKind says what a cell holds within its entry. Cells are the grain of replication: an entry is one
// or more cells, and a change to one set member or map field is a change to one cell.
type CellKind uint8

// The cell kinds. Numbers are on the wire and on disk; kinds from newer versions are kept and relayed.
const (
	CellValue  CellKind = 1 // the entry's scalar: register siblings and counter contributions
	CellMember CellKind = 2 // one set member, named by Sub
	CellField  CellKind = 3 // one map field, named by Sub: register siblings and counter contributions
	CellExpiry CellKind = 4 // when the entry expires
	CellDrop   CellKind = 5 // ghosts of whole-entry removals
	CellFlush  CellKind = 6 // ghosts of whole-region removals, in an entry of their own without a key
)

// Tag says what one sibling in a cell is.
type Tag uint8

// The tags. TagRemove never stays in a cell: it makes a ghost.
const (
	TagRemove Tag = 0
	TagReg    Tag = 1 // a register value
	TagCount  Tag = 2 // one origin's counter contribution
	TagReset  Tag = 3 // what a removal had seen of another origin's contribution
	TagMember Tag = 4 // presence of a set member
	TagExpiry Tag = 5 // an expiry instant
)

// pos places a cell in the hash space: its entry, then itself. Ranges of positions are what a pull goes
// by, because every dot belongs to exactly one cell and so to exactly one range.
type pos struct{ e, c uint64 }

var (
	posMin = pos{}
	posMax = pos{^uint64(0), ^uint64(0)}
)

func (p pos) less(q pos) bool { return p.e < q.e || p.e == q.e && p.c < q.c }

func (p pos) compare(q pos) int {
	switch {
	case p.less(q):
		return -1
	case q.less(p):
		return 1
	}
	return 0
}

// pos is where a cell is placed: ghosts of removals with a scope come first in it, so that whoever pulls has
// them before anything that they reach (see Pull.rewind).
func (k hashKey) pos(key string, kind CellKind, sub string) pos {
	return pos{k.entry(key, kind), k.cell(kind, sub)}
}

// entry places an entry. Ghosts of whole-region removals are in an entry of their own, which comes first
// and is not the one of the key "".
func (k hashKey) entry(key string, kind CellKind) uint64 {
	if kind == CellFlush {
		return 0
	}
	return k.string(0, key)
}

// next is the position after p; posMax has none and stays.
func (p pos) next() pos {
	if p.c++; p.c == 0 {
		if p.e++; p.e == 0 {
			return posMax
		}
	}
	return p
}

// tip is a dot with its origin interned; the small integer never leaves its region.
type tip struct {
	org uint32
	seq Seq
}

// sibling is one live dotted value of a cell.
type sibling struct {
	val []byte
	hlc HLC
	tip
	tag Tag
}

// cell holds the live siblings and the ghosts of one position.
type cell struct {
	e      *entry
	hash   uint64
	sub    string
	sibs   []sibling
	ghosts []tip
	kind   CellKind
	dirty  bool // listed in Region.dirty
	gone   bool // taken out of its entry
}

func (c *cell) pos() pos { return pos{c.e.hash, c.hash} }

// present reports whether the cell shows something to a reader.
func (c *cell) present() bool {
	switch c.kind {
	case CellValue, CellField:
		for i := range c.sibs {
			if t := c.sibs[i].tag; t == TagReg || t == TagCount {
				return true
			}
		}
	case CellMember:
		for i := range c.sibs {
			if c.sibs[i].tag == TagMember {
				return true
			}
		}
	}
	return false
}

// scopes reports whether the cell holds ghosts of removals that reach beyond it.
func (c *cell) scopes() bool { return c.kind == CellDrop || c.kind == CellFlush }

func (c *cell) hasTip(t tip) bool {
	return c.sibling(t) >= 0 || slices.Contains(c.ghosts, t)
}

// sibling is the index of the sibling with dot t, or -1.
func (c *cell) sibling(t tip) int {
	for i := range c.sibs {
		if c.sibs[i].tip == t {
			return i
		}
	}
	return -1
}

func (c *cell) empty() bool { return len(c.sibs) == 0 && len(c.ghosts) == 0 }

// entry is one key's cells. Most entries have one.
type entry struct {
	hash  uint64
	key   string
	cells []*cell    // up to fewCells, in the order of their hashes
	many  *cellTable // beyond
	count [CellExpiry]int32
	exp   int64 // effective expiry, Unix ms; 0 none
}

// cellTable is the cells of a large entry, and how they are hashed.
type cellTable struct {
	table[cell]
	key hashKey
}

// fewCells is where a sorted slice gives way to a table: a linear look through 16 pointers costs about a probe.
const fewCells = 16

func (k hashKey) cell(kind CellKind, sub string) uint64 {
	if kind == CellDrop || kind == CellFlush {
		return 0
	}
	return k.string(uint64(kind)*k1, sub)
}

func (e *entry) cell(kind CellKind, sub string) *cell {
	if e == nil {
		return nil
	}
	if e.many == nil {
		for _, c := range e.cells {
			if c.kind == kind && c.sub == sub {
				return c
			}
		}
		return nil
	}
	return e.many.find(e.many.key.cell(kind, sub), func(c *cell) bool { return c.kind == kind && c.sub == sub })
}

func (e *entry) addCell(c *cell, key hashKey) {
	if e.many != nil {
		e.many.insert(c.hash, c)
		return
	}
	if len(e.cells) < fewCells {
		i, _ := slices.BinarySearchFunc(e.cells, c.hash, func(x *cell, h uint64) int {
			if x.hash < h {
				return -1
			}
			return 1
		})
		e.cells = slices.Insert(e.cells, i, c)
		return
	}
	e.many = &cellTable{key: key}
	for _, x := range append(e.cells, c) {
		e.many.insert(x.hash, x)
	}
	e.cells = nil
}

func (e *entry) removeCell(c *cell) {
	c.gone = true
	if e.many != nil {
		e.many.remove(c.hash, c)
		return
	}
	if i := slices.Index(e.cells, c); i >= 0 {
		e.cells = slices.Delete(e.cells, i, i+1)
	}
}

func (e *entry) size() int {
	if e.many != nil {
		return e.many.n
	}
	return len(e.cells)
}

// each calls fn on the cells from hash from on, in order, until fn returns false. fn must not add or
// remove cells.
func (e *entry) each(from uint64, fn func(*cell) bool) {
	if e.many != nil {
		e.many.ascend(from, func(_ uint64, c *cell) bool { return fn(c) })
		return
	}
	for _, c := range e.cells {
		if c.hash >= from && !fn(c) {
			return
		}
	}
}

// all collects the cells, for callers that change the entry on the way.
func (e *entry) all() []*cell {
	out := make([]*cell, 0, e.size())
	e.each(0, func(c *cell) bool { out = append(out, c); return true })
	return out
}

// Kind is what an entry shows to a reader.
type Kind uint8

// The kinds that this version shows. Where concurrent writes left several under one key, the one with
// the higher number shows, until a write settles it.
const (
	KindNone   Kind = 0
	KindString Kind = 1 // register and counter
	KindSet    Kind = 2
	KindMap    Kind = 3
)

// String gives Redis's names.
func (k Kind) String() string {
	switch k {
	case KindString:
		return "string"
	case KindSet:
		return "set"
	case KindMap:
		return "hash"
	}
	return "none"
}

// kind is what the entry shows, expiry aside.
func (e *entry) kind() Kind {
	switch {
	case e == nil:
		return KindNone
	case e.count[CellField] > 0:
		return KindMap
	case e.count[CellMember] > 0:
		return KindSet
	case e.count[CellValue] > 0:
		return KindString
	}
	return KindNone
}

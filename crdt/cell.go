package crdt

// CellKind says what a cell holds within its entry. Cells are the grain of replication: an entry is one
// or more cells, and a change to one set member or map field is a change to one cell.
type CellKind uint8

// The cell kinds. Numbers are on the wire and on disk; kinds from newer versions are kept and relayed.
const (
	CellValue  CellKind = 1  // the entry's scalar: register siblings and counter contributions
	CellMember CellKind = 2  // one set member, named by Sub
	CellField  CellKind = 3  // one map field, named by Sub: register siblings and counter contributions
	CellExpiry CellKind = 4  // when the entry expires
	CellDrop   CellKind = 5  // ghosts of whole-entry removals
	CellFlush  CellKind = 6  // ghosts of whole-region removals, in an entry of their own without a key
	CellScore  CellKind = 7  // one member of a sorted set, named by Sub: registers of its score and counter contributions
	CellFlag   CellKind = 8  // the entry's flag
	CellItem   CellKind = 9  // one element of a list, Sub is its position
	CellEntry  CellKind = 10 // one entry of a stream, named by its id, see streamid.go
	CellStream CellKind = 11 // what a stream knows beside its entries
	CellBlock  CellKind = 12 // a block's length
	CellPage   CellKind = 13 // one page of a block, Sub is its number
	CellNode   CellKind = 14 // one node of a JSON document, Sub is its path
	CellBound  CellKind = 15 // a bounded counter: its head and what each incarnation did
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
	TagFlag   Tag = 6 // a flag's state, and which one wins
	TagRow    Tag = 7 // what one incarnation did to a bounded counter
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
	tag  Tag
	away bool   // the value is on disk alone, see away.go: val is nil until it was read,
	lost bool   // and cannot be read
	size uint32 // of a value that is away,
	hash uint64 // and its siblingHash
	// The value, packed (pack.go); nil where it is not. One that is packed counts as away.
	packed []byte
}

// cell holds the live siblings and the ghosts of one position: a handle on a record, see store.go. It is written to by
// Region.change and Region.write alone.
type cell struct {
	at      pos
	key     []byte // these three are parts of the record, or of name
	sub     []byte
	sibs    []sibling
	ghosts  []tip
	ref     uint64 // the record; 0: none yet
	in      uint64 // the entry's record, ref itself where it is solo; 0: none yet
	epoch   uint64 // of the store, when the handle was read
	kind    CellKind
	dirty   bool
	arrival uint64 // of a stream's entry: its place among those that came to be here, see stream.go
	fresh   []tip  // added since, and not in the dot index yet
	name    []byte // the key and name of a cell without a record
	room    [1]sibling
	first   [1]tip
}

func (c *cell) pos() pos { return c.at }

// solo reports whether the cell is all of its entry.
func (c *cell) solo() bool { return c.in == c.ref }

// shows reports whether a sibling of tag in a cell of kind shows something to a reader.
func shows(kind CellKind, tag Tag) bool {
	switch kind {
	case CellValue, CellField, CellScore, CellNode:
		return tag == TagReg || tag == TagCount
	case CellItem, CellBlock, CellEntry, CellStream, CellBound:
		return tag == TagReg
	case CellFlag:
		return tag == TagFlag
	case CellMember:
		return tag == TagMember
	}
	return false
}

// present reports whether the cell shows something to a reader.
func (c *cell) present() bool {
	for i := range c.sibs {
		if shows(c.kind, c.sibs[i].tag) {
			return true
		}
	}
	return false
}

// scopes reports whether the cell holds ghosts of removals that reach beyond it.
func (c *cell) scopes() bool { return isScope(c.kind) }

func isScope(kind CellKind) bool { return kind == CellDrop || kind == CellFlush }

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

// copyFrom makes c a handle like o.
func (c *cell) copyFrom(o *cell) {
	sibs, ghosts := append(c.sibs[:0], o.sibs...), append(c.ghosts[:0], o.ghosts...)
	c.at, c.key, c.sub, c.ref, c.in, c.epoch, c.kind, c.dirty = o.at, o.key, o.sub, o.ref, o.in, o.epoch, o.kind, o.dirty
	c.arrival = o.arrival
	c.sibs, c.ghosts, c.fresh = sibs, ghosts, c.fresh[:0]
}

func (k hashKey) cell(kind CellKind, sub string) uint64 {
	if isScope(kind) {
		return 0
	}
	return k.string(uint64(kind)*k1, sub)
}

// cellBytes is cell of a name in bytes.
func (k hashKey) cellBytes(kind CellKind, sub []byte) uint64 {
	if isScope(kind) {
		return 0
	}
	return k.bytes(uint64(kind)*k1, sub)
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
	KindSorted Kind = 4
	KindList   Kind = 5
	KindFlag   Kind = 6
	KindStream Kind = 7
	KindBlock  Kind = 9
	KindJSON   Kind = 10
	// KindBounded is a counter that never passes its limit, see bounded.go.
	KindBounded Kind = 11
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
	case KindSorted:
		return "zset"
	case KindList:
		return "list"
	case KindFlag:
		return "flag"
	case KindBounded:
		return "bounded"
	case KindStream:
		return "stream"
	case KindBlock:
		return "block"
	case KindJSON:
		return "ReJSON-RL" // as Redis has it of RedisJSON's
	}
	return "none"
}

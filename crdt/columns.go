package crdt

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Most cells hold one sibling or one ghost, most origins write keys and values of like lengths, and what is pulled together was
// often written together. Written one after the other such cells cost 19 bytes each beside key and value. Written by
// columns, in the order of their dots, a column is a run of one number, or of small ones:
//
//	column   of a cell                                        bytes a cell, normally
//	head     kind, form, tag, whether its key is that before  0
//	origin   of its dot                                       0
//	seq      behind that of the cell before                   1
//	millis   of its stamp, behind that of the cell before     0 to 1
//	logical  of its stamp, behind what the dots lead to       0 to 1
//	lengths  of key, name and value                           0 to 3
//	keys, names, values                                       their bytes
//
// Columns of like bytes also leave a compressor more to find. The cells of a block are not in the order of their positions:
// whoever reads it sorts them (sortCells).

// columnsMax bounds the cells of one block, so that a short message cannot fill the memory: 13 MB. What is
// beyond belongs in the chunk's list.
const columnsMax = 1 << 16

// columnsMin is from how many cells on a block is shorter than the list.
const columnsMin = 2

// The columns of numbers, as they follow each other.
const (
	colHead = iota
	colOrigin
	colSeq
	colMillis
	colLogical
	colKey
	colSub
	colVal
	colCount
)

// Bits of a head: kind - 1 below, then form, tag, and whether the key is that of the cell before.
const (
	headForm    = 2
	headTag     = 4
	headTagMax  = 7
	headSameKey = 1 << 7
)

// simple reports whether a block by columns can hold the cell: one sibling or ghost, and nothing of a newer version.
func (c *cell) simple() bool {
	if c.kind < CellValue || c.kind > CellExpiry || len(c.sibs)+len(c.ghosts) != 1 {
		return false
	}
	return len(c.ghosts) == 1 || c.sibs[0].tag <= headTagMax
}

// splitSimple tells apart the cells that go in a block, if it is worth one, and those that go in the chunk's list.
func splitSimple(cells []*cell) (simple, others []*cell) {
	for _, c := range cells {
		if c.simple() && len(simple) < columnsMax {
			simple = append(simple, c)
		} else {
			others = append(others, c)
		}
	}
	if len(simple) < columnsMin {
		return nil, cells
	}
	return simple, others
}

// row is a simple cell on its way into a block.
type row struct {
	c    *cell
	seq  Seq
	org  uint32
	form byte
}

// sib is what the cell sends of its sibling: nil for a ghost, or where the peer knows it.
func (x *row) sib() *sibling {
	if x.form != tipValue {
		return nil
	}
	return &x.c.sibs[0]
}

func compareRows(a, b row) int {
	switch {
	case a.org < b.org || a.org == b.org && a.seq < b.seq:
		return -1
	case a.org == b.org && a.seq == b.seq:
		return 0
	}
	return 1
}

// rows lists simple cells by their dots.
func (r *Region) rows(cells []*cell, theirs Context) []row {
	out := make([]row, 0, len(cells))
	for _, c := range cells {
		if len(c.ghosts) > 0 {
			out = append(out, row{c, c.ghosts[0].seq, c.ghosts[0].org, tipGhost})
		} else {
			out = append(out, row{c, c.sibs[0].seq, c.sibs[0].org, tipValue})
		}
	}
	slices.SortFunc(out, compareRows)
	var seen Runs
	for i := range out {
		x := &out[i]
		if i == 0 || x.org != out[i-1].org {
			seen = theirs.of(r.origins[x.org].id)
		}
		if x.form == tipValue && seen.Has(x.seq) {
			x.form = tipKnown
		}
	}
	return out
}

// appendColumns encodes up to columnsMax simple cells, each once, for a peer that has seen theirs.
func (r *Region) appendColumns(b []byte, t *originTable, cells []*cell, theirs Context) []byte {
	b = binary.AppendUvarint(b, uint64(len(cells)))
	if len(cells) == 0 {
		return b
	}
	w := blockWriter{rows: r.rows(cells, theirs)}
	var origin uint64
	for i := range w.rows {
		if i == 0 || w.rows[i].org != w.rows[i-1].org {
			origin = t.index(r.origins[w.rows[i].org].id)
		}
		w.put(i, origin)
	}
	for i := range w.cols {
		b = w.cols[i].append(b)
	}
	return w.appendBytes(b)
}

// blockWriter makes a block.
type blockWriter struct {
	rows             []row
	cols             [colCount]column
	at               place
	keys, subs, vals int // bytes
}

// sameKey reports whether a row has the key of the one before.
func (w *blockWriter) sameKey(i int) bool {
	return i > 0 && bytes.Equal(w.rows[i].c.key, w.rows[i-1].c.key)
}

// put adds a row's numbers.
func (w *blockWriter) put(i int, origin uint64) {
	x := &w.rows[i]
	head := uint64(x.c.kind-CellValue) | uint64(x.form)<<headForm
	if w.sameKey(i) {
		head |= headSameKey
	} else {
		w.cols[colKey].add(uint64(len(x.c.key)))
		w.keys += len(x.c.key)
	}
	if x.c.kind == CellMember || x.c.kind == CellField {
		w.cols[colSub].add(uint64(len(x.c.sub)))
		w.subs += len(x.c.sub)
	}
	w.at.putDot(&w.cols, origin, x.seq)
	if s := x.sib(); s != nil {
		head |= uint64(s.tag) << headTag
		w.at.putStamp(&w.cols, s.hlc)
		w.cols[colVal].add(uint64(len(s.val)))
		w.vals += len(s.val)
	}
	w.cols[colHead].add(head)
}

// appendBytes writes keys, names and values.
func (w *blockWriter) appendBytes(b []byte) []byte {
	b = slices.Grow(b, w.keys+w.subs+w.vals+16)
	b = binary.AppendUvarint(b, uint64(w.keys))
	for i := range w.rows {
		if !w.sameKey(i) {
			b = append(b, w.rows[i].c.key...)
		}
	}
	b = binary.AppendUvarint(b, uint64(w.subs))
	if w.subs > 0 {
		for i := range w.rows {
			b = append(b, w.rows[i].c.sub...)
		}
	}
	b = binary.AppendUvarint(b, uint64(w.vals))
	for i := range w.rows {
		if s := w.rows[i].sib(); s != nil {
			b = append(b, s.val...)
		}
	}
	return b
}

// place is what dots and stamps are told against: those of the cell before.
type place struct {
	origin  uint64
	seq     Seq
	stamped Seq // the last dot that came with a stamp
	hlc     HLC
}

func (p *place) putDot(cols *[colCount]column, origin uint64, seq Seq) {
	if origin != p.origin {
		p.origin, p.seq = origin, 0
	}
	cols[colOrigin].add(origin)
	cols[colSeq].add(uint64(seq - p.seq))
	p.seq = seq
}

// putStamp writes the stamp of the dot just written.
func (p *place) putStamp(cols *[colCount]column, h HLC) {
	cols[colMillis].addSigned(h.Millis() - p.hlc.Millis())
	cols[colLogical].addSigned(int64(h&0xffff) - p.logical(h.Millis()))
	p.stamped, p.hlc = p.seq, h
}

// logical is what a stamp's logical part is likely to be: writes of one millisecond count up with their dots, and
// those of another begin at 0.
func (p *place) logical(millis int64) int64 {
	if millis != p.hlc.Millis() {
		return 0
	}
	return int64(p.hlc&0xffff) + int64(p.seq-p.stamped)
}

// column collects numbers, both one by one and as runs of equal ones. The shorter goes out.
type column struct {
	plain, runs []byte
	last, n     uint64
}

func (c *column) add(x uint64) {
	c.plain = binary.AppendUvarint(c.plain, x)
	if x != c.last {
		c.flush()
	}
	c.last = x
	c.n++
}

func (c *column) addSigned(x int64) { c.add(uint64(x)<<1 ^ uint64(x>>63)) }

func (c *column) flush() {
	if c.n > 0 {
		c.runs = binary.AppendUvarint(binary.AppendUvarint(c.runs, c.last), c.n)
		c.n = 0
	}
}

// append writes twice the length, one more for runs, and the bytes.
func (c *column) append(b []byte) []byte {
	c.flush()
	if len(c.runs) < len(c.plain) {
		return append(binary.AppendUvarint(b, uint64(len(c.runs))<<1|1), c.runs...)
	}
	return append(binary.AppendUvarint(b, uint64(len(c.plain))<<1), c.plain...)
}

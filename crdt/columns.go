package crdt

import (
	"cmp"
	"encoding/binary"
	"fmt"
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

// columnsMax bounds the cells of one block, so that a short message cannot fill the memory: 12 MB. What is
// beyond belongs in the chunk's list.
const columnsMax = 1 << 16

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

// splitSimple tells apart the cells that a block can hold, and those that belong in a list.
func splitSimple(cells []*cell) (simple, others []*cell) {
	for _, c := range cells {
		if c.simple() && len(simple) < columnsMax {
			simple = append(simple, c)
		} else {
			others = append(others, c)
		}
	}
	return simple, others
}

// row is a simple cell on its way into a block.
type row struct {
	c    *cell
	sib  *sibling // nil: a ghost
	tip  tip
	form byte
}

func (x *row) tag() Tag {
	if x.form != tipValue {
		return 0
	}
	return x.sib.tag
}

func (x *row) val() []byte {
	if x.form != tipValue {
		return nil
	}
	return x.sib.val
}

// rows lists simple cells by their dots.
func (r *Region) rows(cells []*cell, theirs Context) []row {
	out := make([]row, 0, len(cells))
	for _, c := range cells {
		if len(c.ghosts) > 0 {
			out = append(out, row{c, nil, c.ghosts[0], tipGhost})
		} else {
			out = append(out, row{c, &c.sibs[0], c.sibs[0].tip, tipValue})
		}
	}
	slices.SortFunc(out, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.tip.org, b.tip.org), cmp.Compare(a.tip.seq, b.tip.seq))
	})
	var seen Runs
	for i := range out {
		x := &out[i]
		if i == 0 || x.tip.org != out[i-1].tip.org {
			seen = theirs[r.origins[x.tip.org].id]
		}
		if x.form == tipValue && seen.Has(x.tip.seq) {
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
	rows := r.rows(cells, theirs)
	var cols [colCount]column
	var at place
	key, keys, subs := "", 0, 0
	for i := range rows {
		x := &rows[i]
		head := uint64(x.c.kind-1) | uint64(x.form)<<headForm | uint64(x.tag())<<headTag
		if i > 0 && x.c.e.key == key {
			head |= headSameKey
		} else {
			key = x.c.e.key
			cols[colKey].add(uint64(len(key)))
			keys += len(key)
		}
		cols[colHead].add(head)
		if x.c.kind == CellMember || x.c.kind == CellField {
			cols[colSub].add(uint64(len(x.c.sub)))
			subs += len(x.c.sub)
		}
		at.put(&cols, t.index(r.origins[x.tip.org].id), x)
	}
	for i := range cols {
		b = cols[i].append(b)
	}
	return appendBlobs(b, rows, keys, subs)
}

// appendBlobs writes the keys, without those that are the same as the one before, then names and values.
func appendBlobs(b []byte, rows []row, keys, subs int) []byte {
	b = binary.AppendUvarint(b, uint64(keys))
	for i := range rows {
		if key := rows[i].c.e.key; i == 0 || key != rows[i-1].c.e.key {
			b = append(b, key...)
		}
	}
	b = binary.AppendUvarint(b, uint64(subs))
	vals := 0
	for i := range rows {
		b = append(b, rows[i].c.sub...)
		vals += len(rows[i].val())
	}
	b = slices.Grow(binary.AppendUvarint(b, uint64(vals)), vals)
	for i := range rows {
		b = append(b, rows[i].val()...)
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

// put writes the dot, and of a value its stamp and length.
func (p *place) put(cols *[colCount]column, origin uint64, x *row) {
	if origin != p.origin {
		p.origin, p.seq = origin, 0
	}
	cols[colOrigin].add(origin)
	cols[colSeq].add(uint64(x.tip.seq - p.seq))
	p.seq = x.tip.seq
	if x.form != tipValue {
		return
	}
	h := x.sib.hlc
	cols[colMillis].addSigned(h.Millis() - p.hlc.Millis())
	cols[colLogical].addSigned(int64(h&0xffff) - p.logical(h.Millis()))
	p.stamped, p.hlc = x.tip.seq, h
	cols[colVal].add(uint64(len(x.sib.val)))
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

// columnReader reads a column.
type columnReader struct {
	decoder
	runs    bool
	last, n uint64
}

func (d *decoder) column() columnReader {
	x := d.uvarint()
	if x>>1 > uint64(len(d.b)) {
		d.fail("a column of %d bytes in %d", x>>1, len(d.b))
		return columnReader{}
	}
	return columnReader{decoder: decoder{b: d.take(int(x >> 1))}, runs: x&1 != 0}
}

func (c *columnReader) next() uint64 {
	if !c.runs {
		return c.uvarint()
	}
	if c.n == 0 {
		c.last, c.n = c.uvarint(), c.uvarint()
		if c.n == 0 {
			c.fail("a run of nothing")
			return 0
		}
	}
	c.n--
	return c.last
}

func (c *columnReader) signed() int64 {
	x := c.next()
	return int64(x>>1) ^ -int64(x&1)
}

// done reports whether all was read, and nothing beyond.
func (c *columnReader) done() error {
	if c.n > 0 {
		c.fail("a column with %d numbers too many", c.n)
	}
	return c.decoder.done()
}

// rowReader reads a block.
type rowReader struct {
	ids              []Origin
	cols             [colCount]columnReader
	keys, subs, vals decoder
	at               place
	key              string
}

// columns decodes a block. The cells are in no order, and one may be there twice.
func (d *decoder) columns(ids []Origin) []cellState {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	// Cells differ, and there are four kinds: where names are empty there are no more than these.
	if n > columnsMax || n > 4*uint64(len(d.b)+1) {
		d.fail("%d cells announced in %d bytes", n, len(d.b))
		return nil
	}
	r := rowReader{ids: ids}
	for i := range r.cols {
		r.cols[i] = d.column()
	}
	for _, names := range []*decoder{&r.keys, &r.subs, &r.vals} {
		names.b = d.bytes(len(d.b))
	}
	if d.err != nil {
		return nil
	}
	cells, err := r.cells(int(n))
	if err != nil {
		d.err, d.b = fmt.Errorf("%d cells by columns: %w", n, err), nil
		return nil
	}
	return cells
}

// cells reads n cells, and makes sure that there is nothing more.
func (r *rowReader) cells(n int) ([]cellState, error) {
	cells, tips := make([]cellState, n), make([]cellTip, n)
	for i := range cells {
		cells[i].tips = tips[i : i+1 : i+1]
		r.next(&cells[i], i == 0)
		if err := r.err(); err != nil {
			return nil, err
		}
	}
	for i := range r.cols {
		if err := r.cols[i].done(); err != nil {
			return nil, err
		}
	}
	return cells, cmp.Or(r.keys.done(), r.subs.done(), r.vals.done())
}

// err is the first error in any part.
func (r *rowReader) err() error {
	for i := range r.cols {
		if err := r.cols[i].err; err != nil {
			return err
		}
	}
	return cmp.Or(r.keys.err, r.subs.err, r.vals.err)
}

func (r *rowReader) next(s *cellState, first bool) {
	c, t := &r.cols[colHead], &s.tips[0]
	head := c.next()
	s.kind = CellKind(head&3) + CellValue
	t.form, t.tag = byte(head>>headForm&3), Tag(head>>headTag&headTagMax)
	if head > 0xff || t.form > tipValue || (t.tag != 0) != (t.form == tipValue) || first && head&headSameKey != 0 {
		c.fail("a cell with head %#x", head)
		return
	}
	if head&headSameKey == 0 {
		r.key = string(r.part(&r.keys, colKey, MaxKeyBytes))
	}
	s.key = r.key
	if s.kind == CellMember || s.kind == CellField {
		s.sub = string(r.part(&r.subs, colSub, MaxKeyBytes))
	}
	t.dot = r.dot()
	if t.form == tipValue {
		t.hlc = r.stamp()
		t.val = slices.Clone(r.part(&r.vals, colVal, MaxValueBytes))
	}
}

// part reads as many bytes as the next number of a column says, at most max.
func (r *rowReader) part(from *decoder, col, max int) []byte {
	n := r.cols[col].next()
	if n > uint64(max) {
		from.fail("a length of %d, limit %d", n, max)
		return nil
	}
	return from.take(int(n))
}

// dot reads what place.put wrote, and so does stamp.
func (r *rowReader) dot() Dot {
	origin := r.cols[colOrigin].next()
	if origin >= uint64(len(r.ids)) {
		r.cols[colOrigin].fail("origin %d of %d", origin, len(r.ids))
		return Dot{}
	}
	if origin != r.at.origin {
		r.at.origin, r.at.seq = origin, 0
	}
	n := r.cols[colSeq].next()
	if n == 0 || n > maxSeq || r.at.seq+Seq(n) > maxSeq {
		r.cols[colSeq].fail("sequence number %d behind %d", n, r.at.seq)
	}
	r.at.seq += Seq(n)
	return Dot{r.ids[origin], r.at.seq}
}

func (r *rowReader) stamp() HLC {
	millis := r.at.hlc.Millis() + r.cols[colMillis].signed()
	logical := r.at.logical(millis) + r.cols[colLogical].signed()
	if uint64(millis) >= 1<<48 || uint64(logical) >= 1<<16 {
		r.cols[colLogical].fail("a stamp of %d and %d", millis, logical)
		return 0
	}
	r.at.stamped, r.at.hlc = r.at.seq, HLC(millis)<<16|HLC(logical)
	return r.at.hlc
}

// sortCells puts cells in the order of their positions. Those of one place are next to each other.
func sortCells(cells []cellState) []cellState {
	type placed struct {
		pos
		s *cellState
	}
	at := make([]placed, len(cells))
	for i := range cells {
		at[i] = placed{cells[i].pos(), &cells[i]}
	}
	slices.SortFunc(at, func(a, b placed) int {
		if n := a.compare(b.pos); n != 0 {
			return n
		}
		return cmp.Or(cmp.Compare(a.s.key, b.s.key), cmp.Compare(a.s.kind, b.s.kind), cmp.Compare(a.s.sub, b.s.sub))
	})
	out := make([]cellState, len(cells))
	for i := range at {
		out[i] = *at[i].s
	}
	return out
}

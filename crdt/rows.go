package crdt

import (
	"cmp"
	"fmt"
	"slices"
)

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

// dot reads what place.putDot wrote, and stamp what place.putStamp did.
func (r *rowReader) dot() Dot {
	origin := r.cols[colOrigin].next()
	if origin >= uint64(len(r.ids)) {
		r.cols[colOrigin].fail("origin %d of %d", origin, len(r.ids))
		return Dot{}
	}
	if origin != r.at.origin {
		r.at.origin, r.at.seq = origin, 0
	}
	// A dot may come twice: a right origin never writes it to two cells, a cloned one may, and that is not for a decoder to mend.
	n := r.cols[colSeq].next()
	if n > maxSeq || r.at.seq+Seq(n) > maxSeq || r.at.seq+Seq(n) == 0 {
		r.cols[colSeq].fail("sequence number %d behind %d", n, r.at.seq)
		return Dot{}
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
func sortCells(cells []cellState, key hashKey) []cellState {
	type placed struct {
		pos
		s *cellState
	}
	at := make([]placed, len(cells))
	for i := range cells {
		at[i] = placed{cells[i].pos(key), &cells[i]}
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

package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of decoders. What was wrong, and where, is in the text around them.
var (
	ErrMalformed = errors.New("crdt: malformed message")
	ErrVersion   = errors.New("crdt: another version")
)

// wireVersion is the first byte of every message. Version 2 brought reconciliation, columns and causal pushes.
const wireVersion = 2

// decoder reads a message. After the first error everything reads as zero, and err holds that error.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *decoder) version(what string)       { d.versionIs(what, wireVersion) }
func (d *decoder) recordVersion(what string) { d.versionIs(what, recordVersion) }

func (d *decoder) versionIs(what string, want byte) {
	if v := d.byte(); d.err == nil && v != want {
		d.err = fmt.Errorf("%w: %s has version %d, this program reads %d: upgrade the older of the two", ErrVersion, what, v, want)
		d.b = nil
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("ends early")
		return 0
	}
	x := d.b[0]
	d.b = d.b[1:]
	return x
}

func (d *decoder) take(n int) []byte {
	if n < 0 || len(d.b) < n {
		d.fail("ends early")
		return nil
	}
	x := d.b[:n:n]
	d.b = d.b[n:]
	return x
}

func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) varint() int64 {
	x, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return x
}

func (d *decoder) u64() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// bytes reads a length and that many bytes, at most max.
func (d *decoder) bytes(max int) []byte {
	n := d.uvarint()
	if n > uint64(max) {
		d.fail("a length of %d, limit %d", n, max)
		return nil
	}
	return d.take(int(n))
}

// count reads a number of items of which each takes at least size bytes, so that a short message cannot
// announce a long list.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail("%d items announced in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) seq() Seq {
	s := d.uvarint()
	if s == 0 || s > maxSeq {
		d.fail("sequence number %d", s)
		return 1
	}
	return Seq(s)
}

// checkCell refuses names that no cell has: the cells of scoped removals have one place each.
func (d *decoder) checkCell(kind CellKind, key, sub string) {
	switch kind {
	case 0:
		d.fail("a cell without a kind")
	case CellItem:
		if _, ok := levelsOf([]byte(sub)); !ok {
			d.fail("an element of a list at %.64q, which is no position", sub)
		}
	case CellEntry:
		if _, ok := takeEntryName([]byte(sub)); !ok {
			d.fail("an entry of a stream at %.64q, which is no name", sub)
		}
	case CellNode:
		if _, ok := JSONSteps(sub); !ok {
			d.fail("a node of a document at %.64q, which is no path", sub)
		}
	case CellPage:
		if _, ok := pageOf([]byte(sub)); !ok {
			d.fail("a page of a block at %.64q, which is no number", sub)
		}
	case CellValue, CellExpiry, CellDrop, CellFlag, CellBlock, CellStream, CellBound:
		if sub != "" {
			d.fail("a cell of kind %d with a name", kind)
		}
	case CellFlush:
		if key != "" || sub != "" {
			d.fail("a whole-region removal in key %.64q", key)
		}
	}
}

func (d *decoder) done() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// originTable numbers the origins of one message in the order of their first use.
type originTable struct {
	ids []Origin
	num map[Origin]uint64
}

func (t *originTable) index(id Origin) uint64 {
	if i, ok := t.num[id]; ok {
		return i
	}
	if t.num == nil {
		t.num = map[Origin]uint64{}
	}
	i := uint64(len(t.ids))
	t.ids = append(t.ids, id)
	t.num[id] = i
	return i
}

// seal writes header, table and body in the order in which a decoder needs them.
func (t *originTable) seal(head, body []byte) []byte {
	out := make([]byte, 0, len(head)+8+16*len(t.ids)+len(body))
	out = binary.AppendUvarint(append(out, head...), uint64(len(t.ids)))
	for _, id := range t.ids {
		out = append(out, id[:]...)
	}
	return append(out, body...)
}

func (d *decoder) origins() []Origin {
	n := d.count(16)
	if n > MaxOrigins {
		d.fail("%d origins, limit %d", n, MaxOrigins)
		return nil
	}
	ids := make([]Origin, n)
	for i := range ids {
		copy(ids[i][:], d.take(16))
		if ids[i] == (Origin{}) { // stands for a free slot
			d.fail("an origin of nobody")
		}
	}
	return ids
}

func (d *decoder) origin(ids []Origin) Origin {
	i := d.uvarint()
	if i >= uint64(len(ids)) {
		d.fail("origin %d of %d", i, len(ids))
		return Origin{}
	}
	return ids[i]
}

func appendRuns(b []byte, r Runs) []byte {
	b = binary.AppendUvarint(b, uint64(r.Base))
	b = binary.AppendUvarint(b, uint64(len(r.Above)))
	at := r.Base
	for _, a := range r.Above {
		b = binary.AppendUvarint(b, uint64(a.Lo-at))
		b = binary.AppendUvarint(b, uint64(a.Hi-a.Lo))
		at = a.Hi
	}
	return b
}

func (d *decoder) runs() Runs {
	r := Runs{Base: Seq(d.uvarint())}
	n := d.count(2)
	if n > wireSpansMax || r.Base > maxSeq {
		d.fail("a context with %d ranges above %d", n, r.Base)
		return Runs{}
	}
	at := uint64(r.Base)
	for range n {
		gap, length := d.uvarint(), d.uvarint()
		if gap < 2 || gap > maxSeq || length > maxSeq || at+gap+length > maxSeq {
			d.fail("a context range %d long, %d above %d", length, gap, at)
			return Runs{}
		}
		lo := at + gap
		at = lo + length
		r.Above = append(r.Above, Span{Seq(lo), Seq(at)})
	}
	return r
}

func appendContext(b []byte, t *originTable, c Context) []byte {
	b = binary.AppendUvarint(b, uint64(len(c)))
	for _, id := range c.Origins() {
		b = binary.AppendUvarint(b, t.index(id))
		b = appendRuns(b, c[id])
	}
	return b
}

func (d *decoder) context(ids []Origin) Context {
	n := d.count(3)
	c := make(Context, min(n, 1024))
	for range n {
		id := d.origin(ids)
		runs := d.runs()
		d.checkLine(id, runs)
		c[id] = runs
		if d.err != nil {
			return nil
		}
	}
	return c
}

// checkLine refuses what no line says.
func (d *decoder) checkLine(id Origin, runs Runs) {
	if id.IsLine() && (runs.Base > 1<<32-1 || len(runs.Above) > 0) {
		d.fail("a line up to %d with %d ranges above", runs.Base, len(runs.Above))
	}
}

func appendDots(b []byte, t *originTable, dots []Dot) []byte {
	b = binary.AppendUvarint(b, uint64(len(dots)))
	for _, d := range dots {
		b = binary.AppendUvarint(b, t.index(d.Origin))
		b = binary.AppendUvarint(b, uint64(d.Seq))
	}
	return b
}

func (d *decoder) dots(ids []Origin) []Dot {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	out := make([]Dot, 0, min(n, 1024))
	for range n {
		out = append(out, Dot{d.origin(ids), d.seq()})
	}
	return out
}

func appendPos(b []byte, p pos) []byte {
	b = binary.BigEndian.AppendUint64(b, p.e)
	return binary.BigEndian.AppendUint64(b, p.c)
}

func (d *decoder) pos() pos { return pos{d.u64(), d.u64()} }

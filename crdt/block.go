package crdt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
)

// A block is memory that is addressed by bytes: a length, and pages of PageBytes, each a cell that holds a register. So writes to
// different pages both survive; of concurrent writes to one page the last shows, and the others stay as siblings until a later write to
// that page covers them. A write of a part of a page writes the page as it is here, with that part changed.
//
//	CellBlock          its length: registers, of which the largest shows. A block never becomes shorter
//	CellPage, by Sub   number of the page, as appendOrdered writes it: what the page holds, without the zeros at its end
//
// A page that was never written reads as zeros and costs nothing; one that was written with zeros costs a cell without bytes, since
// the zeros must win over what was written before. Each write writes the length again, so it wins over a concurrent removal of the
// block: what is there then is what was written, and zeros. A page alone shows nothing.
//
//	cost: 34 bytes a page beside what it holds. A write replicates the pages that it touches, and 9 bytes of length; a read is O(1) a
//	      page. BlockInfo and the copy of a block are O(pages).

// PageBytes is the grain in which a block is merged.
const PageBytes = 4096

// MaxBlockBytes bounds the length of a block.
const MaxBlockBytes = 1 << 30

// ErrNoBlock says that there is no block to write to.
var ErrNoBlock = errors.New("crdt: there is no such block")

// ErrOutside says that a range is not within the block, or a length not within MaxBlockBytes.
var ErrOutside = errors.New("crdt: outside of the block")

// pageName names the cell of a page.
func pageName(page int64) string {
	var room [9]byte
	return string(appendOrdered(room[:0], page))
}

// pageOf reads a name. Pages beyond MaxBlockBytes are names, too: a later version may have longer blocks.
func pageOf(sub []byte) (page int64, ok bool) {
	page, rest, ok := takeOrdered(sub)
	return page, ok && len(rest) == 0 && page >= 0
}

func encodeLength(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// decodeLength reads a register of CellBlock. What no version writes counts as 0, and what is longer than this version can read as the
// longest that it can, everywhere alike.
func decodeLength(b []byte) int64 {
	if len(b) != 8 {
		return 0
	}
	return int64(min(binary.BigEndian.Uint64(b), MaxBlockBytes))
}

// length is the view of a block's length.
func (c *cell) length() (n int64) {
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagReg {
			n = max(n, decodeLength(s.val))
		}
	}
	return n
}

// BlockAlloc makes a block of so many bytes, all zero, or one that is there as long as that. It gives its length, which may be
// more. Errors: ErrWrongType, ErrTooLarge, ErrOutside.
func (t *Tx) BlockAlloc(key string, size int64) (length int64, err error) {
	if err := fits(key, "", nil); err != nil {
		return 0, err
	}
	if size < 0 || size > MaxBlockBytes {
		return 0, fmt.Errorf("%w: a length of %d bytes, the most is %d", ErrOutside, size, int64(MaxBlockBytes))
	}
	e, err := t.need(key, KindBlock)
	if err != nil {
		return 0, err
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellBlock, "")
	size = max(size, c.length())
	t.assign(c, encodeLength(size))
	return size, nil
}

// BlockWrite writes data from an offset on, as one delta. Errors: ErrWrongType, ErrTooLarge (also of more data than MaxValueBytes),
// ErrNoBlock, ErrOutside, ErrUnreadable of a page that is changed in part; then nothing is written.
func (t *Tx) BlockWrite(key string, offset int64, data []byte) error {
	if err := fits(key, "", data); err != nil {
		return err
	}
	length, ok, err := t.BlockLen(key)
	switch {
	case err != nil:
		return err
	case !ok:
		return ErrNoBlock
	case offset < 0 || offset > length-int64(len(data)):
		return fmt.Errorf("%w: %d bytes at %d of a block of %d", ErrOutside, len(data), offset, length)
	case len(data) == 0:
		return nil
	}
	pages, err := t.changedPages(key, offset, data)
	if err != nil {
		return err
	}
	c := t.r.handle()
	t.r.seekIn(c, t.prepare(key), key, CellBlock, "")
	t.assign(c, encodeLength(length))
	for i, val := range pages {
		t.r.seek(c, key, CellPage, pageName(offset/PageBytes+int64(i)))
		t.assign(c, val)
	}
	return nil
}

// changedPages gives the pages that a write touches, as they are to be.
func (t *Tx) changedPages(key string, offset int64, data []byte) (pages [][]byte, err error) {
	e := t.r.lookup(key)
	for page := offset / PageBytes; len(data) > 0; page++ {
		at := offset - page*PageBytes
		n := min(int64(len(data)), PageBytes-at)
		val := make([]byte, PageBytes)
		if n < PageBytes {
			old, err := t.page(e, page)
			if err != nil {
				return nil, err
			}
			copy(val, old)
		}
		copy(val[at:], data[:n])
		pages = append(pages, bytes.TrimRight(val, "\x00"))
		data, offset = data[n:], offset+n
	}
	return pages, nil
}

// page reads one page of a block; nil where it was never written.
func (v *View) page(e entry, page int64) ([]byte, error) {
	ref := e.record(CellPage, pageName(page))
	if ref == 0 {
		return nil, nil
	}
	if v.r.store.policy != nil {
		v.r.store.touch(ref)
	}
	var c cell
	e.load(&c, ref)
	return v.pageIn(&c)
}

// pageIn is the view of a page's cell.
func (v *View) pageIn(c *cell) ([]byte, error) {
	w := v.r.winner(c)
	if w == nil {
		return nil, nil
	}
	val, err := v.r.value(c, w)
	return val[:min(len(val), PageBytes)], v.failed(err)
}

// BlockLen gives a block's length; ok is false where there is none. Error: ErrWrongType.
func (v *View) BlockLen(key string) (length int64, ok bool, err error) {
	e, err := v.of(key, KindBlock)
	if !e.ok() {
		return 0, false, err
	}
	return e.cell(CellBlock, "").length(), true, nil
}

// BlockRead fills buf from an offset on, and tells how many bytes there are: fewer at the end. Errors: ErrWrongType, ErrNoBlock,
// ErrOutside of an offset that is negative or beyond the end, ErrUnreadable, ErrAway of a lazy View.
func (v *View) BlockRead(key string, offset int64, buf []byte) (n int, err error) {
	e, err := v.of(key, KindBlock)
	if !e.ok() {
		return 0, cmp.Or(err, ErrNoBlock)
	}
	length := e.cell(CellBlock, "").length()
	if offset < 0 || offset > length {
		return 0, fmt.Errorf("%w: offset %d of a block of %d", ErrOutside, offset, length)
	}
	buf = buf[:min(int64(len(buf)), length-offset)]
	if v.missesPages(e, offset, len(buf)) {
		return 0, ErrAway
	}
	for n < len(buf) {
		page := (offset + int64(n)) / PageBytes
		at := offset + int64(n) - page*PageBytes
		part := buf[n:min(int64(len(buf)), int64(n)+PageBytes-at)]
		val, err := v.page(e, page)
		if err != nil {
			return n, err
		}
		clear(part[copy(part, val[min(at, int64(len(val))):]):])
		n += len(part)
	}
	return n, nil
}

// missesPages is misses of the pages of a range.
func (v *View) missesPages(e entry, offset int64, n int) (missed bool) {
	if !v.lazy || v.r.aside().away == 0 || n == 0 {
		return false
	}
	for page := offset / PageBytes; page <= (offset+int64(n)-1)/PageBytes; page++ {
		missed = v.misses(e, CellPage, pageName(page)) || missed
	}
	return missed
}

// BlockInfo is what a block takes.
type BlockInfo struct {
	Length    int64
	Pages     int   // that were written
	Bytes     int64 // that they hold
	Conflicts int   // pages of which a concurrent write is kept beside the one that shows
}

// BlockInfo tells what a block takes; ok is false where there is none. Error: ErrWrongType.
func (v *View) BlockInfo(key string) (info BlockInfo, ok bool, err error) {
	e, err := v.of(key, KindBlock)
	if !e.ok() {
		return info, false, err
	}
	info.Length = e.cell(CellBlock, "").length()
	e.each(0, func(c *cell) bool {
		if c.kind != CellPage || len(c.sibs) == 0 {
			return true
		}
		info.Pages++
		if len(c.sibs) > 1 {
			info.Conflicts++
		}
		if w := v.r.winner(c); w != nil {
			info.Bytes += int64(w.bytes())
		}
		return true
	})
	return info, true, nil
}

// bytes is the length of a sibling's value, wherever it is.
func (s *sibling) bytes() int {
	if s.away {
		return int(s.size)
	}
	return len(s.val)
}

// BlockEach calls fn on the pages that were written, with their offsets, in an order that is the same on every replica, until fn
// returns false. fn must neither write nor keep what it is given. Errors: ErrWrongType, ErrUnreadable, with which it ends.
func (v *View) BlockEach(key string, fn func(offset int64, page []byte) bool) error {
	e, err := v.of(key, KindBlock)
	if !e.ok() {
		return err
	}
	e.each(0, func(c *cell) bool {
		page, ok := pageOf(c.sub)
		if c.kind != CellPage || !ok || page >= MaxBlockBytes/PageBytes || len(c.sibs) == 0 {
			return true
		}
		var val []byte
		if val, err = v.pageIn(c); err != nil {
			return false
		}
		return fn(page*PageBytes, val)
	})
	return err
}

// BlockSiblings lists the concurrent versions of the page at an offset, without the zeros at their ends, the one that shows first.
func (v *View) BlockSiblings(key string, offset int64) []Sibling {
	e, err := v.of(key, KindBlock)
	if !e.ok() || err != nil || offset < 0 {
		return nil
	}
	return v.registers(e.cell(CellPage, pageName(offset/PageBytes)))
}

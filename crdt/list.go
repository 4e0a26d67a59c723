package crdt

import "errors"

// A list is a sequence of cells, each named by its position (position.go), and holding a register. An element that is written
// concurrently with its removal stays, with what was written; elements never move.
//
//	cost: 70 bytes an element beside its value: as of a map's field, with a name of 13 bytes, and the order (order.go). A push
//	      to either end looks at the end, and is O(1) but for the order's leaf.

// ListInsert adds an element before the element of a rank, or, where rank is the length of the list, behind the last.
// Errors: ErrWrongType, ErrTooLarge (also of a position that is too deep in the tree), ErrNoElement.
func (t *Tx) ListInsert(key string, rank int, val []byte) error {
	if err := fits(key, "", val); err != nil {
		return err
	}
	e, err := t.need(key, KindList)
	if err != nil {
		return err
	}
	left, right, err := t.neighbours(e, rank)
	if err != nil {
		return err
	}
	self := &t.r.origins[t.r.self]
	p := between(left, right, self.hash, self.runs.Top()+1)
	if err := fits(key, string(p), val); err != nil {
		return err
	}
	c := t.r.handle()
	t.r.seekIn(c, e, key, CellItem, string(p))
	t.assign(c, val)
	return nil
}

// neighbours gives the positions around the gap before a rank.
func (t *Tx) neighbours(e entry, rank int) (left, right []byte, err error) {
	if rank < 0 || rank > e.count(CellItem) {
		return nil, nil, ErrNoElement
	}
	if e.count(CellItem) == 0 {
		return nil, nil, nil
	}
	q := t.orderOf(e, CellItem)
	from := rank - 1
	if from < 0 {
		right = q.first()
		return nil, right, nil
	}
	q.each(from, false, func(ref uint64) bool {
		if left == nil {
			left = t.r.store.subOf(ref)
			return true
		}
		right = t.r.store.subOf(ref)
		return false
	})
	return left, right, nil
}

// first is the position of the first element.
func (q *ordered) first() (sub []byte) {
	q.each(0, false, func(ref uint64) bool { sub = q.s.subOf(ref); return false })
	return sub
}

// ListSet writes the element of a rank. Errors: ErrWrongType, ErrTooLarge, ErrNoElement.
func (t *Tx) ListSet(key string, rank int, val []byte) error {
	if err := fits(key, "", val); err != nil {
		return err
	}
	e, err := t.need(key, KindList)
	if err != nil {
		return err
	}
	c := t.itemAt(e, rank)
	if c == nil {
		return ErrNoElement
	}
	t.assign(c, val)
	return nil
}

// itemAt finds the cell of a rank, or nil.
func (t *Tx) itemAt(e entry, rank int) (c *cell) {
	if rank < 0 || rank >= e.count(CellItem) {
		return nil
	}
	q := t.orderOf(e, CellItem)
	q.each(rank, false, func(ref uint64) bool {
		c = t.r.handle()
		e.load(c, ref)
		return false
	})
	return c
}

// ListRemove removes count elements from a rank on, as far as they were seen here. It gives how many there were. Error: ErrWrongType.
func (t *Tx) ListRemove(key string, rank, count int) (removed int, err error) {
	e, err := t.need(key, KindList)
	if err != nil {
		return 0, err
	}
	n := e.count(CellItem)
	if rank < 0 || rank >= n || count <= 0 {
		return 0, nil
	}
	if count = min(count, n-rank); count == n && n > fewRemoves {
		t.drop(key)
		return n, nil
	}
	for range count {
		t.remove(t.itemAt(t.r.lookup(key), rank))
		removed++
	}
	if t.r.lookup(key).kind() == KindNone {
		t.clearExpiry(key)
	}
	return removed, nil
}

// ListLen counts the elements. Error: ErrWrongType.
func (v *View) ListLen(key string) (int, error) {
	e, err := v.of(key, KindList)
	if !e.ok() {
		return 0, err
	}
	return e.count(CellItem), nil
}

// ListEach calls fn on the elements from a rank on, in order, or backwards, until fn returns false. fn must neither write nor keep val.
// Errors: ErrWrongType, ErrUnreadable, with which it ends.
func (v *View) ListEach(key string, from int, back bool, fn func(val []byte) bool) error {
	e, err := v.of(key, KindList)
	if !e.ok() {
		return err
	}
	q := v.orderOf(e, CellItem)
	q.each(from, back, func(ref uint64) bool {
		var val []byte
		if val, err = v.item(e, ref); err != nil {
			return false
		}
		return fn(val)
	})
	return v.failed(err)
}

// item reads an element.
func (v *View) item(e entry, ref uint64) ([]byte, error) {
	if v.r.store.policy != nil {
		v.r.store.touch(ref)
	}
	p := unpack(v.r.store.mem.Bytes(ref))
	if p.flags&bodyMask == bodySibling && p.tag == TagReg {
		return value(p.body, p.flags&recordWide != 0), nil
	}
	var c cell
	e.load(&c, ref)
	return v.r.scalar(&c)
}

// ErrNoElement says that a list has no element of a rank.
var ErrNoElement = errors.New("crdt: the list has no such element")

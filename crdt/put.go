package crdt

import "encoding/binary"

// put writes a handle back: to its record, to another where it does not fit, or, where nothing is left, away. was
// says whether the cell showed something before.
func (r *Region) put(c *cell, was bool) {
	s := &r.store
	if c.epoch != s.epoch {
		panic("crdt: a stale handle is written")
	}
	s.epoch++
	c.epoch = s.epoch
	if len(r.orders) > 0 {
		if o := r.orders[c.in]; o != nil && o.kind == c.kind {
			r.takeFromOrder(o, c, was)
			defer r.putInOrder(o, c)
		}
	}
	if c.kind == CellEntry {
		if o := r.aside().arrivals[c.in]; o != nil {
			r.takeFromOrder(o, c, was)
			defer r.putInOrder(o, c)
		}
		r.arrive(c, was)
	}
	wasLive := s.liveRecord(c.ref)
	switch {
	case c.empty() && c.ref == 0:
		return
	case c.empty():
		r.takeOut(c, was)
		return
	case c.ref != 0:
		r.rewrite(c)
	case c.in == 0:
		r.bytes += int64(len(c.key) + len(c.sub))
		c.ref = s.keep(s.encode(c, 0))
		c.in = c.ref
		s.entries.insert(s, c.at.e, c.ref)
		c.reread(s)
	default:
		r.bytes += int64(len(c.sub))
		r.addPart(c)
		c.reread(s)
	}
	r.indexFresh(c)
	r.keepCount(c)
	if !c.solo() {
		r.recountHead(s.mem.Bytes(c.in), c, was, wasLive)
	}
}

// keep gives a record made by encode an allocation.
func (s *store) keep(rec []byte) uint64 {
	ref, b := s.alloc(purposeOf(rec), len(rec))
	copy(b, rec)
	return ref
}

// drop frees a record.
func (s *store) drop(ref uint64) {
	s.loseSlot(ref)
	s.free(purposeOf(s.mem.Bytes(ref)), ref)
}

// indexFresh files the dots that the cell gained.
func (r *Region) indexFresh(c *cell) {
	for _, t := range c.fresh {
		if r.loading {
			r.origins[t.org].index.addLate(&r.store, t.seq, c.ref)
		} else {
			r.origins[t.org].index.add(&r.store, t.seq, c.ref)
		}
	}
	c.fresh = c.fresh[:0]
}

// reread points the handle at its record as it is now.
func (c *cell) reread(s *store) {
	p := unpack(s.mem.Bytes(c.ref))
	if c.key = p.key; p.head != 0 {
		c.key = entryKey(s.mem.Bytes(p.head))
	}
	c.sub = p.sub
	if p.flags&bodyMask == bodySibling {
		b := p.body
		_, b = dotOf(b)
		_, b = stamp(b, p.flags&recordWide != 0)
		c.sibs[0].val, _ = cut(b)
	} else if p.flags&bodyMask == bodyList || p.flags&recordPack != 0 {
		p.decode(c)
	}
}

// rewrite replaces the cell's record.
func (r *Region) rewrite(c *cell) {
	s := &r.store
	old := s.mem.Bytes(c.ref)
	if s.patch(c, old) {
		return
	}
	head := uint64(0)
	if !c.solo() {
		head = c.in
	}
	rec := s.encode(c, head)
	if fitsIn(len(rec), old) {
		from, to := purposeOf(old), purposeOf(rec)
		s.use[from] -= int64(len(old))
		s.use[to] += int64(len(old))
		copy(old, rec)
	} else {
		from := c.ref
		c.ref = s.keep(rec)
		r.moved(c, from)
		s.moveSlot(from, c.ref)
		s.drop(from)
	}
	c.reread(s)
}

// fitsIn reports whether a record of n bytes may take the place of another.
func fitsIn(n int, old []byte) bool { return n <= len(old) && len(old) <= n+n/8+recordSlack }

// patch writes one sibling in the place of one, behind what names the cell. Most writes are that.
func (s *store) patch(c *cell, old []byte) bool {
	if old[0]&bodyMask != bodySibling || len(c.sibs) != 1 || len(c.ghosts) > 0 || c.sibs[0].away {
		return false
	}
	x := &c.sibs[0]
	p := unpack(old)
	if p.tag != x.tag || wideStamp(x.hlc) {
		return false
	}
	room := s.working()
	b := appendStamp(appendDotOf(room.buf[:0], x.tip), x.hlc)
	b = binary.AppendUvarint(b, uint64(len(x.val)))
	room.buf = b
	at := len(old) - len(p.body)
	end := at + len(b) + len(x.val)
	if !fitsIn(end, old) {
		return false
	}
	copy(old[at+len(b):end], x.val) // first, because it may be a part of this record
	copy(old[at:], b)
	if old[0] &^= recordWide | recordDirty; c.dirty {
		old[0] |= recordDirty
	}
	x.val = old[at+len(b) : end : end]
	return true
}

// recordSlack is how many bytes of an allocation a record may leave unused rather than move, beside an eighth of its own.
const recordSlack = 16

// moved corrects what leads to a record that has another number now.
func (r *Region) moved(c *cell, from uint64) {
	s := &r.store
	if c.in == from {
		s.entries.replace(c.at.e, from, c.ref)
		c.in = c.ref
	} else {
		t := s.cellsOf(s.mem.Bytes(c.in))
		t.replace(c.at.c, from, c.ref)
	}
	r.moveDots(c, from)
}

// moveDots files the dots of a cell, but for the fresh ones, under its record's other number.
func (r *Region) moveDots(c *cell, from uint64) {
	for i := range c.sibs {
		r.moveDot(c, c.sibs[i].tip, from)
	}
	for _, t := range c.ghosts {
		r.moveDot(c, t, from)
	}
}

func (r *Region) moveDot(c *cell, t tip, from uint64) {
	for _, f := range c.fresh {
		if f == t {
			return
		}
	}
	r.origins[t.org].index.move(&r.store, t.seq, from, c.ref)
}

// addPart adds a cell to an entry that has others.
func (r *Region) addPart(c *cell) {
	s := &r.store
	if in := s.mem.Bytes(c.in); in[0]&formMask != formHead {
		c.in = r.divide(c.in)
	}
	c.ref = s.keep(s.encode(c, c.in))
	b := s.mem.Bytes(c.in)
	t := s.cellsOf(b)
	t.insert(s, c.at.c, c.ref)
	setCells(b, &t)
}

// recountHead keeps what a head says of its cells.
func (r *Region) recountHead(b []byte, c *cell, was, wasLive bool) {
	addHeadLive(b, wasLive, live(c))
	if is := c.present(); is != was {
		n := 1
		if was {
			n = -1
		}
		addHeadCount(b, c.kind, n)
	}
	if c.kind == CellExpiry {
		setHeadExpiry(b, latestInstant(c))
	}
}

// divide makes a head of an entry that was solo, and a part of its cell.
func (r *Region) divide(solo uint64) (head uint64) {
	s := &r.store
	var c cell
	s.load(&c, solo)
	head = s.newHead(c.key)
	c.ref = s.keep(s.encode(&c, head))
	s.entries.replace(c.at.e, solo, head)
	b := s.mem.Bytes(head)
	t := table{cells: true}
	t.insert(s, c.at.c, c.ref)
	setCells(b, &t)
	r.recountHead(b, &c, false, false)
	r.moveDots(&c, solo)
	s.moveSlot(solo, c.ref)
	s.drop(solo)
	return head
}

// takeOut takes an empty cell out of its entry, and the entry with its last cell. The handle is then on a cell to be.
func (r *Region) takeOut(c *cell, was bool) {
	s := &r.store
	c.name = append(append(c.name[:0], c.key...), c.sub...)
	c.key, c.sub = c.name[:len(c.key):len(c.key)], c.name[len(c.key):]
	r.bytes -= int64(len(c.sub))
	ref := c.ref
	if c.ref = 0; c.in == ref {
		r.bytes -= int64(len(c.key))
		s.entries.remove(s, c.at.e, ref)
		c.in = 0
	} else {
		b := s.mem.Bytes(c.in)
		t := s.cellsOf(b)
		t.remove(s, c.at.c, ref)
		setCells(b, &t)
		r.recountHead(b, c, was, s.liveRecord(ref))
		if t.n == 1 {
			c.in = r.unite(c.in)
		}
	}
	s.drop(ref)
}

// unite makes an entry solo again that has one cell left.
func (r *Region) unite(head uint64) (solo uint64) {
	s := &r.store
	var c cell
	var part uint64
	t := s.cellsOf(s.mem.Bytes(head))
	t.ascend(0, func(ref uint64) bool { part = ref; return false })
	s.load(&c, part)
	c.ref = s.keep(s.encode(&c, 0))
	s.entries.replace(c.at.e, head, c.ref)
	r.moveDots(&c, part)
	s.moveSlot(part, c.ref)
	t.free(s)
	s.drop(part)
	r.dropOrder(head)
	s.drop(head)
	return c.ref
}

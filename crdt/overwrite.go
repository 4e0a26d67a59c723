package crdt

import "encoding/binary"

// overwrite gives an entry that is one register another value where it lies: what most writes are. It does what write, the
// primitives of Region and put do for such a cell, each step once and without a handle, and reports false, with nothing done, where
// one of them would do more.
func (t *Tx) overwrite(e entry, val []byte) bool {
	if t.particular() {
		return false
	}
	key, body := cut(e.b[2:])
	return t.replace(replaced{e.ref, e.b, body, pos{e.hash, t.r.store.value}, key, nil, CellValue}, val)
}

// overwriteField is overwrite of a field of a map.
func (t *Tx) overwriteField(e entry, field string, val []byte) bool {
	s := &t.r.store
	if t.particular() || !e.many() || len(t.r.orders) > 0 {
		return false
	}
	ref := e.record(CellField, field)
	if ref == 0 {
		return false
	}
	b := s.mem.Bytes(ref)
	if b[0]&(formMask|recordNamed|bodyMask) != formPart|recordNamed|bodySibling || b[1] != byte(CellField)|byte(TagReg)<<4 ||
		e.record(CellDrop, "") != 0 { // a write comes after removals of the whole map
		return false
	}
	sub, body := cut(b[2+refBytes:])
	return t.replace(replaced{ref, b, body, pos{e.hash, s.key.cell(CellField, field)}, entryKey(e.b), sub, CellField}, val)
}

// particular says that something is asked for, or stands, that an overwriting write knows nothing of.
func (t *Tx) particular() bool {
	return t.stamp != 0 || t.pullOnly || t.r.flushes > 0 || t.r.general
}

// replaced is a cell of one register whose value is replaced.
type replaced struct {
	ref      uint64
	b        []byte // its record
	body     []byte // the end of that
	at       pos
	key, sub []byte
	kind     CellKind
}

func (t *Tx) replace(w replaced, val []byte) bool {
	r := t.r
	s := &r.store
	b := w.b
	hlc := r.clock.upcoming(t.now)
	if b[0]&recordWide != 0 || wideStamp(hlc) {
		return false
	}
	at := len(b) - len(w.body)
	was, rest := dotOf(w.body)
	before, rest := stamp(rest, false)
	old, _ := cut(rest)

	dot := tip{r.self, r.origins[r.self].runs.Top() + 1}
	var room [3*binary.MaxVarintLen64 + 2*binary.MaxVarintLen32]byte
	lead := appendStamp(appendDotOf(room[:0], dot), hlc)
	lead = binary.AppendUvarint(lead, uint64(len(val)))
	end := at + len(lead) + len(val)
	if !fitsIn(end, b) || s.policy != nil && !r.keepsSlot(w.ref, len(val)) {
		return false
	}

	if r.cfg.Trace != nil {
		r.cfg.Trace(Written{r.dot(dot), string(w.key), string(w.sub), w.kind, TagReg, hlc, val})
	}
	s.epoch++
	r.clock.last = hlc
	r.count(w.at, r.valueHash(w.at, was, before, TagReg, old)^r.valueHash(w.at, dot, hlc, TagReg, val))
	r.arrived++
	r.bytes += int64(len(val) - len(old))
	r.stats.LocalWrites++
	if r.cfg.Push && r.causal {
		r.outgoing().past.note(r)
	}
	r.origins[was.org].index.drop(s, was.seq, w.ref)
	r.claim(dot)
	r.origins[dot.org].index.add(s, dot.seq, w.ref)
	if b[0]&recordDirty == 0 && !r.cfg.Volatile {
		b[0] |= recordDirty
		r.unwritten().list(w.at, cellLead+len(w.key)+len(w.sub)+siblingLead+len(val))
	}
	if r.track {
		r.noteChange(w.key)
	}
	if r.cfg.Push {
		c := r.handle()
		c.key, c.sub, c.kind, c.epoch = w.key, w.sub, w.kind, 0 // tells the outbox of which cell it is, and no more
		o := r.outgoing()
		o.add(c, outOp{tip: dot, tag: TagReg, val: val, hlc: hlc, deps: []tip{was}})
		o.past.version = r.version
	}
	copy(b[at+len(lead):end], val) // first, because it may be a part of this record
	copy(b[at:], lead)
	return true
}

// keepsSlot tells the policy of a value that replaces one under the same record. It reports false, and has told nothing, where the
// policy has to take the record or to forget it.
func (r *Region) keepsSlot(ref uint64, bytes int) bool {
	slot := r.store.slabs.slot(ref)
	if bytes < r.cfg.MinAway {
		return slot == 0
	}
	if slot == 0 {
		return false
	}
	r.store.policy.Resize(slot-1, bytes)
	r.store.policy.Touch(slot - 1)
	return true
}

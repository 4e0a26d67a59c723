package crdt

import "encoding/binary"

// overwrite gives an entry that is one register another value where it lies: what most writes are. It does what write, the
// primitives of Region and put do for such a cell, each step once and without a handle, and reports false, with nothing done, where
// one of them would do more.
func (t *Tx) overwrite(e entry, val []byte) bool {
	r := t.r
	s := &r.store
	b := e.b
	hlc := r.clock.upcoming(t.now)
	if t.stamp != 0 || t.pullOnly || r.flushes > 0 || r.general || b[0]&recordWide != 0 || wideStamp(hlc) {
		return false
	}
	key, body := cut(b[2:])
	at := len(b) - len(body)
	was, rest := dotOf(body)
	before, rest := stamp(rest, false)
	old, _ := cut(rest)

	dot := tip{r.self, r.origins[r.self].runs.Top() + 1}
	var room [3*binary.MaxVarintLen64 + 2*binary.MaxVarintLen32]byte
	lead := appendStamp(appendDotOf(room[:0], dot), hlc)
	lead = binary.AppendUvarint(lead, uint64(len(val)))
	end := at + len(lead) + len(val)
	if !fitsIn(end, b) || s.policy != nil && !r.keepsSlot(e.ref, len(val)) {
		return false
	}

	if r.cfg.Trace != nil {
		r.cfg.Trace(Written{r.dot(dot), string(key), "", CellValue, TagReg, hlc, val})
	}
	place := pos{e.hash, s.value}
	s.epoch++
	r.clock.last = hlc
	r.count(place, r.valueHash(place, was, before, TagReg, old)^r.valueHash(place, dot, hlc, TagReg, val))
	r.arrived++
	r.bytes += int64(len(val) - len(old))
	r.stats.LocalWrites++
	if r.cfg.Push && r.causal {
		r.outgoing().past.note(r)
	}
	r.origins[was.org].index.drop(s, was.seq, e.ref)
	r.claim(dot)
	r.origins[dot.org].index.add(s, dot.seq, e.ref)
	if b[0]&recordDirty == 0 && !r.cfg.Volatile {
		b[0] |= recordDirty
		r.unwritten().list(place, cellLead+len(key)+siblingLead+len(val))
	}
	if r.track {
		r.noteChange(key)
	}
	if r.cfg.Push {
		c := r.handle()
		c.key, c.sub, c.kind, c.epoch = key, nil, CellValue, 0 // tells the outbox of which cell it is, and no more
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

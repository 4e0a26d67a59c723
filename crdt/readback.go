package crdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// A replica is in memory and on disk, and either may lose a bit without a word. Check says whether the memory holds what it was
// given; ReadBack whether a record does. A dot names one write for ever, so two that tell of the same dots with other
// contents cannot both be right.

// ReadBack is what a durable record says beside the replica.
type ReadBack uint8

// The verdicts on a record.
const (
	ReadSame   ReadBack = iota // the same, or the cell waits to be written anyway
	ReadOther                  // it tells of other writes: it is older than the last commit, or that commit was lost
	ReadRotten                 // it tells of the same writes with other contents
)

// ReadBack compares a record that was read back with the replica. Give it only records whose commits have ended. Errors:
// ErrDamaged, ErrVersion.
func (r *Region) ReadBack(rec Record) (ReadBack, error) {
	id, ok := RecordRegion(rec.Key)
	if !ok || id != r.id {
		return ReadOther, fmt.Errorf("region %q: %w: key %x is of another region", r.name, ErrDamaged, rec.Key)
	}
	rest := rec.Key[17:]
	switch rec.Key[16] {
	case recMeta:
		return verdict(r.metaDirty || bytes.Equal(rec.Value, r.encodeMeta())), nil
	case recOrigin:
		if len(rest) != 4 || uint64(binary.BigEndian.Uint32(rest)) >= uint64(len(r.origins)) {
			return ReadOther, nil
		}
		o := &r.origins[binary.BigEndian.Uint32(rest)]
		return verdict(o.dirty || bytes.Equal(rec.Value, o.encode())), nil
	}
	c, kept, err := r.kept(rec)
	switch {
	case err != nil || c == nil:
		return ReadOther, err
	case c.dirty || r.sameCell(c, kept):
		return ReadSame, nil
	case sameTips(c, kept):
		return ReadRotten, nil
	}
	return ReadOther, nil
}

func verdict(same bool) ReadBack {
	if same {
		return ReadSame
	}
	return ReadOther
}

// kept finds the cell of a record, nil if there is none, and gives the cell that the record describes.
func (r *Region) kept(rec Record) (live, kept *cell, err error) {
	k := decoder{b: rec.Key[min(17, len(rec.Key)):]}
	name, kind := string(k.bytes(MaxKeyBytes)), CellKind(k.byte())
	if k.err != nil || len(rec.Key) < 17 || rec.Key[16] != recCell {
		return nil, nil, fmt.Errorf("region %q: %w: bad cell key %x", r.name, ErrDamaged, rec.Key)
	}
	if live = r.find(r.store.key.entry(name, kind), name).cell(kind, string(k.b)); live == nil {
		return nil, nil, nil
	}
	if now := r.cellRecord(live); !live.anyAway() && bytes.Equal(now.Value, rec.Value) {
		return live, live, nil
	}
	shadow := NewRegion(Config{Name: r.name, Self: r.origin})
	for i := range r.origins {
		o := originState{id: r.origins[i].id}
		shadow.origins = append(shadow.origins, o)
		shadow.enrol(o.id, uint32(i))
	}
	if err := shadow.Load(rec); err != nil {
		return nil, nil, err
	}
	return live, shadow.find(shadow.store.key.entry(name, kind), name).cell(kind, string(k.b)), nil
}

func sameTips(a, b *cell) bool {
	if b == nil || len(a.sibs) != len(b.sibs) || len(a.ghosts) != len(b.ghosts) {
		return false
	}
	for i := range a.sibs {
		if b.sibling(a.sibs[i].tip) < 0 {
			return false
		}
	}
	for _, g := range a.ghosts {
		if !slices.Contains(b.ghosts, g) {
			return false
		}
	}
	return true
}

// sameSibling compares a sibling with what a record says of it. One that is away is known by its hash.
func (r *Region) sameSibling(c *cell, s, o *sibling) bool {
	if s.away || o.away {
		x := *o
		return s.hlc == o.hlc && s.tag == o.tag && s.lost == o.lost && r.siblingHash(c, s) == r.siblingHash(c, &x)
	}
	return s.hlc == o.hlc && s.tag == o.tag && bytes.Equal(s.val, o.val)
}

func (r *Region) sameCell(a, b *cell) bool {
	if a == b {
		return true
	}
	if !sameTips(a, b) {
		return false
	}
	for i := range a.sibs {
		if !r.sameSibling(a, &a.sibs[i], &b.sibs[b.sibling(a.sibs[i].tip)]) {
			return false
		}
	}
	return true
}

// Rewrite makes the next TakeDirty write the record at key anew, or remove it where the replica has no such cell.
func (r *Region) Rewrite(key []byte) error {
	k := decoder{b: key[min(17, len(key)):]}
	switch {
	case len(key) < 17:
		return fmt.Errorf("region %q: %w: key %x", r.name, ErrDamaged, key)
	case key[16] == recMeta:
		r.metaDirty = true
		return nil
	case key[16] == recOrigin && len(k.b) == 4 && uint64(binary.BigEndian.Uint32(k.b)) < uint64(len(r.origins)):
		r.origins[binary.BigEndian.Uint32(k.b)].dirty = true
		return nil
	}
	name, kind := string(k.bytes(MaxKeyBytes)), CellKind(k.byte())
	if k.err != nil || key[16] != recCell {
		return fmt.Errorf("region %q: %w: key %x", r.name, ErrDamaged, key)
	}
	ref := r.find(r.store.key.entry(name, kind), name).record(kind, string(k.b))
	if ref == 0 { // one that is gone, as far as TakeDirty can tell
		r.unwritten().remove(&cell{key: []byte(name), kind: kind, sub: k.b})
		return nil
	}
	if b := r.store.mem.Bytes(ref); b[0]&recordDirty == 0 {
		b[0] |= recordDirty
		r.unwritten().list(r.store.posOf(ref), 0)
	}
	return nil
}

// Restore takes contents over from a record that ReadBack calls rotten, where a Check has shown that the memory is wrong. It gives
// how many values it replaced. The digest stays: it is that of what was written.
func (r *Region) Restore(rec Record) (restored int, err error) {
	if len(rec.Key) > 16 && rec.Key[16] != recCell {
		return 0, nil
	}
	c, kept, err := r.kept(rec)
	if err != nil || c == nil || c.dirty || r.sameCell(c, kept) || !sameTips(c, kept) {
		return 0, err
	}
	r.change(c, func() {
		for i := range c.sibs {
			s, o := &c.sibs[i], &kept.sibs[kept.sibling(c.sibs[i].tip)]
			if s.away || o.away || r.sameSibling(c, s, o) {
				continue
			}
			r.bytes += int64(len(o.val) - len(s.val))
			s.hlc, s.tag, s.val = o.hlc, o.tag, o.val
			restored++
		}
	})
	return restored, nil
}

package crdt

import (
	"encoding/binary"
	"fmt"
)

// What changed since a context was taken is found by dots, as a pull finds it: no history is kept for it. A change leaves a
// live dot or a ghost that the context has not seen, until the ghost is forgotten; then the floor says that something
// is not known any more.

// ChangedSince calls fn with EntryHash and key of every entry with a value or a ghost that c has not seen, in no order, some more than once.
// It reports whether that is all that changed: not where ghosts that c has not seen were forgotten, or
// removed entries of the whole region at once. Who took c from this very replica gives what Forgot was then: as long as it is the
// same, nothing was; others give 0. It takes time in proportion to what it finds, and to the origins. key is valid during the call.
func (v *View) ChangedSince(c Context, forgot uint64, fn func(hash uint64, key []byte)) (all bool) {
	r := v.r
	if forgot != v.Forgot() && !r.reachesFloors(c) {
		return false
	}
	all = true
	for i := range r.origins {
		o := &r.origins[i]
		o.index.missing(&r.store, c.of(o.id), func(_ Seq, ref uint64) {
			kind, key := r.store.ownerOf(ref)
			if all = all && kind != CellFlush; all {
				fn(r.store.posOf(ref).e, key)
			}
		})
	}
	return all
}

// Forgot changes when ghosts are forgotten, and is never 0.
func (v *View) Forgot() uint64 { return v.r.pruned + 1 }

// ownerOf gives the kind of a record's cell and the key of its entry.
func (s *store) ownerOf(ref uint64) (CellKind, []byte) {
	p := unpack(s.mem.Bytes(ref))
	if p.head == 0 {
		return p.kind, p.key
	}
	return p.kind, entryKey(s.entryAt(p.head).b)
}

// Newer reports whether the entry at key has a value or a ghost that c has not seen. It takes time in proportion to the entry's members or fields.
func (v *View) Newer(c Context, key string) (newer bool) {
	e := v.r.lookup(key)
	if !e.ok() {
		return false
	}
	e.each(0, func(x *cell) bool {
		for i := range x.sibs {
			newer = newer || !c.Has(v.r.dot(x.sibs[i].tip))
		}
		for _, g := range x.ghosts {
			newer = newer || !c.Has(v.r.dot(g))
		}
		return !newer
	})
	return newer
}

// Context is what the replica has seen everywhere; an unfinished pull may have brought more of a part.
func (v *View) Context() Context { return v.r.Context() }

// Covers reports whether the replica has seen everything that c saw.
func (v *View) Covers(c Context) bool { return v.r.Covers(c) }

// EntryHash is where Scan comes to the entry at key.
func (v *View) EntryHash(key string) uint64 { return v.r.EntryHash(key) }

// EncodeContext gives the context as bytes that DecodeContext reads, about 18 an origin. Equal contexts give equal bytes.
func EncodeContext(c Context) []byte {
	var t originTable
	body := appendContext(nil, &t, c)
	return t.seal([]byte{wireVersion}, body)
}

// DecodeContext reads what EncodeContext wrote. Errors: ErrMalformed, ErrVersion.
func DecodeContext(b []byte) (Context, error) {
	d := decoder{b: b}
	d.version("a context")
	c := d.context(d.origins())
	if err := d.done(); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	return c, nil
}

// AppendContexts appends several contexts to b, each with its length before it; CutContext takes them off.
func AppendContexts(b []byte, cs ...Context) []byte {
	for _, c := range cs {
		b = appendBytes(b, EncodeContext(c))
	}
	return b
}

// CutContext takes the first context off b that AppendContexts wrote. Errors: ErrMalformed, ErrVersion.
func CutContext(b []byte) (c Context, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, fmt.Errorf("%w: a context ends early", ErrMalformed)
	}
	b = b[size:]
	c, err = DecodeContext(b[:n])
	return c, b[n:], err
}

package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A value may leave memory. What stays is all that is known of it: its dot, stamp and length, and the hash that the digest has of
// it. So causality, digests, pulls' decisions, overwrites and removes need no value, and nothing is ever synchronised because of
// one that left. Who wants the bytes (a reader, a chunk, a record that is written anew) gets them from the durable image, by
// Config.Values, and the hash tells whether they are the ones that left.
//
//	        Evict ──► away ──► Return                memory:  34 bytes beside key and name, instead of 26 and the value
//	committed          │
//	        View, Pull ┴──► Values.Value             a read of what stays away
//
// Only registers leave, and only what was committed: the durable image must hold the dot, and the record must not be dirty. A
// value that cannot be read back is an error that names it (UnreadableError), never an absent value. When its owner is certain
// (Lose), a scrub counts it as differing, and a peer writes it again.

// Values reads the durable image back. Any number of readers call it at once, and a writer.
type Values interface {
	// Value gives the record that was committed last under a key. The caller keeps it. An error that has a method DamagedKey() []byte
	// says that the record is damaged; any other, that it cannot be read for the moment.
	Value(recordKey []byte) (record []byte, err error)
}

// DefaultAway is the least length of a value that leaves memory, bytes: what stays instead of a shorter one is no smaller.
const DefaultAway = 64

// ErrUnreadable says that a value which left memory cannot be read back. An UnreadableError names it.
var ErrUnreadable = errors.New("crdt: a value on disk cannot be read back")

// UnreadableError says which value cannot be read back, and why.
type UnreadableError struct {
	Region, Key, Sub string
	Record           []byte // its key in the durable image
	Err              error
}

// Error names the key and says why it cannot be read.
func (e *UnreadableError) Error() string {
	field := ""
	if e.Sub != "" {
		field = fmt.Sprintf(", field %.64q", e.Sub)
	}
	remedy := "try again: the disk could not be read for the moment"
	if damaged(e) {
		remedy = "write it anew, remove it, or let a scrub fetch it from a peer"
	}
	return fmt.Sprintf("%v: region %q, key %.64q%s: %v; %s", ErrUnreadable, e.Region, e.Key, field, e.Err, remedy)
}

// damaged reports whether an error says that a value is gone for good, and not that it cannot be read for the moment.
func damaged(err error) bool {
	var says interface{ DamagedKey() []byte }
	if errors.As(err, &says) {
		return true
	}
	for _, final := range []error{errNoRecord, errOtherRec, errLost, errNoValues, ErrDamaged, ErrVersion} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// Unwrap gives ErrUnreadable and the cause.
func (e *UnreadableError) Unwrap() []error { return []error{ErrUnreadable, e.Err} }

var (
	errNoRecord = errors.New("its record is missing")
	errOtherRec = errors.New("its record does not hold it")
	errLost     = errors.New("its record was damaged")
	errNoValues = errors.New("no durable image is attached")
)

// length is that of the value, wherever it is.
func (s *sibling) length() int {
	if s.away {
		return int(s.size)
	}
	return len(s.val)
}

// value gives a sibling's bytes. What is away is read, and kept in the handle.
func (r *Region) value(c *cell, s *sibling) ([]byte, error) {
	if !s.away || s.val != nil {
		return s.val, nil
	}
	if s.packed != nil {
		val, err := r.unpacked(c, s)
		if err == nil || r.cfg.Values == nil {
			s.val = val
			return val, r.unreadable(c, err)
		}
	}
	err := errLost
	if !s.lost {
		var rec []byte
		if rec, err = r.readRecord(r.cellKey(c.key, c.kind, c.sub)); err == nil {
			if s.val, err = r.valueIn(rec, c, s); err == nil {
				return s.val, nil
			}
		}
	}
	return nil, r.unreadable(c, err)
}

func (r *Region) unreadable(c *cell, err error) error {
	if err == nil {
		return nil
	}
	return &UnreadableError{Region: r.name, Key: string(c.key), Sub: string(c.sub), Record: r.cellKey(c.key, c.kind, c.sub), Err: err}
}

func (r *Region) readRecord(key []byte) ([]byte, error) {
	if r.cfg.Values == nil {
		return nil, errNoValues
	}
	rec, err := r.cfg.Values.Value(key)
	if err == nil && rec == nil {
		err = errNoRecord
	}
	return rec, err
}

// valueIn finds the value of an away sibling in a record.
func (r *Region) valueIn(rec []byte, c *cell, s *sibling) (val []byte, err error) {
	d := decoder{b: rec}
	if err = d.eachKept(func(x sibling) {
		if x.tip != s.tip || x.away {
			return
		}
		x.hlc, x.tag = s.hlc, s.tag
		if r.siblingHash(c, &x) == s.hash {
			val = x.val[:len(x.val):len(x.val)]
		}
	}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if val == nil {
		return nil, errOtherRec
	}
	return val, nil
}

// fetch reads all values of a handle that are away and that wants accepts.
func (r *Region) fetch(c *cell, wants func(*sibling) bool) error {
	for i := range c.sibs {
		if s := &c.sibs[i]; s.away && wants(s) {
			if _, err := r.value(c, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendAway takes a sibling's value out of the handle. The handle is then to be written back.
func (r *Region) sendAway(c *cell, s *sibling) {
	s.hash = r.siblingHash(c, s)
	s.size, s.val, s.away = uint32(len(s.val)), nil, true
	x := r.setAside()
	x.away++
	x.awayBytes += int64(s.size)
}

// leave is sendAway for a value that may be packed.
func (r *Region) leave(c *cell, s *sibling) {
	if s.packed != nil {
		r.forgetPacked(s)
		return
	}
	r.sendAway(c, s)
}

// comeBack puts it in again.
func (r *Region) comeBack(s *sibling, val []byte) {
	r.forgetAway(s)
	s.val, s.away, s.lost = val, false, false
}

// forgetAway counts one less that is away.
func (r *Region) forgetAway(s *sibling) {
	x := r.setAside()
	x.away--
	x.awayBytes -= int64(s.size)
	if s.packed != nil {
		r.forgetPacked(s)
	}
	if s.lost {
		x.lost--
		x.lostSum ^= s.hash
	}
}

// leaves reports whether a sibling's value may leave memory. Scores never do: an order asks for them at each change. Nor do the lengths
// of blocks, the heads of streams and of bounded counters and the marks of containers in documents.
func (r *Region) leaves(c *cell, s *sibling) bool {
	return s.tag == TagReg && c.kind != CellScore && c.kind != CellBlock && c.kind != CellStream && c.kind != CellBound && (c.kind != CellNode || s.takes() > 1) && s.takes() >= r.cfg.MinAway
}

// takes is how many bytes a sibling's value takes in memory.
func (s *sibling) takes() int {
	switch {
	case s.packed != nil:
		return len(s.packed)
	case s.away:
		return 0
	}
	return len(s.val)
}

// AwayValues is how many values are on disk alone, and how many bytes they have.
func (r *Region) AwayValues() (n int, bytes int64) {
	x := r.aside()
	return x.away - x.packed, x.awayBytes - x.packedBytes
}

// LostValues is how many of them can certainly not be read back.
func (r *Region) LostValues() int { return r.aside().lost }

// LoadAway makes Load leave values on disk, or in memory again.
func (r *Region) LoadAway(on bool) { r.loadAway = on && r.cfg.Values != nil }

// Evict takes the values of one cell out of memory, which EachEvictable named, and tells how many bytes they had: none where the cell is
// to be written yet, or is gone. The durable image must hold all that TakeDirty ever gave.
func (r *Region) Evict(id uint64) (freed int) {
	for _, ref := range r.store.withID(id) {
		freed += r.evict(ref)
	}
	return freed
}

func (r *Region) evict(ref uint64) (freed int) {
	s := &r.store
	b := s.mem.Bytes(ref)
	if r.cfg.Values == nil || b[0]&recordDirty != 0 && r.cfg.Mutant != MutantEvictDirty {
		return 0
	}
	c := r.handle()
	s.load(c, ref)
	for i := range c.sibs {
		if x := &c.sibs[i]; r.leaves(c, x) {
			freed += x.takes()
			r.leave(c, x)
		}
	}
	if freed > 0 {
		s.noSlot(ref)
		r.put(c, c.present())
	}
	return freed
}

// EachEvictable calls fn with each cell that has values which may leave: its id, which lasts as long as the cell, and their bytes. It
// begins at a place, 0 for the first, looks at about max cells, and gives the place to go on from, 0 at the end.
func (r *Region) EachEvictable(from uint64, most int, fn func(id uint64, bytes int)) (next uint64) {
	n, last := 0, from
	r.store.eachEntry(from, func(e entry) bool {
		if n >= most && e.hash != last {
			next = e.hash
			return false
		}
		last = e.hash
		var c cell
		e.records(0, func(ref uint64) bool {
			n++
			if bytes := r.evictable(&c, e, ref); bytes > 0 {
				fn(c.id(), bytes)
			}
			return true
		})
		return true
	})
	return next
}

// evictable is how many bytes of a record may leave. It loads the cell.
func (r *Region) evictable(c *cell, e entry, ref uint64) (bytes int) {
	if f := e.s.mem.Bytes(ref)[0] & bodyMask; f != bodySibling && f != bodyList && e.s.mem.Bytes(ref)[0]&recordPack == 0 {
		return 0
	}
	e.load(c, ref)
	return r.evictableIn(c)
}

func (r *Region) evictableIn(c *cell) (bytes int) {
	for i := range c.sibs {
		if r.leaves(c, &c.sibs[i]) {
			bytes += c.sibs[i].takes()
		}
	}
	return bytes
}

// An id is the hash of an entry, or of an entry's and a cell's first bits each: cells that share one are as rare as keys that
// share a hash.
const (
	idCell     = 1 // set: of a field
	idHashBits = hashBits
)

func (c *cell) id() uint64 {
	if c.kind == CellValue {
		return c.at.e &^ idCell
	}
	return c.at.e>>(64-idHashBits)<<(64-idHashBits) | c.at.c>>idHashBits | idCell
}

// withID finds the records that an id names.
func (s *store) withID(id uint64) (refs []uint64) {
	var c cell
	at := s.value
	if id&idCell != 0 {
		at = id << idHashBits
	}
	s.entries.alike(id, func(ref uint64) bool {
		e := s.entryAt(ref)
		is := func(ref uint64) bool {
			if e.load(&c, ref); c.id() == id {
				refs = append(refs, ref)
			}
			return true
		}
		if e.many() {
			t := s.cellsOf(e.b)
			t.alike(at, is)
		} else {
			is(ref)
		}
		return true
	})
	return refs
}

// Return puts the values of a record back into memory, as far as they are those that left, and tells how many. The
// record is one that Values gave.
func (r *Region) Return(key, rec []byte) (returned int) {
	c := r.cellOf(key)
	if c == nil {
		return 0
	}
	for i := range c.sibs {
		s := &c.sibs[i]
		if !s.away {
			continue
		}
		if val, err := r.valueIn(rec, c, s); err == nil {
			r.comeBack(s, val)
			returned++
		}
	}
	if returned > 0 {
		r.put(c, c.present())
	}
	return returned
}

// Lose notes that the values of a record's cell that are away cannot be read back, if that is so and not for the moment only, and
// tells how many. A scrub then takes them for missing here, and a peer that has them writes them again.
func (r *Region) Lose(key []byte) (lost int) {
	c := r.cellOf(key)
	if c == nil {
		return 0
	}
	for i := range c.sibs {
		s := &c.sibs[i]
		if !s.away || s.lost {
			continue
		}
		if _, err := r.value(c, s); damaged(err) {
			x := r.setAside()
			s.lost = true
			x.lost++
			x.lostSum ^= s.hash
			lost++
		}
	}
	if lost > 0 {
		r.put(c, c.present())
	}
	return lost
}

// cellOf finds the cell of a record's key, or gives nil.
func (r *Region) cellOf(key []byte) *cell {
	if len(key) < 17 || RegionID(key[:16]) != r.id || key[16] != recCell {
		return nil
	}
	k := decoder{b: key[17:]}
	name, kind := string(k.bytes(MaxKeyBytes)), CellKind(k.byte())
	if k.err != nil {
		return nil
	}
	return r.find(r.store.key.entry(name, kind), name).cell(kind, string(k.b))
}

// ReadableDigest is Digest without the values that are lost: what a scrub compares.
func (r *Region) ReadableDigest() uint64 { return r.digest ^ r.aside().lostSum }

// appendAway is what a record keeps of an away value.
func appendAway(b []byte, s *sibling) []byte {
	n := uint64(s.size) << 1
	if s.lost {
		n |= 1
	}
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(b, n), s.hash)
}

func (s *sibling) takeAway(b []byte) (rest []byte) {
	n, b := number(b)
	s.away, s.lost, s.size, s.val, s.packed = true, n&1 != 0, uint32(n>>1), nil, nil
	s.hash = binary.LittleEndian.Uint64(b)
	return b[8:]
}

// anyAway reports whether a value of the cell is away.
func (c *cell) anyAway() bool {
	for i := range c.sibs {
		if c.sibs[i].away {
			return true
		}
	}
	return false
}

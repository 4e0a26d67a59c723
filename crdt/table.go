package crdt

import (
	"encoding/binary"
	"math/bits"
)

// table is an open-addressed hash table of records whose slots are in the order of the hashes: slot = hash × size,
// linear probing, runs kept sorted. Order makes a range of the hash space a range of slots, so that a pull can go by
// ranges and a scan's cursor stays valid when the table grows. A table of size 1 is a sorted list: most sets and
// maps, and most regions, have few.
//
//	slot   the first 28 bits of the hash, then the record's number; 0 is free
//
// The order of slots as integers is that of the hashes but where 28 bits are alike; there the records are looked
// at, one in four thousand probes at a million entries.
//
//	cost: find 1–2 cache lines at 4/5 load; 8 bytes a slot, 10 to 12 an entry. To grow moves every slot in order:
//	about 3 ms a million, every fifth to eighth of the growth.
type table struct {
	b      []byte // the slots, which are in Memory
	slots  uint64 // and their number there
	n      int
	size   uint64 // homes
	cells  bool   // the records are an entry's cells, and not entries
	skewed bool   // grown for a long run, not for its load: does not shrink until it has filled up
}

// records is what a table needs of the store.
type records interface {
	// hashOf gives the whole hash of a record, of a cell or of an entry.
	hashOf(cell bool, ref uint64) uint64
	alloc(purpose, n int) (ref uint64, b []byte)
	free(purpose int, ref uint64)
}

const (
	slotBytes = 8
	hashBits  = 64 - refBits
	refMask   = 1<<refBits - 1
	// tableList is up to how many records a table is a list.
	tableList = 16
	// A run this long means that the hashes are not spread over the space: a pull brings them in order. Growing
	// makes room where they are, and is what the load will ask for when the rest of the space has come. In a table that
	// is full to four fifths some runs are long by chance, 700 slots where there are five million records.
	tableRunMax     = 128
	tableRunMaxFull = 1024
	// tableSkewMax bounds what skew may cost: slots per record.
	tableSkewMax = 256
)

func (t *table) at(i int) uint64     { return binary.LittleEndian.Uint64(t.b[i*slotBytes:]) }
func (t *table) set(i int, x uint64) { binary.LittleEndian.PutUint64(t.b[i*slotBytes:], x) }
func (t *table) len() int            { return len(t.b) / slotBytes }

// home is where the records with these first bits of a hash begin.
func (t *table) home(h28 uint64) int { return int(h28 * t.size >> hashBits) }

// find gives the record with hash h that eq accepts, or 0.
func (t *table) find(h uint64, eq func(ref uint64) bool) uint64 {
	if i := t.index(h, eq); i >= 0 {
		return t.at(i) & refMask
	}
	return 0
}

func (t *table) index(h uint64, eq func(ref uint64) bool) int {
	if t.n == 0 {
		return -1
	}
	h28 := h >> refBits
	for i := t.home(h28); i < t.len(); i++ {
		x := t.at(i)
		if x == 0 || x>>refBits > h28 {
			return -1
		}
		if x>>refBits == h28 && eq(x&refMask) {
			return i
		}
	}
	return -1
}

// indexOf finds the slot of a record that is there.
func (t *table) indexOf(h, ref uint64) int {
	want := h>>refBits<<refBits | ref
	for i := t.home(h >> refBits); i < t.len(); i++ {
		if t.at(i) == want {
			return i
		}
	}
	panic("crdt: a record is not in its table")
}

// insert adds a record that is not there yet.
func (t *table) insert(s records, h, ref uint64) {
	if t.n+1 > t.fill() {
		t.resize(s, t.larger())
		t.skewed = false
	}
	run := t.put(s, h, ref)
	if run > t.runMax() && t.size < tableSkewMax*uint64(t.n) {
		t.resize(s, 2*t.size)
		t.skewed = true
	}
}

// fill is how many records the table takes before it grows.
func (t *table) fill() int {
	if t.size <= 1 {
		return min(t.len(), tableList)
	}
	return int(t.size * 4 / 5)
}

// runMax is how long a run may be before the table grows for it.
func (t *table) runMax() int {
	if uint64(t.n) < t.size/2 {
		return tableRunMax
	}
	return tableRunMaxFull
}

// larger is the next size: 4, 5, 6 or 7 times a power of two, so that a table is never half empty.
func (t *table) larger() uint64 {
	if t.size <= 1 {
		if t.n < tableList {
			return 1
		}
		return 2 * tableList
	}
	unit := uint64(1) << (bits.Len64(t.size) - 3)
	return (t.size/unit + 1) * unit
}

// smaller is the size that fits what a quarter of the table holds.
func (t *table) smaller() uint64 {
	if t.size <= 2*tableList {
		return 1
	}
	return t.size / 2
}

// put places a record and tells how many slots it looked at.
func (t *table) put(s records, h, ref uint64) (run int) {
	x := h>>refBits<<refBits | ref
	home := t.home(h >> refBits)
	i := home
	for i < t.len() && t.precedes(s, t.at(i), x, h) {
		i++
	}
	j := i
	for j < t.len() && t.at(j) != 0 {
		j++
	}
	if j == t.len() { // a run passes the last home, and there is no slot left
		t.moveTo(s, t.size, t.len()+max(t.len()/16, 8))
		return t.put(s, h, ref)
	}
	copy(t.b[(i+1)*slotBytes:(j+1)*slotBytes], t.b[i*slotBytes:j*slotBytes])
	t.set(i, x)
	t.n++
	return j - home
}

// precedes reports whether slot y, in the way of a record x with hash h, stays before it.
func (t *table) precedes(s records, y, x, h uint64) bool {
	if y == 0 || y>>refBits != x>>refBits {
		return y != 0 && y < x
	}
	return s.hashOf(t.cells, y&refMask) <= h
}

// remove takes a record out and closes the run behind it.
func (t *table) remove(s records, h, ref uint64) {
	i := t.indexOf(h, ref)
	j := i + 1
	for j < t.len() && t.at(j) != 0 && t.home(t.at(j)>>refBits) < j {
		j++
	}
	copy(t.b[i*slotBytes:], t.b[(i+1)*slotBytes:j*slotBytes])
	t.set(j-1, 0)
	t.n--
	switch {
	case t.n == 0:
		t.free(s)
	case t.size > 1 && uint64(t.n) < t.size/8 && !t.skewed:
		t.resize(s, t.smaller())
	case t.size == 1 && t.len() > 2*t.n+2:
		t.resize(s, 1)
	}
}

// replace gives a record of hash h another number.
func (t *table) replace(h, from, to uint64) {
	t.set(t.indexOf(h, from), h>>refBits<<refBits|to)
}

func (t *table) resize(s records, size uint64) {
	slots := int(size) + 8
	if size == 1 {
		for slots = 2; slots < min(t.n+1, tableList); slots *= 2 {
		}
	}
	t.moveTo(s, size, slots)
}

// moveTo rebuilds the table with other homes. Slots are in order, so each comes behind the one before.
func (t *table) moveTo(s records, size uint64, slots int) {
	old, oldRef := t.b, t.slots
	t.slots, t.b = s.alloc(forIndex, slots*slotBytes)
	t.b = t.b[:len(t.b)/slotBytes*slotBytes]
	clear(t.b)
	t.size = size
	last := -1
	for i := 0; i < len(old); i += slotBytes {
		x := binary.LittleEndian.Uint64(old[i:])
		if x == 0 {
			continue
		}
		if last = max(last+1, t.home(x>>refBits)); last >= t.len() {
			s.free(forIndex, t.slots)
			t.b, t.slots = old, oldRef
			t.moveTo(s, size, slots+max(slots/16, 8))
			return
		}
		t.set(last, x)
	}
	if oldRef != 0 {
		s.free(forIndex, oldRef)
	}
}

// free gives the slots back.
func (t *table) free(s records) {
	s.free(forIndex, t.slots)
	*t = table{cells: t.cells}
}

// ascend calls fn on every record whose hash is at least from, and a few before it that share its first bits, in
// order, until fn returns false. fn must not change the table.
func (t *table) ascend(from uint64, fn func(ref uint64) bool) {
	if t.n == 0 {
		return
	}
	h28 := from >> refBits
	for i := t.home(h28); i < t.len(); i++ {
		if x := t.at(i); x != 0 && x>>refBits >= h28 && !fn(x&refMask) {
			return
		}
	}
}

// alike calls fn on the records whose hashes share their first bits with h, in order, until fn returns false.
func (t *table) alike(h uint64, fn func(ref uint64) bool) {
	if t.n == 0 {
		return
	}
	h28 := h >> refBits
	for i := t.home(h28); i < t.len(); i++ {
		x := t.at(i)
		if x == 0 || x>>refBits > h28 || x>>refBits == h28 && !fn(x&refMask) {
			return
		}
	}
}

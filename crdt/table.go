package crdt

// table is an open-addressed hash table whose slots are in the order of the hashes: slot = the top bits,
// linear probing, runs kept sorted. Order makes a range of the hash space a range of slots, so that
// a pull can go by ranges and a scan's cursor stays valid when the table grows.
//
//	cost: find 1–2 cache lines at ¾ load; grow doubles and moves everything; 16 bytes a slot.
type table[T any] struct {
	slots  []slot[T]
	n      int
	shift  uint // slot of hash h = h >> shift
	skewed bool // grown for a long run, not for its load: does not shrink until it has filled up
}

type slot[T any] struct {
	hash uint64
	item *T
}

const (
	tableMinBits = 3
	// A run this long means that the hashes are not spread over the space: a pull brings them in order. Growing
	// makes room where they are, and is what the load will ask for when the rest of the space has come.
	tableRunMax = 128
	// tableSkewMax bounds what skew may cost: slots per item.
	tableSkewMax = 256
)

func (t *table[T]) home(h uint64) int { return int(h >> t.shift) }

// find returns the item with hash h that eq accepts.
func (t *table[T]) find(h uint64, eq func(*T) bool) *T {
	if i := t.index(h, eq); i >= 0 {
		return t.slots[i].item
	}
	return nil
}

func (t *table[T]) index(h uint64, eq func(*T) bool) int {
	if t.n == 0 {
		return -1
	}
	for i := t.home(h); i < len(t.slots); i++ {
		s := &t.slots[i]
		if s.item == nil || s.hash > h {
			return -1
		}
		if s.hash == h && eq(s.item) {
			return i
		}
	}
	return -1
}

// insert adds an item that is not there yet.
func (t *table[T]) insert(h uint64, item *T) {
	if t.slots == nil {
		t.resize(tableMinBits)
	} else if bits := 64 - t.shift; t.n+1 > (1<<bits)*3/4 {
		t.resize(bits + 1)
		t.skewed = false
	}
	run := t.put(h, item)
	if bits := 64 - t.shift; run > tableRunMax && 1<<bits < tableSkewMax*t.n {
		t.resize(bits + 1)
		t.skewed = true
	}
}

// put places an item and tells how many slots it looked at.
func (t *table[T]) put(h uint64, item *T) (run int) {
	home := t.home(h)
	i := home
	for i < len(t.slots) && t.slots[i].item != nil && t.slots[i].hash <= h {
		i++
	}
	t.n++
	moved := slot[T]{h, item}
	for ; i < len(t.slots); i++ {
		moved, t.slots[i] = t.slots[i], moved
		if moved.item == nil {
			return i - home
		}
	}
	t.slots = append(t.slots, moved) // a run may pass the last home
	return i - home
}

// remove takes the item out and closes the run behind it.
func (t *table[T]) remove(h uint64, item *T) {
	i := t.index(h, func(x *T) bool { return x == item })
	if i < 0 {
		return
	}
	for j := i + 1; j < len(t.slots) && t.slots[j].item != nil && t.home(t.slots[j].hash) < j; j++ {
		t.slots[i], i = t.slots[j], j
	}
	t.slots[i] = slot[T]{}
	t.n--
	if bits := 64 - t.shift; bits > tableMinBits && t.n < 1<<bits/8 && !t.skewed {
		t.resize(bits - 1)
	}
}

func (t *table[T]) resize(bits uint) {
	old := t.slots
	t.shift = 64 - bits
	t.slots = make([]slot[T], 1<<bits, 1<<bits+8)
	t.n = 0
	for _, s := range old {
		if s.item != nil {
			t.put(s.hash, s.item)
		}
	}
}

// ascend calls fn on every item whose hash is at least from, in order, until fn returns false. fn must
// not change the table.
func (t *table[T]) ascend(from uint64, fn func(hash uint64, item *T) bool) {
	if t.n == 0 {
		return
	}
	for i := t.home(from); i < len(t.slots); i++ {
		if s := &t.slots[i]; s.item != nil && s.hash >= from && !fn(s.hash, s.item) {
			return
		}
	}
}

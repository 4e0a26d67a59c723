package evict

// TTL lets what expires soonest leave first, since it is worth least, and then the rest as LRU.
type TTL struct {
	soon ranks // by expiry
	rest LRU
}

// Slots of entries that expire have this bit.
const expiring Slot = 1 << 31

// NewTTL gives an empty policy.
func NewTTL() *TTL { return &TTL{} }

// Insert ranks by expiry. After the year 2106 all expiries are alike.
func (t *TTL) Insert(id uint64, size int, expires int64) Slot {
	if expires == 0 {
		return t.rest.Insert(id, size, 0)
	}
	return expiring | t.soon.insert(id, size, uint32(min(max(expires, 1), 1<<32-1)))
}

// Touch matters only to entries that do not expire.
func (t *TTL) Touch(s Slot) {
	if s&expiring == 0 {
		t.rest.Touch(s)
	}
}

func (t *TTL) of(s Slot) (*ranks, Slot) {
	if s&expiring != 0 {
		return &t.soon, s &^ expiring
	}
	return &t.rest.ranks, s
}

// Resize notes that an entry's size changed.
func (t *TTL) Resize(s Slot, size int) {
	r, s := t.of(s)
	r.Resize(s, size)
}

// Remove forgets an entry.
func (t *TTL) Remove(s Slot) {
	r, s := t.of(s)
	r.Remove(s)
}

// Victims offers what expires first.
func (t *TTL) Victims(bytes int64, evict func(id uint64, size int) bool) int64 {
	freed := t.soon.Victims(bytes, evict)
	if freed < bytes {
		freed += t.rest.Victims(bytes-freed, evict)
	}
	return freed
}

// Len counts entries.
func (t *TTL) Len() int { return t.soon.Len() + t.rest.Len() }

// Bytes sums their sizes.
func (t *TTL) Bytes() int64 { return t.soon.Bytes() + t.rest.Bytes() }

// Overhead is what the policy takes.
func (t *TTL) Overhead() int64 { return t.soon.Overhead() + t.rest.Overhead() }

package crdt

import (
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
)

// Expiry is a cell of its own. Its siblings hold instants; the view is the latest, and a PERSIST is an
// instant at infinity. So of concurrent settings the longest wins and PERSIST beats all, while a
// setting that has seen another covers it, shortening included.

// never is the instant that PERSIST writes.
const never = math.MaxInt64

func encodeInstant(at int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at)) }

func decodeInstant(b []byte) int64 {
	if len(b) != 8 {
		return never
	}
	return int64(binary.BigEndian.Uint64(b))
}

// latestInstant is the view of an expiry cell; 0 is never.
func latestInstant(c *cell) int64 {
	var at int64
	for i := range c.sibs {
		if s := &c.sibs[i]; s.tag == TagExpiry {
			at = max(at, decodeInstant(s.val))
		}
	}
	if at == never {
		return 0
	}
	return at
}

// updateExpiry notes the entry's effective instant, which was another before.
func (r *Region) updateExpiry(c *cell, was int64) {
	at := latestInstant(c)
	if at == was {
		return
	}
	own := slices.ContainsFunc(c.sibs, func(s sibling) bool { return r.hasSelf && s.org == r.self })
	if was != 0 {
		r.expiring--
	}
	if at != 0 {
		r.expiring++
		due := at
		if !own {
			due += sweepGraceMillis
		}
		heap.Push(&r.expiry, expiryEnt{due, at, c.at.e})
		r.trimExpiry()
	}
}

// trimExpiry drops superseded instants once they are the majority, so that a key whose expiry is
// refreshed all day costs one entry.
func (r *Region) trimExpiry() {
	if len(r.expiry) <= 2*r.expiring+64 {
		return
	}
	kept, seen := r.expiry[:0], map[expiryEnt]bool{}
	for _, x := range r.expiry {
		if of := (expiryEnt{at: x.at, hash: x.hash}); !seen[of] && len(r.expireAt(x)) > 0 {
			seen[of] = true
			kept = append(kept, x)
		}
	}
	r.expiry = kept
	heap.Init(&r.expiry)
}

// expireAt lists the keys that an instant is about, mostly one.
func (r *Region) expireAt(x expiryEnt) (keys []string) {
	r.store.entries.alike(x.hash, func(ref uint64) bool {
		if e := r.store.entryAt(ref); e.hash == x.hash && e.exp() == x.at {
			keys = append(keys, string(e.key()))
		}
		return true
	})
	return keys
}

// sweepGraceMillis is how long after the instant a replica that did not set the expiry waits before it
// removes the entry itself. Readers do not see the entry either way; waiting saves every replica but
// one the write.
const sweepGraceMillis = 60_000

// expiryEnt is an instant at which an entry, by its hash, expires.
type expiryEnt struct {
	due, at int64
	hash    uint64
}

type expiryHeap []expiryEnt

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)        { *h = append(*h, x.(expiryEnt)) }
func (h *expiryHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// sweepMax bounds the entries that one sweep removes, so that it holds the region only briefly.
const sweepMax = 512

// sweep removes entries whose expiry is past. It reports whether some that are due remain.
func (r *Region) sweep(now int64) (more bool) {
	var kept []expiryEnt
	removed := 0
	for n := 0; n < sweepMax && len(r.expiry) > 0 && r.expiry[0].due <= now; n++ {
		x := heap.Pop(&r.expiry).(expiryEnt)
		keys := r.expireAt(x)
		switch {
		case len(keys) == 0:
		case x.due != x.at && !r.clockPlausible(now):
			kept = append(kept, x)
		default:
			for _, key := range keys {
				r.begin(now).drop(key)
			}
			removed++
		}
	}
	for _, x := range kept {
		heap.Push(&r.expiry, x)
	}
	return removed > 0 && len(r.expiry) > 0 && r.expiry[0].due <= now
}

// clockLeapMillis is how far our clock may be from every stamp that others, and earlier incarnations, have
// left here and still be believed.
const clockLeapMillis = 30 * 24 * 3600 * 1000

// clockPlausible keeps a device whose clock says 2099 from removing everybody's entries that have an expiry. It
// hides them from its own readers all the same, and removes those whose expiry it has set itself.
func (r *Region) clockPlausible(now int64) bool {
	return r.heard == 0 || now-r.heard.Millis() <= clockLeapMillis
}

// NextExpiry is when the next entry is due for removal, Unix ms; ok is false when none is.
func (r *Region) NextExpiry() (at int64, ok bool) {
	if len(r.expiry) == 0 {
		return 0, false
	}
	return r.expiry[0].due, true
}

// Package evict chooses which values leave memory when it is short. It knows entries by an id and a size, and holds no values; the owner
// keeps the Slot that Insert gave beside each entry, so that Touch, on the path of every read, looks nothing up.
//
//	value comes to memory ─► Insert(id, size) ─► Slot, kept with the entry
//	value is read         ─► Touch(slot)
//	memory is short       ─► Victims(bytes, evict) ─► evict(id, size): true frees it, false keeps it (not yet on disk, pinned)
//
// The id must be the same when the value comes back (the hash of its key, say): S3-FIFO then knows it again.
//
// # Policies
//
//	s3fifo   a small queue that most values leave unread, a main one that forgives, and a memory of who left (s3fifo.go)
//	lru      the longest unread leaves first: exact                                                    (lru.go)
//	lfu      the least read leaves first; counts halve as reads go by, so that yesterday's favourites age    (lfu.go)
//	ttl      what expires soonest leaves first, then the rest as lru                                    (ttl.go)
//	none     nothing leaves                                                                             (none.go)
//
// # Invariants
//
//   - Equal calls choose equal victims in equal order.
//   - Victims frees at least what was asked for, unless every entry was offered; each is offered at most once a call.
//   - Ranks are read lazily: Touch writes one word, and order is put right when victims are chosen.
//
// # Concurrency
//
// Touch may run beside other Touches, as reads under a shared lock do. All else needs the owner's exclusive lock.
//
// # Cost
//
//	Touch             one word: some 5 ns
//	Insert, Remove    O(1) for s3fifo, O(log n) for the others, amortised
//	a victim          O(1) amortised for s3fifo, O(log n) amortised for the others
//	memory            24 bytes an entry, up to 28 while slices grow; no pointers for the collector
//
// # Limits
//
// Sizes are at most MaxSize: larger ones count as that. S3-FIFO is slower than LRU to follow a popularity that wanders: over
// Zipf reads whose favourites shift all the time it hits 4 points less, where scans cost LRU 5.
package evict

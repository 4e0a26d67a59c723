package evict

import "sync/atomic"

// S3FIFO is the policy of Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023). Most
// entries are read once and never again: they enter a small queue, a tenth of all bytes, and leave at its end unless they
// were read more than once there. Those go to the main queue, at whose end a read entry goes round again, one read poorer. Who left the
// small queue is remembered for a while: an entry that comes back soon goes to the main queue at once. A scan thus
// passes through a tenth of memory and displaces nothing else.
//
// Here memory has no fixed size: the queues' shares are of what is held when victims are asked for.
type S3FIFO struct {
	ids   []uint64
	state []uint32 // size, queue and reads: see below; written by Touch
	next  []Slot   // towards the queue's end that entries come to
	small queue
	main  queue
	spare []Slot
	dead  int
	left  ghosts
}

// A queue is chained through next, from the entry that is first to leave.
type queue struct {
	first, last Slot
	count       int   // with dead ones
	bytes       int64 // without
}

// The parts of a state.
const (
	sizeMask  = 1<<29 - 1
	deadSize  = sizeMask // the entry was removed and waits in its queue
	readOne   = 1 << 29  // two bits of reads: 0 to 3
	readsMask = 3 << 29
	inMain    = 1 << 31
)

// NewS3FIFO gives an empty policy.
func NewS3FIFO() *S3FIFO { return &S3FIFO{} }

// Insert puts an entry in the small queue, or in the main one if it left lately.
func (f *S3FIFO) Insert(id uint64, size int, _ int64) (s Slot) {
	state := clip(size)
	if f.left.has(id) {
		state |= inMain
	}
	if n := len(f.spare); n > 0 {
		s, f.spare = f.spare[n-1], f.spare[:n-1]
		f.ids[s], f.state[s] = id, state
	} else {
		s = Slot(len(f.ids))
		f.ids, f.state, f.next = grow(f.ids, id), grow(f.state, state), grow(f.next, 0)
	}
	f.push(s)
	f.queueOf(s).bytes += int64(clip(size))
	return s
}

// Touch counts up to three reads. Of reads at the same instant one may go uncounted.
func (f *S3FIFO) Touch(s Slot) {
	if old := atomic.LoadUint32(&f.state[s]); old&readsMask != readsMask {
		atomic.CompareAndSwapUint32(&f.state[s], old, old+readOne)
	}
}

// Resize notes that an entry's size changed.
func (f *S3FIFO) Resize(s Slot, size int) {
	f.queueOf(s).bytes += int64(clip(size)) - int64(f.size(s))
	f.state[s] = f.state[s]&^sizeMask | clip(size)
}

// Remove leaves the entry in its queue. When half of all are dead, they are swept out.
func (f *S3FIFO) Remove(s Slot) {
	f.queueOf(s).bytes -= int64(f.size(s))
	f.state[s] |= deadSize
	if f.dead++; f.dead > (f.small.count+f.main.count)/2+16 {
		f.sweep(&f.small)
		f.sweep(&f.main)
	}
}

func (f *S3FIFO) sweep(q *queue) {
	for range q.count {
		if s := f.pop(q); !f.reap(s) {
			f.push(s)
		}
	}
}

// reap frees the slot of a dead entry that was taken off its queue.
func (f *S3FIFO) reap(s Slot) bool {
	if f.size(s) != deadSize {
		return false
	}
	f.spare = grow(f.spare, s)
	f.dead--
	return true
}

// Victims takes from the small queue while that has a tenth of all bytes, and from the main one otherwise.
func (f *S3FIFO) Victims(bytes int64, evict func(id uint64, size int) bool) (freed int64) {
	var kept []Slot
	for freed < bytes {
		s, ok := f.candidate()
		if !ok {
			break
		}
		size := f.size(s)
		if !evict(f.ids[s], int(size)) {
			kept = append(kept, s)
			continue
		}
		freed += int64(size)
		f.queueOf(s).bytes -= int64(size)
		if f.state[s]&inMain == 0 {
			f.left.add(f.ids[s], f.Len())
		}
		f.spare = grow(f.spare, s)
	}
	for _, s := range kept {
		f.push(s)
	}
	return freed
}

// candidate takes the next entry to leave off its queue. On the way it promotes and forgives.
func (f *S3FIFO) candidate() (s Slot, ok bool) {
	for f.small.count+f.main.count > 0 {
		q := &f.main
		if f.small.count > 0 && (f.main.count == 0 || f.small.bytes*10 >= f.Bytes()) {
			q = &f.small
		}
		s = f.pop(q)
		switch {
		case f.reap(s):
		case q == &f.small && f.state[s]&readsMask > readOne:
			f.promote(s)
		case q == &f.main && f.state[s]&readsMask > 0:
			f.state[s] -= readOne
			f.push(s)
		default:
			return s, true
		}
	}
	return 0, false
}

// promote spends the reads: in the main queue an entry has to be read again to stay.
func (f *S3FIFO) promote(s Slot) {
	size := f.size(s)
	f.small.bytes -= int64(size)
	f.main.bytes += int64(size)
	f.state[s] = size | inMain
	f.push(s)
}

func (f *S3FIFO) size(s Slot) uint32 { return f.state[s] & sizeMask }

func (f *S3FIFO) queueOf(s Slot) *queue {
	if f.state[s]&inMain != 0 {
		return &f.main
	}
	return &f.small
}

// push puts an entry last on the queue that its state names.
func (f *S3FIFO) push(s Slot) {
	q := f.queueOf(s)
	if q.count == 0 {
		q.first = s
	} else {
		f.next[q.last] = s
	}
	q.last = s
	q.count++
}

func (f *S3FIFO) pop(q *queue) Slot {
	s := q.first
	q.first = f.next[s]
	q.count--
	return s
}

// Len counts entries.
func (f *S3FIFO) Len() int { return f.small.count + f.main.count - f.dead }

// Bytes sums their sizes.
func (f *S3FIFO) Bytes() int64 { return f.small.bytes + f.main.bytes }

// Overhead counts what is allocated, used or not.
func (f *S3FIFO) Overhead() int64 {
	return int64(cap(f.ids)*8+cap(f.state)*4+cap(f.next)*4+cap(f.spare)*4) + f.left.overhead()
}

package fabric

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/edgemem/edgemem/crdt"
)

// A regionLock is a lock for many readers whose readers write nothing that another reader reads, as long as nobody writes: two
// processors that read one region otherwise spend their time on handing the lock's counter to and fro. (Dice and Kogan, "BRAVO: biased
// locking for reader-writer locks", 2019.)
//
//	reader   while the lock is open, takes a free seat of the fabric's, writes on it which lock it reads under, and looks whether the
//	         lock is still open; otherwise it takes the lock like any other
//	writer   takes the lock; if it is open, closes it, and waits until no seat says its name
//
// A lock opens after openAfter reads with no write between them, so that where reads and writes alternate it is an ordinary lock. Seats
// belong to all regions together: an idle region pays for none.
type regionLock struct {
	rw    sync.RWMutex
	seats *seats
	open  atomic.Bool
	calm  atomic.Int32                  // readers since the last writer, while it is closed
	waits atomic.Pointer[chan struct{}] // of the writer that waits for a seat; capacity 1
}

// openAfter is worth the walk over all seats that the next writer has to make.
const openAfter = 64

// seats are a power of two.
type seats []seat

// seat is for one reader at a time. It takes a whole number of pairs of cache lines, since processors fetch them so.
type seat struct {
	of   atomic.Pointer[regionLock]
	view crdt.View // of that reader
	_    [seatBytes - (unsafe.Sizeof(crdt.View{})+unsafe.Sizeof(uintptr(0)))%seatBytes]byte
}

const (
	seatBytes     = 128
	seatsEach     = 4 // a processor
	seatsMin      = 8
	seatsMax      = 256
	seatSpinsMax  = 100 // looks at a taken seat before the writer sleeps
	stackLeastLog = 11  // stacks of goroutines are 2 KiB or more
)

func newSeats(processors int) *seats {
	n := seatsMin
	for n < seatsEach*processors && n < seatsMax {
		n *= 2
	}
	s := make(seats, n)
	return &s
}

// mine is the seat that this goroutine tries. Any would do: its stack is what tells it from others without asking for anything.
func (s seats) mine() *seat {
	var here byte
	h := uint64(uintptr(unsafe.Pointer(&here))>>stackLeastLog) * 0x9e3779b97f4a7c15
	return &s[h>>32&uint64(len(s)-1)]
}

// enter begins to read. The seat, which may be nil, is for leave.
func (l *regionLock) enter() *seat {
	if l.open.Load() {
		if s := l.seats.mine(); s.of.CompareAndSwap(nil, l) {
			if l.open.Load() {
				return s
			}
			l.leave(s)
		}
	}
	l.rw.RLock()
	if !l.open.Load() && l.calm.Add(1) >= openAfter {
		l.open.Store(true)
	}
	return nil
}

// leave ends what enter began.
func (l *regionLock) leave(s *seat) {
	if s == nil {
		l.rw.RUnlock()
		return
	}
	s.of.Store(nil)
	if w := l.waits.Load(); w != nil {
		select {
		case *w <- struct{}{}:
		default: // it was told
		}
	}
}

// Lock is for a writer.
func (l *regionLock) Lock() {
	l.rw.Lock()
	if l.calm.Load() != 0 {
		l.calm.Store(0)
	}
	if l.open.Load() {
		l.open.Store(false)
		l.clear()
	}
}

// Unlock ends what Lock began.
func (l *regionLock) Unlock() { l.rw.Unlock() }

// RLock is for a reader who stays long, or comes seldom.
func (l *regionLock) RLock() { l.rw.RLock() }

// RUnlock ends what RLock began.
func (l *regionLock) RUnlock() { l.rw.RUnlock() }

// clear waits until nobody reads from a seat any more. Nobody new can sit down.
func (l *regionLock) clear() {
	for i := range *l.seats {
		s := &(*l.seats)[i]
		for spins := 0; s.of.Load() == l; spins++ {
			if spins < seatSpinsMax {
				runtime.Gosched()
				continue
			}
			told := make(chan struct{}, 1)
			l.waits.Store(&told)
			for s.of.Load() == l {
				<-told
			}
			l.waits.Store(nil)
		}
	}
}

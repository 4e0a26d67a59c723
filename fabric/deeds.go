package fabric

import (
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// deeds remembers what came of writes that others asked for, for as long as they may ask again: so each is done once or not at all. What does
// not fit is forgotten, and who asks again then is told that it is not known.
type deeds struct {
	mu     sync.Mutex
	askers map[askerID]*asker
	bytes  int // of the answers that are kept
}

const (
	deedFor       = 2 * writeTimeMax // after it is done
	deedBytesMax  = 32 << 20
	deedOverheads = 256
	askersMax     = 1024 // runs of programs that asked
)

type askerID struct {
	node crdt.NodeID
	run  run
}

// asker is a run of a program that asks for writes.
type asker struct {
	memory    run // names what is remembered of it: another one has forgotten
	streams   int
	deeds     map[uint64]*deed
	lowest    uint64    // of ids that it may repeat
	forgotten uint64    // of ids up to this one those that are not in deeds are not known
	seen      time.Time // when its last stream ended
}

// deed is a write under way, or what came of it.
type deed struct {
	by     *asker
	id     uint64
	done   chan struct{} // closed when out and answer stand
	out    outcome
	answer []byte
	at     time.Time // when it was done; zero: under way
}

func (d *deed) size() int { return len(d.answer) + deedOverheads }

// greet counts a stream of an asker, and names what is remembered of it. It takes the place of the one that has been away for longest, where
// there are too many; false: all are here.
func (x *deeds) greet(id askerID) (memory run, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	a := x.askers[id]
	if a == nil {
		if len(x.askers) >= askersMax && !x.turnOut() {
			return memory, false
		}
		a = &asker{memory: newRun(), deeds: map[uint64]*deed{}}
		x.askers[id] = a
	}
	a.streams++
	return a.memory, true
}

// bye ends a stream.
func (x *deeds) bye(id askerID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if a := x.askers[id]; a != nil {
		a.streams--
		a.seen = time.Now()
	}
}

// turnOut forgets the asker that has been away for longest, if one is. The caller holds mu.
func (x *deeds) turnOut() bool {
	var oldest askerID
	var found *asker
	for id, a := range x.askers {
		if a.streams == 0 && (found == nil || a.seen.Before(found.seen)) {
			oldest, found = id, a
		}
	}
	if found == nil {
		return false
	}
	for _, d := range found.deeds {
		x.drop(d)
	}
	delete(x.askers, oldest)
	return true
}

// drop forgets a deed. The caller holds mu.
func (x *deeds) drop(d *deed) {
	if d.by.deeds[d.id] != d {
		return
	}
	delete(d.by.deeds, d.id)
	d.by.forgotten = max(d.by.forgotten, d.id)
	if !d.at.IsZero() {
		x.bytes -= d.size()
	}
}

// enter gives the deed of a request: fresh, to be done, or one that came before; nil where that is not known.
func (x *deeds) enter(who askerID, q *request) (d *deed, fresh bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	a := x.askers[who]
	if a == nil {
		return nil, false
	}
	if q.lowest > a.lowest { // what is under way still goes later
		a.lowest = q.lowest
		for id, d := range a.deeds {
			if id < q.lowest && !d.at.IsZero() {
				x.drop(d)
			}
		}
	}
	if d := a.deeds[q.id]; d != nil {
		return d, false
	}
	if q.id <= a.forgotten {
		return nil, false
	}
	d = &deed{by: a, id: q.id, done: make(chan struct{})}
	a.deeds[q.id] = d
	return d, true
}

// done keeps what came of a deed.
func (x *deeds) done(d *deed, out outcome, answer []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	d.out, d.answer, d.at = out, answer, time.Now()
	close(d.done)
	if d.by.deeds[d.id] != d {
		return
	}
	x.bytes += d.size()
	if x.bytes > deedBytesMax {
		x.drop(d)
	}
}

// tick forgets what nobody may ask for any more.
func (x *deeds) tick(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, a := range x.askers {
		for _, d := range a.deeds {
			if !d.at.IsZero() && now.Sub(d.at) >= deedFor {
				x.drop(d)
			}
		}
		if a.streams == 0 && len(a.deeds) == 0 && now.Sub(a.seen) >= deedFor {
			delete(x.askers, id)
		}
	}
}

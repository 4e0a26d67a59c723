package history

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Settings say what the store promises. They are part of what is judged.
type Settings struct {
	// OnDiskAfter is how long a write of a region that answers from memory may stay off the disk.
	OnDiskAfter time.Duration
	// DiskRegions are those that answer when the write is on disk. What a node has from others may come later to its disk there, too.
	DiskRegions []string
	// Skew is how much later a write elsewhere must have begun for its stamp to be higher for sure.
	Skew time.Duration
}

// Log collects a history. Its methods may be called from any goroutine.
type Log struct {
	settings Settings
	began    time.Time

	mu     sync.Mutex
	tracks map[Slot]*track
	ends   map[Life]end
	agreed []agreement // by time
	cuts   []cut
	acked  uint64
}

// track is what happened to one slot.
type track struct {
	changes []*Op // writes, removes, adds
	reads   []*Op
}

// end says up to when the data that a life left behind is kept: what it answered in regions that answer from disk, and all else.
type end struct{ memory, disk time.Duration }

// agreement is a moment at which some nodes held the same.
type agreement struct {
	at    time.Duration
	lives []Life
}

// cut is a time in which nothing passed between groups of nodes, in either direction.
type cut struct {
	from, to time.Duration
	groups   [][]string
}

// New begins a history.
func New(s Settings) *Log {
	return &Log{settings: s, began: time.Now(), tracks: map[Slot]*track{}, ends: map[Life]end{}}
}

// Now is the time on the log's clock.
func (l *Log) Now() time.Duration { return time.Since(l.began) }

// Answered counts the changes that were answered.
func (l *Log) Answered() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Session is one connection of a client to one life of a node. Its operations follow each other in the order in which they
// are recorded.
type Session struct {
	log    *Log
	name   string
	life   Life
	serial int
}

// Session opens one.
func (l *Log) Session(name string, life Life) *Session {
	return &Session{log: l, name: name, life: life}
}

// Record adds operations in the order in which they were sent, those that were not answered included.
func (s *Session) Record(ops ...Op) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, o := range ops {
		o.session, o.life, o.serial = s, s.life, s.serial
		s.serial++
		if !o.Answered {
			o.Returned = never
		}
		s.log.add(&o)
	}
}

func (l *Log) add(o *Op) {
	t := l.tracks[o.Slot]
	if t == nil {
		t = &track{}
		l.tracks[o.Slot] = t
	}
	if o.Action == Read {
		t.reads = append(t.reads, o)
		return
	}
	t.changes = append(t.changes, o)
	if o.Answered {
		l.acked++
	}
}

// Killed notes that a life was ended by kill -9, or a power cut, which began at this time.
func (l *Log) Killed(life Life, at time.Duration) {
	l.keep(life, end{at - l.settings.OnDiskAfter, never})
}

// RolledBack notes that a node's data, of all its lives up to and with the last, was replaced by a copy that was made at this time,
// when the node did not run.
func (l *Log) RolledBack(last Life, to time.Duration) {
	for n := range last.N + 1 {
		l.keep(Life{last.Node, n}, end{to, to})
	}
}

func (l *Log) keep(life Life, e end) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.ends[life]; ok {
		e = end{min(e.memory, old.memory), min(e.disk, old.disk)}
	}
	l.ends[life] = e
}

// Agreed notes that these lives were found to hold the same, contexts included, at this time.
func (l *Log) Agreed(at time.Duration, lives ...Life) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.agreed = append(l.agreed, agreement{at, slices.Clone(lives)})
	slices.SortStableFunc(l.agreed, func(a, b agreement) int { return cmp.Compare(a.at, b.at) })
}

// Apart notes that nothing passed between the groups in all the time from one moment to another, on no way: whoever is in none of
// them was cut off from all but one.
func (l *Log) Apart(from, to time.Duration, groups ...[]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cuts = append(l.cuts, cut{from, to, groups})
}

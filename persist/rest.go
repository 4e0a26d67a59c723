package persist

import (
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/dgraph-io/badger/v4"
)

// Badger's compactors, of which there are at least two, look for work twenty times a second each, for ever. That was seven eighths of what an
// idle device computed (0.69 % of a core against 0.10 % without), and kept its processor from sleeping. So on a device they rest while
// there is nothing for them to do. Badger stops and starts them itself, while it drops a prefix, but exports neither; the names are bound here
// to the pinned version, and a version without them does not link.
//
//	commit ──▶ look, every lookEvery ──▶ levels beyond their targets ──▶ compactors run
//	                └─ nothing beyond for calmLooks ──▶ compactors rest; nobody looks until the next commit

//go:linkname stopCompactions github.com/dgraph-io/badger/v4.(*DB).stopCompactions
func stopCompactions(db *badger.DB)

//go:linkname startCompactions github.com/dgraph-io/badger/v4.(*DB).startCompactions
func startCompactions(db *badger.DB)

const (
	lookEvery = 250 * time.Millisecond
	// calmLooks is longer than a memtable takes to become a table. If that took longer, the next commit would find it.
	calmLooks = 12
)

// compaction lets Badger's compactors rest.
type compaction struct {
	db      *badger.DB
	looks   <-chan time.Time // replaces the timer in tests
	stirred chan struct{}    // capacity 1: one commit stands for any number

	mu      sync.Mutex // held while compactors are stopped or started, by whomever
	resting bool
}

func newCompaction(db *badger.DB, looks <-chan time.Time) *compaction {
	return &compaction{db: db, looks: looks, stirred: make(chan struct{}, 1)}
}

// stir says that something is going to be written. It never waits.
func (c *compaction) stir() {
	select {
	case c.stirred <- struct{}{}:
	default:
	}
}

// loop runs until stop is closed. The compactors run when it begins, for what recovery may have left.
func (c *compaction) loop(stop <-chan struct{}) {
	for calm := 0; ; {
		if calm == calmLooks {
			c.rest()
			select {
			case <-c.stirred:
				calm = 0
			case <-stop:
				return
			}
		}
		if !c.wait(stop) {
			return
		}
		if c.behind() {
			calm = 0
			c.resume()
		} else {
			calm++
		}
	}
}

// wait waits for the next look; false at the end.
func (c *compaction) wait(stop <-chan struct{}) bool {
	looks := c.looks
	if looks == nil {
		timer := time.NewTimer(lookEvery)
		defer timer.Stop()
		looks = timer.C
	}
	select {
	case <-looks:
		return true
	case <-stop:
		return false
	}
}

// behind reports whether a compactor would find work.
func (c *compaction) behind() bool {
	for _, l := range c.db.Levels() {
		if l.Level == 0 && l.Score >= 1 || l.Adjusted >= 1 {
			return true
		}
	}
	return false
}

func (c *compaction) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.resting {
		c.resting = true
		stopCompactions(c.db)
	}
}

func (c *compaction) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resumeLocked()
}

func (c *compaction) resumeLocked() {
	if c.resting {
		c.resting = false
		startCompactions(c.db)
	}
}

// around runs what stops and starts the compactors itself, or may wait for them.
func (c *compaction) around(what func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resumeLocked()
	defer c.stir()
	return what()
}

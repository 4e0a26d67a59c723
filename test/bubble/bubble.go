// Package bubble runs tests in virtual time: testing/synctest, in a way that the race detector survives.
package bubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test is synctest.Test. Under the race detector it runs on one processor at a time, whatever GOMAXPROCS says: a timer
// that is due already is fired by the goroutine that looks at it, with the detector's state of the bubble, and when two
// do that at once on two processors the detector ends the process (golang/go#78156, SIGSEGV in __tsan::SlotLock). What
// the detector finds does not depend on processors: it compares clocks of goroutines.
func Test(t *testing.T, f func(*testing.T)) {
	if raceEnabled {
		defer single()()
	}
	synctest.Test(t, f)
}

var processors struct {
	sync.Mutex
	bubbles int // that run now
	before  int // GOMAXPROCS before the first of them
}

// single sets GOMAXPROCS to 1 until the last caller has called what it returns.
func single() (done func()) {
	p := &processors
	p.Lock()
	defer p.Unlock()
	if p.bubbles++; p.bubbles == 1 {
		p.before = runtime.GOMAXPROCS(1)
	}
	return func() {
		p.Lock()
		defer p.Unlock()
		if p.bubbles--; p.bubbles == 0 {
			runtime.GOMAXPROCS(p.before)
		}
	}
}

package bubble

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Due timers in many goroutines, over and over: with synctest.Test in place of Test this ends the race detector within a second.
func TestDueTimers(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	Test(t, func(*testing.T) {
		var all sync.WaitGroup
		for range 400 {
			all.Go(func() {
				timer := time.NewTimer(0)
				for range 200 {
					<-timer.C
					timer.Reset(0)
				}
			})
		}
		all.Wait()
	})
	if now := runtime.GOMAXPROCS(0); now != before {
		t.Errorf("GOMAXPROCS is %d after a bubble, was %d", now, before)
	}
}

package daemon

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBoundMapped: resident pages of files are given back when they are too many, at once where they come fast, and nothing is done about few.
func TestBoundMapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const most = 100
		now, grows, released := int64(0), int64(0), 0
		looks := 0
		resident := func() int64 { looks++; return now }
		stop := boundMapped(most, resident, func() { released++; now = most / 2 })
		step := func(span time.Duration) {
			for range span / (10 * time.Millisecond) {
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
				now += grows
			}
		}
		step(time.Minute)
		if released != 0 || looks > 70 {
			t.Errorf("at rest: released %d times, looked %d times in a minute", released, looks)
		}
		grows = 4 // in 10 ms
		step(10 * time.Second)
		if released < 30 || now > 2*most {
			t.Errorf("while it grows: released %d times, %d resident of %d", released, now, most)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		before := looks
		step(5 * time.Second)
		if looks != before {
			t.Error("it looks after its end")
		}
	})
}

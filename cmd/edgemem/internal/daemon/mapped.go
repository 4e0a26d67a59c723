package daemon

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

// Pages of the store's files become resident as its compactions pass through them, and stay: the kernel takes them back when the machine or the cgroup
// is short of memory, which a limit that only this node knows, --memory, is not. So the node gives them back itself.
const (
	mappedCalm  = time.Second           // between looks at a node at rest
	mappedBusy  = 50 * time.Millisecond // at one whose store compacts: two compactions touch some 40 MiB in a tenth of a second
	mappedLooks = 40                    // until it is taken to be at rest again
)

// boundMapped keeps resident pages of files below most bytes, the program's own among them, until stop. resident tells how many there are, 0 where
// that is not known; release gives back those of the store.
func boundMapped(most int64, resident func() int64, release func()) (stop func() error) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTimer(mappedCalm)
		defer t.Stop()
		busy := 0 // looks to come at short intervals
		for last := resident(); ; {
			select {
			case <-done:
				return
			case <-t.C:
			}
			now := resident()
			if busy--; now-last > most/8 || now > most*7/8 {
				busy = mappedLooks
			}
			if now > most {
				release()
				now = resident()
			}
			last = now
			if busy > 0 {
				t.Reset(mappedBusy)
			} else {
				t.Reset(mappedCalm)
			}
		}
	})
	return func() error { close(done); wg.Wait(); return nil }
}

// residentFiles is how much of mapped files the kernel counts for this process, bytes; 0 where it does not say.
func residentFiles() int64 {
	text, err := os.ReadFile("/proc/self/statm") // size, resident, of that shared with files, pages
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 3 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

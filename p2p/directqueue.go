package p2p

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of what may wait for one peer. When either is reached further frames for that peer are dropped and it is told
// to pull, while all other peers have theirs. Frames are shared between the queues of all peers.
const (
	pushQueueFrames = 4096
	pushQueueBytes  = 2 << 20

	// pushBatchBytes is what is written at once, if that much waits; a single frame may be longer.
	pushBatchBytes = 64 << 10
	// missedEvery is how often a peer is told at most that it missed something: each time it pulls.
	missedEvery = time.Second
)

// pushItem is a frame that waits.
type pushItem struct {
	kind    byte
	payload []byte
}

// pushQueue holds what waits for one peer.
type pushQueue struct {
	mu      sync.Mutex // a leaf
	items   []pushItem
	bytes   int
	news    []byte        // the latest announcement, nil if it was taken: a later one replaces an earlier
	missed  time.Time     // when the first frame was dropped that the peer was not told of; zero: none was
	told    time.Time     // when it was last told
	stopped bool          // nobody takes anything until start
	used    bool          // a frame was queued since then
	wake    chan struct{} // room for one: a wake-up that finds one pending has nothing to add
	notices prometheus.Counter
}

// newPushQueue makes a stopped queue that counts how often the peer is told to pull.
func newPushQueue(notices prometheus.Counter) *pushQueue {
	return &pushQueue{stopped: true, wake: make(chan struct{}, 1), notices: notices}
}

// put queues a frame; false if it was dropped.
func (q *pushQueue) put(item pushItem) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped || len(q.items) >= pushQueueFrames || q.bytes+len(item.payload) > pushQueueBytes {
		q.lose()
		return false
	}
	q.items, q.used = append(q.items, item), true
	q.bytes += len(item.payload)
	q.kick()
	return true
}

// lost notes that a frame for the peer was dropped elsewhere.
func (q *pushQueue) lost() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lose()
}

// lose is called with mu held.
func (q *pushQueue) lose() {
	if q.missed.IsZero() {
		q.missed = time.Now()
		q.kick()
	}
}

// announce replaces the announcement that waits.
func (q *pushQueue) announce(encoded []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.news = encoded
	q.kick()
}

func (q *pushQueue) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// start begins a stream, which an announcement opens.
func (q *pushQueue) start(encoded []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped, q.used, q.news = false, false, encoded
	q.kick()
}

// stop ends a stream: what waits is dropped, and its number returned. What was written may have been lost as well.
func (q *pushQueue) stop() (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped = len(q.items)
	if q.used {
		q.lose()
	}
	q.items, q.bytes, q.news, q.stopped = nil, 0, nil, true
	return dropped
}

// take appends what waits to b, at most pushBatchBytes unless one frame is longer: the announcement, frames, and word
// of frames that were dropped. Empty: nothing waits; then wait says when something will without another wake-up, 0 never.
func (q *pushQueue) take(b []byte, now time.Time) (_ []byte, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.news != nil {
		b = appendFrame(b, pushNews, q.news)
		q.news = nil
	}
	n := 0
	for n < len(q.items) && (len(b) == 0 || len(b)+len(q.items[n].payload) <= pushBatchBytes) {
		b = appendFrame(b, q.items[n].kind, q.items[n].payload)
		q.bytes -= len(q.items[n].payload)
		n++
	}
	if q.items = q.items[n:]; len(q.items) == 0 {
		q.items = nil
	}
	left := q.untilTold(now)
	if left == 0 {
		q.missed, q.told = time.Time{}, now
		q.notices.Inc()
		b = appendFrame(b, pushMissed, nil)
	}
	return b, max(left, 0)
}

// untilTold is the time until the peer is told what it missed, negative if there is nothing to tell. The queue is to
// drain first, because a pull brings what waits in it too; but a queue that never drains must not silence it.
// Called with mu held.
func (q *pushQueue) untilTold(now time.Time) time.Duration {
	switch {
	case q.missed.IsZero():
		return -1
	case len(q.items) == 0:
		return max(0, missedEvery-now.Sub(q.told))
	}
	return max(0, missedEvery-now.Sub(q.missed))
}

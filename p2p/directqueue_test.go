package p2p

import (
	"bytes"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/test/bubble"
)

func startedQueue() *pushQueue {
	q := newPushQueue(prometheus.NewCounter(prometheus.CounterOpts{}))
	q.start([]byte("news"))
	return q
}

// kindsIn lists the frames of a batch.
func kindsIn(t *testing.T, batch []byte) (kinds []byte) {
	t.Helper()
	for r := bytes.NewReader(batch); r.Len() > 0; {
		kind, _, err := readFrame(r, pushFrameMax)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

func (q *pushQueue) wantTaken(t *testing.T, want ...byte) {
	t.Helper()
	b, _ := q.take(nil, time.Now())
	if got := kindsIn(t, b); !bytes.Equal(got, want) {
		t.Errorf("took frames %v, want %v", got, want)
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"frames": 1, "bytes": MaxFrameBytes} {
		q := startedQueue()
		n := 0
		for q.put(pushItem{pushDirect, make([]byte, size)}) {
			n++
		}
		if n != min(pushQueueFrames, pushQueueBytes/size) {
			t.Errorf("bound of %s: %d frames", name, n)
		}
		if n*size != q.bytes || len(q.items) != n {
			t.Errorf("bound of %s: %d bytes in %d frames counted as %d in %d", name, n*size, n, q.bytes, len(q.items))
		}
	}
}

// A batch is bounded, but never empty because of that; it takes frames in their order.
func TestBatches(t *testing.T) {
	t.Parallel()
	q := startedQueue()
	q.wantTaken(t, pushNews)
	for _, size := range []int{MaxFrameBytes, 1, 2, pushBatchBytes - 2, 3} {
		q.put(pushItem{pushDirect, make([]byte, size)})
	}
	for _, want := range []int{1, 2, 1, 1, 0} {
		b, _ := q.take(nil, time.Now())
		if got := len(kindsIn(t, b)); got != want {
			t.Errorf("a batch of %d frames, %d bytes; want %d", got, len(b), want)
		}
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes in an empty queue", q.bytes)
	}
}

// The peer is told after what waited, once, and again only after a while.
func TestMissedIsTold(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		q := startedQueue()
		q.wantTaken(t, pushNews)
		q.put(pushItem{pushDirect, nil})
		q.lost()
		q.wantTaken(t, pushDirect, pushMissed)
		q.lost()
		q.wantTaken(t)
		time.Sleep(missedEvery / 2)
		b, wait := q.take(nil, time.Now())
		if len(b) > 0 || wait != missedEvery/2 {
			t.Errorf("took %x, wait %v", b, wait)
		}
		time.Sleep(wait)
		q.wantTaken(t, pushMissed)
		q.wantTaken(t)
	})
}

// A queue that never drains does not silence the notice.
func TestMissedIsToldUnderLoad(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		q := startedQueue()
		fill := func() {
			for q.put(pushItem{pushDirect, make([]byte, MaxFrameBytes)}) {
			}
		}
		q.wantTaken(t, pushNews)
		fill()
		q.wantTaken(t, pushDirect)
		fill()
		q.wantTaken(t, pushDirect)
		time.Sleep(missedEvery)
		q.wantTaken(t, pushDirect, pushMissed)
	})
}

// What waits when a stream ends is lost, and the next stream says so. Nothing is queued in between.
func TestQueueOverStreams(t *testing.T) {
	t.Parallel()
	q := startedQueue()
	q.put(pushItem{pushDirect, nil})
	if n := q.stop(); n != 1 {
		t.Errorf("%d frames dropped", n)
	}
	if q.put(pushItem{pushDirect, nil}) {
		t.Error("queued without a stream")
	}
	q.start([]byte("news"))
	q.wantTaken(t, pushNews, pushMissed)
	q.stop()
	q.start([]byte("news"))
	q.wantTaken(t, pushNews)
}

// What was written when a stream ends may be lost too.
func TestWrittenFramesMayBeLost(t *testing.T) {
	t.Parallel()
	q := startedQueue()
	q.put(pushItem{pushDirect, nil})
	q.wantTaken(t, pushNews, pushDirect)
	q.stop()
	q.start([]byte("news"))
	q.wantTaken(t, pushNews, pushMissed)
}

// A later announcement replaces one that was not sent yet.
func TestLatestNewsOnly(t *testing.T) {
	t.Parallel()
	q := startedQueue()
	q.announce([]byte("later"))
	b, _ := q.take(nil, time.Now())
	if !bytes.Equal(b, appendFrame(nil, pushNews, []byte("later"))) {
		t.Errorf("announced %q", b)
	}
}

package scenario

import (
	"math"
	"time"
)

// What goes with a payload on the wire: gossip's stamp, topic and lengths, and yamux and TLS; a stream's frame, and
// the same.
const (
	gossipOverhead = 70
	streamOverhead = 40
	segmentBytes   = 1400 // what a stream loses at once
	smallBytes     = 4096 // below this, how long the receiver's own link takes does not matter
)

// reach tells whether two nodes that are linked can talk.
func reach(a, b *node) bool { return a.up && b.up && a.plug && b.plug && a.group == b.group }

// reconnect brings every link up to date after a fault or its end.
func (w *world) reconnect() {
	for _, n := range w.nodes {
		for _, f := range n.links {
			switch on := reach(n, f.peer); {
			case on && !f.on:
				w.connected(f)
			case !on && f.on:
				w.disconnected(f)
			}
		}
	}
}

func loss(f *follower) float64 { return 1 - (1-f.self.tier.Loss)*(1-f.peer.tier.Loss) }

// send moves size bytes along a link. sent is called when the last has left, arrive when it is there; neither when
// the link breaks before, arrive not when the bytes are lost.
func (w *world) send(f *follower, size int, stream bool, sent, arrive func()) {
	a, b, epoch := f.self, f.peer, f.epoch
	guard := func(fn func()) func() {
		return func() {
			if f.epoch == epoch && fn != nil {
				fn()
			}
		}
	}
	start := max(w.now, a.outFree)
	a.outFree = start + transfer(size, a.tier.UpMbit)
	a.use.sent(size, start, a.outFree)
	if sent != nil {
		w.when(a.outFree, guard(sent))
	}
	delay := time.Duration(a.tier.Delay + b.tier.Delay)
	there := a.outFree + delay + w.jitterOf(a) + w.jitterOf(b)
	if lost := loss(f); lost > 0 && stream {
		if w.rng.Float64() > math.Pow(1-lost, math.Ceil(float64(size)/segmentBytes)) {
			there += 2 * delay
		}
	} else if lost > 0 && w.rng.Float64() < lost {
		w.lostFrames++
		return
	}
	there = max(there, f.arrived) // one connection keeps the order
	f.arrived = there
	w.when(there, guard(func() { w.take(f, size, guard(arrive)) }))
}

// take lets the receiver's access link take the bytes, in the order in which they came along the link.
func (w *world) take(f *follower, size int, arrive func()) {
	b := f.peer
	b.use.in += int64(size)
	if size >= smallBytes {
		b.inFree = max(w.now, b.inFree+transfer(size, b.tier.DownMbit))
		f.taken = max(f.taken, b.inFree)
	}
	if f.taken <= w.now {
		arrive()
		return
	}
	w.when(f.taken, arrive)
}

func (w *world) jitterOf(n *node) time.Duration {
	if n.tier.Jitter == 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(n.tier.Jitter)))
}

func transfer(size int, mbit float64) time.Duration {
	return time.Duration(float64(size) * 8 / mbit * float64(time.Microsecond))
}

// usage is what a node sent and took.
type usage struct {
	in, out int64
	second  time.Duration // of the bucket
	bucket  float64
	peak    float64 // bytes out in the worst second
	served  int     // most pulls served at once
	waited  int     // most pulls that waited for a place
	copies  int64   // of pushed frames
	frames  int64   // different ones
}

// sent adds bytes that leave between two moments. Moments never go back.
func (u *usage) sent(size int, from, to time.Duration) {
	u.out += int64(size)
	left, rest := float64(size), to-from
	for {
		second := from / time.Second
		if second != u.second {
			u.second, u.bucket = second, 0
		}
		part := left
		if end := (second + 1) * time.Second; to > end && rest > 0 {
			part = left * float64(end-from) / float64(rest)
			rest, from = to-end, end
		}
		u.bucket += part
		u.peak = max(u.peak, u.bucket)
		if left -= part; left <= 0 || from/time.Second == second {
			return
		}
	}
}

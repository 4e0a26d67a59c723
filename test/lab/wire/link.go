package wire

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// framesMax is how many frames may be under way on one link; a further one is dropped and counted.
const framesMax = 8192

// Stats count what became of the frames of one link. Sent is the sum of Passed, Lost, Cut, Dropped and what is under way, less
// the copies.
type Stats struct {
	Sent, SentBytes       uint64 // came from the sender
	Passed, PassedBytes   uint64 // reached the receiver, copies included
	Lost, Cut, Dropped    uint64 // by chance; because the link was cut; because a queue was full
	Duplicated, Reordered uint64
}

// link is one direction between two ports. The switch's lock guards it.
type link struct {
	to       *Port
	c        Condition
	rnd      *rand.Rand
	free     time.Time // when the bucket is full again, if nothing else comes
	last     time.Time // when the last frame in order arrives
	underWay int
	stats    Stats
}

func newLink(seed uint64, from string, to *Port) *link {
	h := fnv.New64a()
	h.Write([]byte(from + "\x00" + to.name))
	return &link{to: to, rnd: rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// fate is what chance has for one frame. It is always drawn whole, so that the next frame's does not depend on what
// the conditions made of this one.
type fate struct{ loss, duplicate, reorder, jitter, copyJitter float64 }

func (l *link) draw() fate {
	f := l.rnd.Float64
	return fate{f(), f(), f(), f(), f()}
}

// carry sends a frame over the link: it is dropped, or queued at the other end once or twice.
func (l *link) carry(frame []byte, now time.Time) {
	f := l.draw()
	l.stats.Sent++
	l.stats.SentBytes += uint64(len(frame))
	leaves, room := l.shape(len(frame), now)
	switch {
	case l.c.Cut:
		l.stats.Cut++
	case f.loss < l.c.Loss:
		l.stats.Lost++
	case !room || l.underWay >= framesMax:
		l.stats.Dropped++
	default:
		l.send(frame, leaves, f)
	}
}

func (l *link) send(frame []byte, leaves time.Time, f fate) {
	at := leaves.Add(l.c.Delay + part(l.c.Jitter, f.jitter))
	if f.reorder < l.c.Reorder {
		l.stats.Reordered++
		at = at.Add(l.c.Delay + heldBack)
	} else {
		at = later(at, l.last)
		l.last = at
	}
	l.queue(frame, at)
	if f.duplicate < l.c.Duplicate {
		l.stats.Duplicated++
		l.queue(frame, at.Add(part(l.c.Jitter, f.copyJitter)))
	}
}

func (l *link) queue(frame []byte, at time.Time) {
	l.underWay++
	l.to.push(flight{at: at, frame: frame, link: l})
}

// shape says when the token bucket lets a frame leave, and whether it may wait that long. A frame that finds no room takes no
// tokens; one that is lost further on does.
func (l *link) shape(size int, now time.Time) (leaves time.Time, room bool) {
	if l.c.RateBytes == 0 || l.c.Cut {
		return now, true
	}
	burst := l.span(l.c.BurstBytes)
	free := later(l.free, now)
	leaves = later(free.Add(-burst), now)
	if leaves.Sub(now) > l.span(l.c.QueueBytes) {
		return now, false
	}
	l.free = free.Add(l.span(int64(size)))
	return leaves, true
}

// span is the time that so many bytes take at the link's rate.
func (l *link) span(bytes int64) time.Duration {
	return time.Duration(float64(bytes) / float64(l.c.RateBytes) * float64(time.Second))
}

// arrive says whether a frame that was under way gets through.
func (l *link) arrive(frame []byte) bool {
	l.underWay--
	if l.c.Cut {
		l.stats.Cut++
		return false
	}
	l.stats.Passed++
	l.stats.PassedBytes += uint64(len(frame))
	return true
}

func part(of time.Duration, share float64) time.Duration {
	return time.Duration(float64(of) * share)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

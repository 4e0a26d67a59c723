package fabric

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/edgemem/edgemem/crdt"
)

// What LimitRate may be, bytes a second. A session of less would seem to stand still.
const (
	limitMin = 1 << 10
	limitMax = 1 << 30
)

// limits are the token buckets of one peer's link, one each way, for all its sessions together.
type limits struct{ in, out *rate.Limiter }

// limitsOf gives the buckets of a peer; nil ones where there is no limit.
func (m *mesh) limitsOf(id crdt.NodeID) limits {
	if p := m.peer(id); p != nil {
		return p.limits
	}
	return newLimits(m.f.cfg.LimitRate)
}

func newLimits(bytesPerSecond int) limits {
	return limits{newLimiter(bytesPerSecond), newLimiter(bytesPerSecond)}
}

// newLimiter makes a bucket that holds a quarter of a second, so that a session moves on several times within any timeout.
func newLimiter(bytesPerSecond int) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), max(bytesPerSecond/4, 1))
}

// buckets are the limiters that one direction of a session has to satisfy.
type buckets []*rate.Limiter

// step is how many of n bytes may go at once.
func (bs buckets) step(n int) int {
	for _, b := range bs {
		if b != nil {
			n = min(n, b.Burst())
		}
	}
	return n
}

// wait returns when n bytes, no more than step gave, may go.
func (bs buckets) wait(ctx context.Context, n int) error {
	for _, b := range bs {
		if b == nil {
			continue
		}
		if err := b.WaitN(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Writes to a region whose acknowledgement is quorum or all wait until other holders are known to have merged them, into memory at least.
// How many depends on who the holders are when a write waits: the members that are not retired, as far as this node knows. A side of a
// split that has no more than half of them acknowledges nothing; what it writes is kept, and merges as ever: an error says that the write
// is not known to be elsewhere, not that it did not happen. Members say what they have when they are asked, so that such a write takes some
// tens of milliseconds more than a round trip; writes that wait at the same time share the questions.

// ErrNotMerged answers a write that too few holders are known to have merged in time.
var ErrNotMerged = errors.New("fabric: not merged by enough holders")

// mergePatience is for how long a write waits for other holders.
const mergePatience = 10 * time.Second

// promise has a commit wait for what the region's writes wait for.
func (r *Region) promise(c Commit) Commit {
	level := r.ack.Load()
	c.durable = level != ackMemory
	if level >= ackQuorum && c.r != nil {
		c.level, c.until = level, time.Now().Add(mergePatience)
	} else {
		c.r = nil
	}
	return c
}

// merged returns when as many other members as the level wants are known to have all that was seen of the region by now.
func (r *Region) merged(ctx context.Context, level int32, until time.Time) error {
	holders := len(r.f.look().holdersOf(r))
	others := holders / 2
	if level == ackAll {
		others = holders - 1
	}
	if others == 0 {
		return nil
	}
	patient, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	have, err := r.WaitFor(patient, r.Token(), AckedBy(others))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrNotMerged, context.Cause(ctx))
	case errors.Is(err, ErrStale):
		return fmt.Errorf("%w: region %q: %d of %d other holders are known to have the write, %s waits for %d; it is kept here, and merges when they are reached",
			ErrNotMerged, r.name, have, holders-1, r.Ack(), others)
	}
	return fmt.Errorf("%w: %v", ErrNotMerged, err) // no ErrNotHeld: the write was made, and is not to be made elsewhere again
}

package fabric

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Commit is a write on its way to the disk.
type Commit struct {
	c       *committer
	epoch   uint64
	durable bool

	r     *Region   // that was written to; nil: nothing was written
	level int32     // what its writes wait for
	until time.Time // for how long they wait for other holders
}

// Wait returns when the write is acknowledged as its region's configuration says: at once for memory.
// Errors: ErrNotDurable with the cause, or the context's; ErrNotMerged.
func (c Commit) Wait(ctx context.Context) error {
	if !c.durable {
		return nil
	}
	if err := c.Sync(ctx); err != nil || c.level < ackQuorum || c.r == nil {
		return err
	}
	return c.r.merged(ctx, c.level, c.until)
}

// AwaitsOthers reports whether Wait waits for more than this node's disk.
func (c Commit) AwaitsOthers() bool { return c.durable && c.level >= ackQuorum && c.r != nil }

// Sync waits until the write is on disk, whatever the region's configuration says.
func (c Commit) Sync(ctx context.Context) error {
	if c.c == nil {
		return nil
	}
	return c.c.wait(ctx, c.epoch)
}

// committer commits what changed in all regions, one batch after the other. Writers that come while a
// batch is under way share the next one (group commit). A batch takes, under each region's lock, all
// that is dirty there, so its records are one consistent image: entries, context and floors.
type committer struct {
	f    *Fabric
	wake chan struct{} // capacity 1: one signal stands for any number

	mu      sync.Mutex
	dirty   map[*Region]struct{}
	epoch   uint64        // of the batch that is being gathered
	done    uint64        // the last epoch that is durable
	failed  uint64        // the last epoch whose commit failed
	cause   error         // why
	closed  bool          // nothing is committed any more
	urgent  bool          // somebody waits
	removes bool          // what is dirty, or unsaved, holds removes that came while the disk was full
	turn    chan struct{} // closed when an epoch ends

	waiting  int           // writers that wait for the batch that is being gathered
	inFlight int           // those that wait for the one under way
	expected int           // so many will wait for the next one if those that were released write again
	complete chan struct{} // capacity 1: told when that many do
	took     time.Duration // the last commit

	looking      sync.Mutex               // one look at a time
	full         atomic.Pointer[fullDisk] // nil: there is room
	unsavedCells atomic.Int64             // while it is full, as of the last look
	refused      atomic.Uint64            // local writes

	unsaved []crdt.Record // of the committing goroutine: taken, but not committed yet
	lastAt  time.Time
}

func newCommitter(f *Fabric) *committer {
	return &committer{f: f, wake: make(chan struct{}, 1), dirty: map[*Region]struct{}{}, epoch: 1, turn: make(chan struct{}), complete: make(chan struct{}, 1)}
}

// mark notes that the region changed. The change must have been made before. shrinking: it only removes.
func (c *committer) mark(r *Region, shrinking bool) Commit {
	if c.f.cfg.Storage == nil {
		return Commit{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dirty) == 0 {
		c.signal()
	}
	c.dirty[r] = struct{}{}
	if shrinking && c.full.Load() != nil {
		c.removes = true
	}
	return Commit{c: c, epoch: c.epoch}
}

func (c *committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *committer) wait(ctx context.Context, epoch uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrive(epoch)
	for c.done < epoch {
		if c.failed >= epoch {
			return fmt.Errorf("%w: %w", ErrNotDurable, c.cause)
		}
		if c.closed {
			return fmt.Errorf("%w: %w", ErrNotDurable, ErrClosed)
		}
		if epoch == c.epoch { // an earlier batch is under way already
			c.hasten()
		}
		turn := c.turn
		c.mu.Unlock()
		select {
		case <-turn:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			return fmt.Errorf("%w: %w", ErrNotDurable, context.Cause(ctx))
		}
	}
	return nil
}

// arrive counts a writer that is going to wait. The caller holds mu.
func (c *committer) arrive(epoch uint64) {
	if epoch != c.epoch {
		return
	}
	if c.waiting++; c.waiting == c.expected {
		select {
		case c.complete <- struct{}{}:
		default: // it was told
		}
	}
}

// gatherStep is how long a batch waits for one more writer. It is the time in which many writers come back one after the other.
const gatherStep = 100 * time.Microsecond

// gather holds a batch back while writers that the last one released come back. Without it they split in two halves, of which one
// always waits for the commit of the other, and each commit carries half of them. It takes no longer than a commit did, and
// ends as soon as nobody comes.
func (c *committer) gather() {
	c.mu.Lock()
	expected, have, until := c.expected, c.waiting, time.Now().Add(c.took)
	c.mu.Unlock()
	if have == 0 || have >= expected {
		return
	}
	step := time.NewTimer(gatherStep)
	defer step.Stop()
	for {
		select {
		case <-c.complete:
			return
		case <-c.f.ctx.Done():
			return
		case <-step.C:
		}
		c.mu.Lock()
		now := c.waiting
		c.mu.Unlock()
		if now == have || now >= expected || time.Now().After(until) {
			return
		}
		have = now
		step.Reset(gatherStep)
	}
}

// hasten makes the next batch leave now. The caller holds mu.
func (c *committer) hasten() {
	if !c.urgent {
		c.urgent = true
		c.signal()
	}
}

// hurry makes the next batch leave now.
func (c *committer) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hasten()
}

// retryEvery is how long a failed commit waits before the next try, unless a writer waits.
const retryEvery = time.Second

func (c *committer) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-c.f.ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		wait, work := c.pause()
		if !work {
			continue
		}
		if wait > 0 {
			timer.Reset(wait)
			continue
		}
		c.gather()
		if err := c.commit(); err != nil {
			if c.full.Load() == nil { // a full disk is told once, by look
				c.f.cfg.Logger.Error("commit failed; the writes stay in memory and are tried again", "err", err)
			}
			timer.Reset(retryEvery)
			continue
		}
		c.f.evicts.round() // all that was taken is on disk
	}
}

// pause says how long the next batch may still gather.
func (c *committer) pause() (wait time.Duration, work bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	short := c.f.evicts.wish.Load()
	if len(c.dirty) == 0 && len(c.unsaved) == 0 && !short {
		return 0, false
	}
	if c.urgent || short {
		return 0, true
	}
	return c.f.cfg.CommitEvery - time.Since(c.lastAt), true
}

// commit takes what is dirty and commits it.
func (c *committer) commit() error {
	store := c.f.cfg.Storage.Commit
	if err := c.look(); err != nil {
		spare := c.spare()
		if c.putOff(err, spare != nil) {
			return err
		}
		store = spare.CommitRemoves
	}
	c.mu.Lock()
	regions, epoch, removes := c.dirty, c.epoch, c.removes
	c.removes = false
	c.dirty = make(map[*Region]struct{}, 1)
	c.epoch++
	c.urgent = false
	c.depart()
	c.mu.Unlock()
	began := time.Now()
	recs := c.unsaved
	var stuck error    // what cannot be written before something else was read,
	var left []*Region // and of which regions
	for _, r := range sortedRegions(regions) {
		r.mu.Lock()
		taken, err := r.take()
		r.mu.Unlock()
		if recs = append(recs, taken...); err != nil {
			stuck = cmp.Or(stuck, err)
			left = append(left, r)
		}
	}
	if len(c.unsaved) > 0 {
		recs = latest(recs)
	}
	var err error
	if len(recs) > 0 {
		err = store(recs)
	}
	c.lastAt = time.Now()
	c.took = c.lastAt.Sub(began)
	c.unsaved = nil
	if err != nil {
		c.unsaved = recs
		if removes {
			c.keepRemoves()
		}
		if full := c.look(); full != nil {
			err = full
		}
	}
	err = cmp.Or(err, stuck)
	c.settle(epoch, err)
	c.again(left)
	return err
}

// again has the next batch take regions. It wakes nobody: the try that follows a failed commit does.
func (c *committer) again(regions []*Region) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range regions {
		c.dirty[r] = struct{}{}
	}
}

// depart begins to count anew. The caller holds mu.
func (c *committer) depart() {
	c.inFlight, c.waiting = c.waiting, 0
	select {
	case <-c.complete: // of the batch that leaves
	default:
	}
}

// settle ends an epoch and wakes those who wait for it.
func (c *committer) settle(epoch uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected = c.waiting + c.inFlight
	if err != nil {
		c.failed, c.cause = epoch, err
	} else {
		c.done = epoch
	}
	close(c.turn)
	c.turn = make(chan struct{})
	if len(c.dirty) > 0 {
		c.signal()
	}
}

// latest keeps the last record of each key, so that a disk that stays full costs a record a key.
func latest(recs []crdt.Record) []crdt.Record {
	at := make(map[string]int, len(recs))
	out := recs[:0:0]
	for _, rec := range recs {
		if i, ok := at[string(rec.Key)]; ok {
			out[i] = rec
			continue
		}
		at[string(rec.Key)] = len(out)
		out = append(out, rec)
	}
	return out
}

// last commits what is left when nothing else runs any more, and sends away who waits for more.
func (c *committer) last() error {
	var err error
	if len(c.dirty) > 0 || len(c.unsaved) > 0 {
		err = c.commit()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	close(c.turn)
	if err != nil {
		return fmt.Errorf("fabric: last commit: %w", err)
	}
	return nil
}

func sortedRegions(set map[*Region]struct{}) []*Region {
	out := make([]*Region, 0, len(set))
	for r := range set {
		out = append(out, r)
	}
	slices.SortFunc(out, byName)
	return out
}

func byName(a, b *Region) int { return strings.Compare(a.name, b.name) }

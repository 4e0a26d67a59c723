package fabric

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A node without a copy that reaches no holder keeps writes for later, where the region allows it (RegionConfig.QueueWrites). It makes them as a
// replica that has seen nothing of the region would, under an incarnation of its own, and keeps the pushes of them on its disk, apart from the regions, until a
// holder has merged all of them and has them on its disk:
//
//	Queue ─▶ a write in an empty replica ─▶ its pushes, on the disk ┄┄ a holder is reached ─▶ service edgemem.queue ─▶ merged, on its disk ─▶ off ours
//
// So a crash at either end, an answer that is lost and a second holder that is given them too change nothing: a dot is merged once. All of them
// go in one request, and before anything else that this node asks about the region, so that what comes after finds them done. What such a write
// covers is what was queued with it; with all else it is concurrent.

var (
	// ErrNotQueued says that a write cannot be kept until a holder is reached.
	ErrNotQueued = errors.New("fabric: the write cannot be queued")
	// ErrQueueFull refuses a write where as many wait as may.
	ErrQueueFull = errors.New("fabric: the queue of writes is full")
)

// Bounds of what waits at a node. One request takes all of a region.
const (
	queueWritesMax = 10_000  // of all regions
	queueBytesMax  = 4 << 20 // of their pushes, of all regions
	queueService   = reservedPrefix + "queue"
	queueTime      = 30 * time.Second // for one request
	queueRetry     = 2 * time.Second  // after one that failed
	queueTries     = 3                // where more is queued while it goes
	queuedPrefix   = "queued/"        // of private records: then the region's name, a zero byte, and a number
)

// queue is what waits at this node.
type queue struct {
	f    *Fabric
	disk privateStorage // nil: nothing can be queued

	mu     sync.Mutex // held while the disk takes a write
	self   crdt.Origin
	at     map[string]*waiting
	last   uint64 // number of a record
	writes int
	bytes  int
	count  QueueStats
	some   atomic.Bool // something waits: who asks of a region is not to wait for mu else
}

// waiting is what waits of one region.
type waiting struct {
	core   *crdt.Region  // with what was queued since it last was empty, or since this start; nil: nothing
	self   crdt.Origin   // whose writes are in it,
	top    crdt.Seq      // and in those before
	pushes []kept        // in the order of the writes
	going  chan struct{} // capacity 1: who holds it sends them
	since  time.Time     // when the first one was queued, or read from the disk
	next   time.Time     // when to try again
}

type kept struct {
	n    uint64
	push []byte
}

// QueueStats counts what was queued since Open.
type QueueStats struct {
	Waiting   int    `json:"waiting"`         // writes that no holder has yet,
	Bytes     int    `json:"bytes"`           // and what they take
	Queued    uint64 `json:"queued_total"`    // writes that were queued,
	Refused   uint64 `json:"refused_total"`   // that were not, for want of room,
	Delivered uint64 `json:"delivered_total"` // and that a holder has merged
}

func newQueue(f *Fabric) *queue {
	q := &queue{f: f, at: map[string]*waiting{}}
	q.disk, _ = f.cfg.Storage.(privateStorage)
	return q
}

func newWaiting() *waiting { return &waiting{going: make(chan struct{}, 1), since: time.Now()} }

// open reads what waits, and has other nodes' queues taken.
func (q *queue) open() error {
	q.f.Answer(queueService, q.take)
	if q.disk == nil {
		return nil
	}
	_, err := q.disk.Private(func(key, value []byte) error {
		rest, ok := bytes.CutPrefix(key, []byte(queuedPrefix))
		name, number, found := bytes.Cut(rest, []byte{0})
		if !ok || !found || len(number) != 8 {
			return nil
		}
		w := q.at[string(name)]
		if w == nil {
			w = newWaiting()
			q.at[string(name)] = w
		}
		k := kept{binary.BigEndian.Uint64(number), bytes.Clone(value)}
		w.pushes = append(w.pushes, k)
		q.last = max(q.last, k.n)
		q.writes, q.bytes = q.writes+1, q.bytes+len(value)
		return nil
	})
	if err != nil {
		return fmt.Errorf("fabric: queued writes: %w", err)
	}
	q.some.Store(q.writes > 0)
	for _, w := range q.at {
		slices.SortFunc(w.pushes, func(a, b kept) int { return bytes.Compare(recordKey("", a.n), recordKey("", b.n)) })
	}
	return nil
}

func recordKey(region string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(queuedPrefix+region), 0), n)
}

// QueueStats gives the counters.
func (f *Fabric) QueueStats() QueueStats {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	s := f.queue.count
	s.Waiting, s.Bytes = f.queue.writes, f.queue.bytes
	return s
}

// Queued says how many writes of this node to the region no holder has yet, and since when; 0: none waits.
func (r *Region) Queued() (writes int, since time.Time) {
	q := r.f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.at[r.name]; w != nil {
		return len(w.pushes), w.since
	}
	return 0, since
}

// QueuesWrites says whether writes may wait at a node without a copy that reaches no holder.
func (r *Region) QueuesWrites() bool { return r.queues.Load() }

// Queue keeps a write until a holder is reached. It returns when it is on this node's disk; then it is done once, whatever crashes. fn runs on a replica
// that has seen nothing but what waits: it must not depend on what it reads, and removes nothing. Errors: fn's, with which nothing is queued if it wrote nothing;
// ErrNotQueued, where the region does not allow it or there is a copy here, ErrQueueFull, ErrTooLarge, ErrClosed, those of the disk.
func (r *Region) Queue(ctx context.Context, fn func(tx *crdt.Tx) error) error {
	q := r.f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.put(ctx, r, fn)
	if errors.Is(err, ErrQueueFull) {
		q.count.Refused++
	}
	return err
}

// put needs mu.
func (q *queue) put(ctx context.Context, r *Region, fn func(tx *crdt.Tx) error) error {
	switch {
	case q.f.closed.Load():
		return ErrClosed
	case r.Held():
		return fmt.Errorf("%w: region %q has a copy here", ErrNotQueued, r.name)
	case !r.queues.Load():
		return fmt.Errorf("%w: region %q does not allow it ('edgemem region create %s --queue-writes')", ErrNotQueued, r.name, r.name)
	case q.disk == nil:
		return fmt.Errorf("%w: this node keeps nothing on a disk", ErrNotQueued)
	case q.writes >= queueWritesMax || q.bytes >= queueBytesMax:
		return fmt.Errorf("%w: %d writes, %d bytes wait, at most %d and %d", ErrQueueFull, q.writes, q.bytes, queueWritesMax, queueBytesMax)
	}
	w := q.at[r.name]
	if w == nil {
		w = newWaiting()
	}
	if err := q.begin(ctx, r, w); err != nil {
		return err
	}
	before, top := w.core.LocalWrites(), w.core.OwnTop()
	failed := w.core.Update(q.f.now(), fn)
	if w.core.LocalWrites() == before {
		return failed
	}
	pushes := w.core.TakePush()
	err := q.keep(r.name, w, pushes)
	if err != nil { // what is not on the disk was not written, and its numbers are free
		w.top, w.core = top, nil
	}
	q.at[r.name] = w
	return errors.Join(err, failed)
}

// begin makes the replica that is written to, under an incarnation that writes to nothing else.
func (q *queue) begin(ctx context.Context, r *Region, w *waiting) error {
	if q.self == (crdt.Origin{}) {
		nonce, err := q.f.cfg.Storage.NewIncarnation(ctx, q.f.cfg.Node, q.f.Origin().Number()+1)
		if err != nil {
			return fmt.Errorf("fabric: new incarnation: %w", err)
		}
		q.self = crdt.NewOrigin(q.f.cfg.Node, nonce)
	}
	if w.self != q.self {
		w.self, w.top, w.core = q.self, 0, nil
	}
	if w.core == nil {
		w.core = crdt.NewRegion(crdt.Config{Name: r.name, Self: q.self, Push: true, HashKey: q.f.hashKey()})
		w.core.Wrote(w.top)
		w.core.SetCausal(r.causal.Load())
	}
	return nil
}

// keep makes the pushes of a write durable.
func (q *queue) keep(region string, w *waiting, pushes [][]byte) error {
	var recs []crdt.Record
	var more []kept
	size := 0
	for i, p := range pushes {
		if _, whole, err := crdt.PushSeen(p); err != nil || !whole {
			return errors.Join(fmt.Errorf("%w: a value that is queued has at most %d bytes", ErrTooLarge, crdt.MaxPushValue), err)
		}
		k := kept{q.last + 1 + uint64(i), p}
		recs = append(recs, crdt.Record{Key: recordKey(region, k.n), Value: p})
		more = append(more, k)
		size += len(p)
	}
	if q.bytes+size > queueBytesMax {
		return fmt.Errorf("%w: %d bytes wait, and %d more are more than %d", ErrQueueFull, q.bytes, size, queueBytesMax)
	}
	q.last += uint64(len(pushes))
	if err := q.disk.CommitPrivate(recs); err != nil {
		q.self = crdt.Origin{} // it may be on the disk all the same: then its numbers are taken
		return fmt.Errorf("fabric: a write cannot be queued: %w", err)
	}
	if len(w.pushes) == 0 {
		w.since = time.Now()
	}
	w.pushes = append(w.pushes, more...)
	q.writes, q.bytes = q.writes+len(more), q.bytes+size
	q.some.Store(true)
	q.count.Queued += uint64(len(more))
	return nil
}

// first has what waits of a region go to a holder before anything else. Error: *NoHolderError.
func (q *queue) first(ctx context.Context, region string) error {
	if !q.some.Load() {
		return nil
	}
	q.mu.Lock()
	w := q.at[region]
	if w == nil || len(w.pushes) == 0 {
		q.mu.Unlock()
		return nil
	}
	q.mu.Unlock()
	select {
	case w.going <- struct{}{}:
		defer func() { <-w.going }()
	case <-ctx.Done():
		return &NoHolderError{Region: region, Holders: q.f.Holders(region), Cause: ctx.Err()}
	}
	for n := 1; ; n++ {
		q.mu.Lock()
		pushes := slices.Clone(w.pushes)
		q.mu.Unlock()
		if len(pushes) == 0 {
			return nil
		}
		if err := q.send(ctx, region, pushes); err != nil { // of what comes after them nothing was done
			return &NoHolderError{Region: region, Holders: q.f.Holders(region), Cause: fmt.Errorf("%d writes wait here, and go first: %v", len(pushes), err)}
		}
		if q.sent(region, w, len(pushes)) || n == queueTries {
			return nil
		}
	}
}

// send gives the writes to a holder, or to the copy that has come here meanwhile.
func (q *queue) send(ctx context.Context, region string, pushes []kept) error {
	r := q.f.known(region)
	if r != nil && r.Held() {
		return r.takeQueued(ctx, pushesOf(pushes))
	}
	_, _, err := q.f.remotes.askWrite(ctx, &Request{Region: region, Service: queueService, Body: appendQueued(nil, pushes), Write: true})
	return err
}

func pushesOf(list []kept) (out [][]byte) {
	for _, k := range list {
		out = append(out, k.push)
	}
	return out
}

// sent forgets what a holder has. more is false where something was queued meanwhile: it may come after what was sent, so all of it goes again.
func (q *queue) sent(region string, w *waiting, n int) (all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(w.pushes) != n {
		return false
	}
	var recs []crdt.Record
	for _, k := range w.pushes {
		recs = append(recs, crdt.Record{Key: recordKey(region, k.n)})
		q.bytes -= len(k.push)
	}
	if err := q.disk.CommitPrivate(recs); err != nil { // after a restart they go once more, which changes nothing
		q.f.cfg.Logger.Warn("queued writes that a holder has cannot be taken off the disk", "region", region, "writes", n, "err", err)
	}
	q.writes -= n
	q.some.Store(q.writes > 0)
	q.count.Delivered += uint64(n)
	w.pushes = nil
	if w.core != nil {
		w.top, w.core = w.core.OwnTop(), nil
	}
	return true
}

// has says whether something waits of a region.
func (q *queue) has(region string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.at[region]
	return w != nil && len(w.pushes) > 0
}

// tick has what waits go where a holder is connected.
func (q *queue) tick(now time.Time) {
	if !q.some.Load() {
		return
	}
	q.mu.Lock()
	var due []string
	for name, w := range q.at {
		if len(w.pushes) > 0 && !now.Before(w.next) && len(w.going) == 0 {
			w.next = now.Add(queueRetry)
			due = append(due, name)
		}
	}
	q.mu.Unlock()
	slices.Sort(due)
	for _, name := range due {
		if r := q.f.known(name); r == nil || !r.Held() {
			if near, _ := q.f.remotes.candidates(name); len(near) == 0 {
				continue
			}
		}
		q.f.goDo(func() {
			ctx, cancel := context.WithTimeout(q.f.ctx, queueTime)
			defer cancel()
			if err := q.first(ctx, name); err != nil && q.f.ctx.Err() == nil {
				q.f.cfg.Logger.Debug("queued writes still wait", "region", name, "err", err)
			}
		})
	}
}

// appendQueued is the body of a request: the pushes, each after its length.
func appendQueued(b []byte, pushes []kept) []byte {
	for _, k := range pushes {
		b = append(binary.AppendUvarint(b, uint64(len(k.push))), k.push...)
	}
	return b
}

// decodeQueued gives parts of b.
func decodeQueued(b []byte) (pushes [][]byte, err error) {
	r := fields{rest: b}
	for len(r.rest) > 0 && r.err("") == nil {
		if pushes = append(pushes, r.text(maxQueuedPush)); len(pushes) > queueWritesMax {
			return nil, fmt.Errorf("%w: more than %d queued writes", errProtocol, queueWritesMax)
		}
	}
	return pushes, r.err("queued writes")
}

// maxQueuedPush bounds one of them, bytes: a write, or a part of one.
const maxQueuedPush = 128 << 10

// take answers a node whose writes have waited.
func (q *queue) take(ctx context.Context, asked *Asked, w io.Writer) error {
	pushes, err := decodeQueued(asked.Body)
	if err == nil && !asked.Write {
		err = errors.New("fabric: queued writes in a request that says that it writes nothing")
	}
	if err != nil {
		return err
	}
	return asked.Region.takeQueued(ctx, pushes)
}

// takeQueued merges writes that have waited, and returns when they are on the disk. Errors: *NotHeldError, where this node has no copy, or no disk that
// keeps it: another holder is to have them.
func (r *Region) takeQueued(ctx context.Context, pushes [][]byte) error {
	if r.f.cfg.Storage == nil {
		return r.nowhere()
	}
	if err := r.f.holdsMerges(r.name); err != nil {
		return err
	}
	seen := crdt.Context{}
	for _, p := range pushes {
		name, err := crdt.PushRegion(p)
		if err == nil && name != r.name {
			err = fmt.Errorf("%w: it is for region %q", errProtocol, shown(name))
		}
		if err != nil {
			return err
		}
		c, _, err := crdt.PushSeen(p)
		if err != nil {
			return err
		}
		seen.Union(c)
	}
	held, self := true, r.f.Origin()
	var err error
	r.changed(func(now int64) {
		held = r.Held()
		for i := 0; held && err == nil && i < len(pushes); i++ {
			_, err = r.core.Push(pushes[i], now)
		}
	})
	if err = r.f.undone(self, err); err != nil {
		return err
	}
	r.mu.RLock()
	here := r.core.Covers(seen)
	r.mu.RUnlock()
	switch {
	case !held:
		return r.nowhere()
	case !here:
		return fmt.Errorf("fabric: region %q: queued writes come after others that are not here", r.name)
	}
	r.f.pushes.pass(ctx, r, pushes)
	return r.f.commits.mark(r, false).Sync(ctx)
}

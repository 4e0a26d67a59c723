package fabric

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/evict"
	"github.com/edgemem/edgemem/tiers/offheap"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// Region is this node's replica of one region. Reads and writes are local and never wait for a peer.
type Region struct {
	f    *Fabric
	id   crdt.RegionID
	name string

	system bool // the fabric's own: replicated like the others, not listed, not open to users

	pool     *offheap.Pool // its part of the node's memory; nil: it has needed none yet
	mu       regionLock
	core     *crdt.Region
	policy   evict.Policy // of its values; nil: memory is not short
	watchers []*watcher
	sweeping bool // what changes does so because it expired
	changes  signal

	ack      atomic.Int32
	copy     atomic.Int32         // copyHere, copyNone or copyComing; changes under mu
	life     atomic.Uint32        // how often core became a new one; changes under mu
	moving   sync.Mutex           // one move of this copy at a time
	vowed    time.Time            // until when it stays here, by the machine's clock; belongs to mu
	gone     []crdt.Record        // what takes a copy that was given up off the disk; belongs to mu
	uses     atomic.Pointer[uses] // nil: it was used by nobody of whom account is kept
	causal   atomic.Bool          // as core knows it
	queues   atomic.Bool          // writes may wait at nodes without a copy, see queued.go
	declared atomic.Bool          // in the catalogue
	agreed   atomic.Pointer[terms]
	placed   atomic.Pointer[Placement] // nil: as usual
	keepers  atomic.Pointer[keepers]   // nil: it is and was everywhere
	nextDue  atomic.Int64              // Unix ms of the next tick that has something to do
	pushed   time.Time                 // of the pusher: when a push left last

	reads atomic.Pointer[reads] // see noteRead

	// For the fingerprints that peers compare; see prints.go. hash is of the last snapshot, the others belong to mu.
	hash     atomic.Uint64
	counted  uint64 // hash as far as it is in the latest snapshot; with listed it belongs to prints
	listed   bool
	stale    bool
	before   crdt.Context
	beforeAt uint64

	news    spans        // when it changed; belongs to mu
	held    atomic.Int64 // bytes in memory, as of the last change
	granted atomic.Int64 // bytes of this node's memory that are reserved for it
	unused  int64        // of them; belongs to mu
	refused atomic.Uint64
	damage  sync.Mutex        // guards damaged
	damaged map[string]string // records that could not be read back, and why
	mending bool              // nothing of it may leave this node; see mend

	ghosts atomic.Int64  // as of the last change, with the origins that are below their lines
	told   atomic.Uint64 // the highest of our writes that a peer knew when it went away

	// Of the rounds, which one goroutine runs.
	tended     uint32 // the life of core that they are about
	surveyed   map[crdt.Origin]uint64
	surveyedAt uint64
	ages       []ageMark
	tried      map[crdt.Origin]crdt.Seq // up to where ghosts were forgotten
	starts     int                      // of this node that have an entry in the context, as of the last change that was looked at
	allTold    uint64                   // one more than the version as of which others had seen all that this node wrote
}

// What writes wait for: each for what those before it do, too.
const (
	ackMemory int32 = iota
	ackDisk
	ackQuorum
	ackAll
)

func newRegion(f *Fabric, name string) *Region {
	system := strings.HasPrefix(name, reservedPrefix)
	r := &Region{f: f, name: name, system: system}
	r.core = f.family(system).NewRegion(name, f.Origin(), (*chunks)(r))
	r.id = r.core.ID()
	r.mu.seats = f.seats
	r.nextDue.Store(math.MaxInt64)
	r.govern()
	return r
}

// family is what the cores of regions have in common, of the fabric's own or of others. The caller holds f.mu.
func (f *Fabric) family(system bool) *crdt.Family {
	of := &f.families[0]
	if system {
		of = &f.families[1]
	}
	if *of == nil {
		*of = crdt.NewFamily(crdt.Config{
			Push: f.cfg.Transport != nil, MaxGhosts: f.cfg.MaxGhosts, MaxGhostBytes: f.cfg.MaxGhostBytes, HashKey: f.hashKey(), Mark: markRead,
			Volatile: f.cfg.Storage == nil, Values: f.evicts.values(system), Packer: f.evicts.packer(system),
		})
	}
	return *of
}

// chunks is a region's part of the node's memory. Many regions are so small that they need none.
type chunks Region

func (c *chunks) Alloc(n int) (uint64, []byte) {
	if c.pool == nil {
		c.pool = c.f.heap.NewPool(offheap.Value)
	}
	ref, b := c.pool.Alloc(n)
	return uint64(ref), b
}

func (c *chunks) Free(ref uint64) { c.pool.Free(offheap.Ref(ref)) }

// hashKey is what a Transport whose members share a secret gives, so that clients cannot choose keys that hash alike.
func (f *Fabric) hashKey() [16]byte {
	if t, ok := f.cfg.Transport.(interface{ HashKey() [16]byte }); ok {
		return t.HashKey()
	}
	return [16]byte{}
}

// Name is the region's name.
func (r *Region) Name() string { return r.name }

// ID is the region's name on the wire.
func (r *Region) ID() crdt.RegionID { return r.id }

// Ack is what writes wait for.
func (r *Region) Ack() Ack {
	return [...]Ack{AckMemory, AckDisk, AckQuorum, AckAll}[r.ack.Load()]
}

// configure takes over what the catalogue says; no acknowledgement means that the region is not in it. What a newer version
// may say asks for more than memory: it is taken for disk.
// It reports whether the region's part of the memory changed.
func (r *Region) configure(d declaration) (changed bool) {
	r.declared.Store(d.ack != "")
	r.setConsistency(d.consistency)
	r.queues.Store(d.queues)
	switch Ack(d.ack) {
	case "", AckMemory:
		r.ack.Store(ackMemory)
	case AckQuorum:
		r.ack.Store(ackQuorum)
	case AckAll:
		r.ack.Store(ackAll)
	default:
		r.ack.Store(ackDisk)
	}
	r.placed.Store(d.placement)
	r.countUses()
	r.f.decider.place(r)
	r.setKeepers(d.keepers)
	switch _, said := d.keepers[r.f.cfg.Node]; {
	case d.keepers == nil && !r.Held():
		r.hold()
	case len(d.keepers) > 0 && !said:
		r.yield()
	}
	return r.setTerms(d.terms)
}

// View reads at one instant. Readers do not hold up each other. fn must not write to the region, and what
// it reads is valid only until it returns. Errors: a *NotHeldError and, of causal regions only, ErrLoading: then fn was not called;
// crdt.ErrUnreadable, where a value that fn asked for is on disk and cannot be read.
func (r *Region) View(fn func(v *crdt.View)) error {
	orders, err := r.view(fn)
	if err == errNone {
		return r.nowhere()
	}
	if orders != nil {
		r.keepOrders(orders)
	}
	return err
}

// view gives the view again where it wants orders kept.
func (r *Region) view(fn func(v *crdt.View)) (orders *crdt.View, err error) {
	seat := r.mu.enter()
	defer r.mu.leave(seat) // fn may panic
	if !r.Held() {
		return nil, errNone
	}
	if r.core.Loading() {
		return nil, r.loading()
	}
	if u := r.uses.Load(); u != nil {
		u.looked()
	}
	var v *crdt.View
	if seat != nil {
		v = &seat.view
	} else {
		v = new(crdt.View)
	}
	r.core.Look(v, r.f.clock)
	fn(v)
	r.noteRead(v.Touched())
	if v.WantsOrders() {
		kept := *v
		*v = crdt.View{} // the seat is another reader's soon
		return &kept, r.unread(kept.Err())
	}
	return nil, r.unread(v.Err())
}

// keepOrders keeps what a reader had to sort, so that the next need not, unless memory is short.
func (r *Region) keepOrders(v *crdt.View) {
	if r.f.budget.verdict.Load().Level > pressure.None {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.core.KeepOrders(v)
	r.account()
}

// markRead is what readers, of which there may be many, leave in a region.
func markRead(p *uint32) {
	if atomic.LoadUint32(p) == 0 {
		atomic.StoreUint32(p, 1)
	}
}

// Get appends the register, or counter, at key to buf, which may be nil, and reports whether there is one. It is the shortest way to a value.
// Errors: *NotHeldError, ErrLoading, crdt.ErrWrongType, crdt.ErrUnreadable.
func (r *Region) Get(buf []byte, key string) (val []byte, ok bool, err error) {
	val, ok, missing, err := r.getLazily(buf, key, true)
	if missing != nil {
		r.bringBack(missing)
		val, ok, _, err = r.getLazily(buf, key, false)
	}
	if err == errNone {
		err = r.nowhere()
	}
	return val, ok, err
}

func (r *Region) getLazily(buf []byte, key string, lazily bool) (val []byte, ok bool, missing []crdt.Missing, err error) {
	seat := r.mu.enter()
	defer r.mu.leave(seat)
	if !r.Held() {
		return buf, false, nil, errNone
	}
	if r.core.Loading() {
		return buf, false, nil, r.loading()
	}
	if u := r.uses.Load(); u != nil {
		u.looked()
	}
	var v crdt.View
	r.core.Look(&v, r.f.clock)
	v.Lazy(lazily)
	if val, ok, err = v.Get(key); ok {
		buf = append(buf, val...)
	}
	r.noteRead(v.Touched())
	if v.Missed() {
		return buf, false, v.Missing(), nil
	}
	return buf, ok, nil, r.unread(err)
}

// Update writes, and returns when the write is acknowledged as the region's configuration says. What fn wrote
// before it returned an error stays written: check first, then write. Errors: fn's, ErrClosed, *NotHeldError, ErrDiskFull, ErrMemoryFull, ErrQuota, with which
// nothing was written, ErrNotDurable, the context's; after the last two the write is in memory and goes to peers all the same.
func (r *Region) Update(ctx context.Context, fn func(tx *crdt.Tx) error) error {
	c, err := r.Apply(fn)
	if err != nil {
		return err
	}
	return c.Wait(ctx)
}

// Apply writes in memory. The Commit it returns waits for the acknowledgement, so that a caller can apply
// many writes and wait once. It waits itself only when the disk falls far behind or memory is short.
func (r *Region) Apply(fn func(tx *crdt.Tx) error) (Commit, error) { return r.apply(fn, false) }

func (r *Region) apply(fn func(tx *crdt.Tx) error, shrinking bool) (Commit, error) {
	var c Commit
	var late bool
	var err error
	for range evictTries {
		if !shrinking && !r.system {
			r.await()
			r.slow()
		}
		if c, late, err = r.write(fn, shrinking); !r.mayPass(err) {
			break
		}
	}
	if err == errNone {
		return c, r.nowhere()
	}
	if errors.Is(err, ErrMemoryFull) || errors.Is(err, ErrQuota) {
		r.f.budget.refused.Add(1)
		r.refused.Add(1)
	}
	if c.c == nil && err != nil {
		return c, err
	}
	r.f.merged(r)
	r.f.roster.wrote()
	if late {
		_ = c.Sync(r.f.ctx)
	}
	return r.promise(c), err
}

// write runs a transaction under the lock and marks what it changed, even when fn panics: a caller that recovers
// finds the region usable. late says that the disk is far behind.
func (r *Region) write(fn func(tx *crdt.Tx) error, shrinking bool) (c Commit, late bool, err error) {
	return r.writeAs(copyHere, fn, shrinking)
}

// writeAs is write to a copy in another state.
func (r *Region) writeAs(state int32, fn func(tx *crdt.Tx) error, shrinking bool) (c Commit, late bool, err error) {
	f, now := r.f, r.f.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.closed.Load() { // under the lock: Close waits for writers that came before
		return c, false, ErrClosed
	}
	if r.copy.Load() != state {
		return c, false, errNone
	}
	if !r.system {
		if err := f.refuse(shrinking); err != nil {
			return c, false, err
		}
		if err := r.short(); err != nil && !shrinking {
			return c, false, err
		}
	}
	before, outbound, seen := r.core.LocalWrites(), r.core.Outbound(), r.calm()
	defer func() {
		r.due()
		r.notify(true)
		if r.core.LocalWrites() == before {
			return
		}
		if u := r.uses.Load(); u != nil {
			u.wrote(r.core.Outbound() - outbound)
		}
		r.stir(seen)
		r.news.note(now)
		f.roster.owe()
		f.pushes.mark(r)
		c = f.commits.mark(r, shrinking)
		c.r = r
		late = c.c != nil && (r.core.DirtyCells() > f.cfg.MaxBacklog || int64(r.core.DirtyBytes()) > f.backlog)
	}()
	return c, late, r.unread(r.core.Update(now, fn))
}

// due notes when the region wants its next tick. The caller holds mu.
func (r *Region) due() {
	if n := int64(r.core.Ghosts() + r.core.Below()); r.ghosts.Load() != n {
		r.ghosts.Store(n)
	}
	r.account()
	at, ok := r.core.NextExpiry()
	if r.core.OverBudget() {
		at, ok = 0, true
	}
	if !ok {
		at = math.MaxInt64
	}
	if r.nextDue.Load() != at {
		r.nextDue.Store(at)
	}
}

// tick does all that is due, a bounded part under each lock.
func (r *Region) tick() {
	for more := true; more && r.f.ctx.Err() == nil; {
		if c, late := r.changed(func(now int64) {
			r.sweeping = true
			more = r.core.Tick(now)
		}); late {
			_ = c.Sync(r.f.ctx)
		}
	}
}

// changed runs fn, which may change the replica other than by a local transaction, and passes on what
// follows from it. The Commit lets the caller wait when the disk is far behind: late says so.
func (r *Region) changed(fn func(now int64)) (c Commit, late bool) {
	now := r.f.now()
	r.mu.Lock()
	before, written, seen := r.core.Version(), r.core.LocalWrites(), r.calm()
	fn(now)
	grew := r.core.Version() != before
	if grew {
		r.stir(seen)
		r.news.note(now)
	}
	if r.core.LocalWrites() != written || r.core.Bounds() > 0 { // of bounded counters others may leave us rights
		r.f.roster.owe()
	}
	r.f.broker.mark(r)
	backlog, far := r.core.DirtyCells(), int64(r.core.DirtyBytes()) > r.f.backlog
	r.due()
	r.notify(false)
	r.sweeping = false
	r.f.pushes.mark(r)
	r.mu.Unlock()
	if backlog > 0 || grew {
		c = r.f.commits.mark(r, false)
	}
	if late = c.c != nil && (backlog > r.f.cfg.MaxBacklog || far); late {
		c.c.hurry()
	}
	if grew {
		r.f.mesh.changed()
	}
	if grew {
		r.f.merged(r)
		r.f.roster.wrote()
	}
	return c, late
}

// merged takes over what changed in a region of the fabric's own. The caller holds no lock.
func (f *Fabric) merged(r *Region) {
	switch r {
	case f.catalogue:
		f.readCatalogue()
	case f.roster.r:
		f.roster.read()
	}
}

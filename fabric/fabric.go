package fabric

import (
	"context"
	"errors"
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/offheap"
)

// Fabric is this node's part of the shared memory.
type Fabric struct {
	cfg   Config
	clock func() int64 // now, for views
	base  atomic.Pointer[time.Time]
	seats *seats // of those who read regions
	began time.Time
	self  atomic.Pointer[claim] // what local writes carry; a roll-back replaces it

	mu       sync.RWMutex
	families [2]*crdt.Family // of regions of users, and of the fabric's own
	regions  map[crdt.RegionID]*Region
	byName   map[string]*Region
	sorted   []*Region // by name; nil after a region came. Never changed in place.

	catalogue *Region
	reading   sync.Mutex // one reader of the catalogue at a time: the last one sees the last state
	roster    *roster
	moves     moves
	rolling   sync.Mutex // one roll-back at a time
	rolledAt  time.Time
	budget    *budget
	evicts    *evictor
	backlog   int64 // bytes of changed cells of a region that may wait for the disk before writers wait too
	commits   *committer
	pushes    *pusher
	mesh      *mesh
	messages  *messages
	broker    *broker
	remotes   *remotes
	queue     *queue
	leases    *leases
	decider   *decider
	heap      *offheap.Heap // what the regions hold

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the fabric
	closed atomic.Bool

	waiting atomic.Int32 // calls that wait for a token or for members
	urged   atomic.Int64 // when they last had the members asked, Unix ns by the machine's clock

	metMu sync.Mutex
	met   map[crdt.NodeID]acquaintance // by the Transport's memory, as of metAt
	metAt time.Time

	cursor   int  // of stabilise: the region that it looked at last
	measured bool // the metrics are registered
	once     sync.Once
	err      error
}

// Open starts a node: it loads the durable image, takes a new incarnation and begins to serve peers. It
// does not wait for any. After an error the caller still owns Storage and Transport.
func Open(ctx context.Context, c Config) (*Fabric, error) {
	system := c.Now == nil
	if err := c.validate(); err != nil {
		return nil, err
	}
	f := &Fabric{cfg: c, began: c.Now(), regions: map[crdt.RegionID]*Region{}, byName: map[string]*Region{}}
	f.clock, f.seats = f.now, newSeats(runtime.GOMAXPROCS(0))
	if system {
		f.setClock()
	}
	var err error
	if f.heap, err = offheap.New(offheap.Config{Nodes: c.MemoryNodes, ChunkBytes: c.MemoryChunk}); err != nil {
		return nil, fmt.Errorf("fabric: memory: %w", err)
	}
	// What regions hold may be read for as long as somebody has them, so it goes when nobody has.
	runtime.AddCleanup(f, func(h *offheap.Heap) {
		unmapping.Lock()
		defer unmapping.Unlock()
		_ = h.Close()
	}, f.heap)
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if f.budget, err = newBudget(&f.cfg); err != nil {
		return nil, err
	}
	f.backlog = backlogFor(f.cfg.MemoryBudget)
	f.evicts = newEvictor(f)
	f.commits, f.pushes = newCommitter(f), newPusher(f)
	f.mesh, f.messages, f.remotes, f.roster = newMesh(f), newMessages(f), newRemotes(f), newRoster(f)
	f.broker = newBroker(f)
	f.leases = newLeases(f)
	f.decider = newDecider(f)
	f.queue = newQueue(f)
	if err := f.start(ctx); err != nil {
		f.cancel()
		f.wg.Wait()
		f.unregisterMetrics()
		return nil, err
	}
	return f, nil
}

func (f *Fabric) start(ctx context.Context) error {
	if err := f.incarnate(ctx, 0); err != nil {
		return err
	}
	if err := f.load(); err != nil {
		return err
	}
	if err := f.passLines(ctx); err != nil {
		return err
	}
	var err error
	if f.catalogue, err = f.region(catalogueRegion); err != nil {
		return err
	}
	if f.roster.r, err = f.region(nodesRegion); err != nil {
		return err
	}
	if _, err = f.region(DefaultRegion); err != nil {
		return err
	}
	if err := f.leases.open(); err != nil {
		return err
	}
	if err := f.queue.open(); err != nil {
		return err
	}
	f.openCatalogue()
	if err := f.roster.open(); err != nil {
		return err
	}
	if err := f.registerMetrics(); err != nil {
		return err
	}
	f.goDo(f.tick)
	if f.cfg.ScrubEvery > 0 {
		f.goDo(f.mesh.scrubs.patrol)
	}
	if f.cfg.Storage != nil {
		f.goDo(f.commits.run)
	}
	if f.cfg.Transport == nil {
		return nil
	}
	f.announce(f.declaredRegions())
	f.goDo(f.pushes.run)
	f.goDo(f.broker.run)
	f.goDo(f.mesh.herald)
	f.goDo(f.messages.announce)
	if f.decider.moves() {
		f.goDo(f.decider.run)
	}
	if t, ok := f.cfg.Transport.(Confessor); ok {
		t.OnMissed(f.mesh.onMissed)
	}
	return f.cfg.Transport.Serve(f.mesh.onPeer, f.mesh.onGossip, f.mesh.onStream)
}

// declaredRegions lists the regions that are in the catalogue.
func (f *Fabric) declaredRegions() (names []string) {
	for _, r := range f.all() {
		if r.declared.Load() {
			names = append(names, r.name)
		}
	}
	return names
}

// goDo runs fn until it returns; Close waits for it.
func (f *Fabric) goDo(fn func()) {
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		fn()
	}()
}

// load builds the regions from the durable image. Records of a region follow its meta record.
func (f *Fabric) load() error {
	if f.cfg.Storage == nil {
		return nil
	}
	var r *Region
	n, away := 0, false // from a point on values stay on disk
	err := f.cfg.Storage.Load(func(key, value []byte) error {
		rec := crdt.Record{Key: key, Value: value}
		name, isMeta, err := crdt.RecordName(rec)
		if err != nil {
			return err
		}
		id, ok := crdt.RecordRegion(key)
		switch {
		case isMeta:
			if r, err = f.region(name); err != nil {
				return err
			}
		case !ok || r == nil || r.id != id:
			return fmt.Errorf("%w: key %.40x follows no meta record of its region", crdt.ErrDamaged, key)
		}
		if n++; n%loadLook == 0 && f.evicts.on() && !away {
			r.account()
			away = f.budget.beyond(listShare) > 0
		}
		if isMeta || n%loadLook == 0 {
			r.core.LoadAway(away && !r.system)
		}
		return r.core.Load(rec)
	})
	if err != nil {
		return fmt.Errorf("fabric: load: %w", err)
	}
	for _, r := range f.regions {
		r.core.LoadAway(false)
		r.core.Loaded(f.now())
		r.due()
		r.stir(nil)
		if r.core.Bounds() > 0 {
			f.roster.owe()
		}
	}
	return nil
}

// loadLook is how many records are loaded between two looks at the memory that they take.
const loadLook = 256

// backlogFor is how many bytes of a region's changes may wait for the disk: while a batch is made and committed they are there twice more.
func backlogFor(budget int64) int64 {
	if budget == 0 {
		return backlogMax
	}
	return min(max(budget/32, 1<<20), backlogMax)
}

const backlogMax = 64 << 20

// now is the system's clock as it was set at the last tick, so that a write asks the system for one number and not for two. A clock that
// is set anew, or a machine that slept, is noticed a second later.
func (f *Fabric) now() int64 {
	if b := f.base.Load(); b != nil {
		return b.Add(time.Since(*b)).UnixMilli()
	}
	return f.cfg.Now().UnixMilli()
}

// setClock has now follow the system's clock.
func (f *Fabric) setClock() {
	t := time.Now()
	f.base.Store(&t)
}

// Node names this node.
func (f *Fabric) Node() crdt.NodeID { return f.cfg.Node }

// Origin is the origin of this incarnation's writes.
func (f *Fabric) Origin() crdt.Origin { return f.self.Load().origin }

// Region gives the region called name. Any name that is allowed names a region: the first write makes it
// exist. Errors: ErrRegionName, ErrTooMany, ErrClosed.
func (f *Fabric) Region(name string) (*Region, error) {
	f.mu.RLock()
	r := f.byName[name]
	f.mu.RUnlock()
	if r != nil && !r.system {
		return r, nil
	}
	if f.closed.Load() {
		return nil, ErrClosed
	}
	if err := CheckRegionName(name); err != nil {
		return nil, err
	}
	return f.region(name)
}

// region finds or makes a replica.
func (f *Fabric) region(name string) (*Region, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.byName[name]; r != nil {
		return r, nil
	}
	if len(f.byName) >= f.cfg.most {
		return nil, fmt.Errorf("%w: %d, region %q is one more", ErrTooMany, f.cfg.most, name)
	}
	r := newRegion(f, name)
	f.byName[name], f.regions[r.id] = r, r
	f.sorted = nil
	return r, nil
}

func (f *Fabric) regionByID(id crdt.RegionID) *Region {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.regions[id]
}

// all lists the replicas by name. The caller must not change the list.
func (f *Fabric) all() []*Region {
	f.mu.RLock()
	out := f.sorted
	f.mu.RUnlock()
	if out != nil {
		return out
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sorted = slices.SortedFunc(maps.Values(f.byName), byName)
	return f.sorted
}

// CreateRegion writes a region's configuration where every member sees it. An existing region takes over
// the configuration. Errors: ErrRegionName, ErrBadTerms, ErrBadPlacement, ErrTooMany, ErrClosed, ErrNotDurable.
func (f *Fabric) CreateRegion(ctx context.Context, name string, rc RegionConfig) (*Region, error) {
	if rc.Ack != "" {
		if _, err := ParseAck(string(rc.Ack)); err != nil {
			return nil, err
		}
	}
	if rc.Consistency != "" {
		if _, err := ParseConsistency(string(rc.Consistency)); err != nil {
			return nil, err
		}
	}
	if err := rc.Placement.check(); err != nil {
		return nil, err
	}
	if err := f.refuse(false); err != nil {
		return nil, err
	}
	if err := f.checkTerms(name, rc); err != nil {
		return nil, err
	}
	r, err := f.Region(name)
	if err != nil {
		return nil, err
	}
	return r, f.catalogue.Update(ctx, func(tx *crdt.Tx) error {
		if err := rc.declare(tx, name); err != nil {
			return err
		}
		return f.declareHeld(tx, name, r.Held())
	})
}

// DeleteRegion removes a region's entries, as far as they were seen here, and its configuration. What others
// write to it meanwhile survives, and with it the region. Errors: ErrNoRegion, ErrClosed, ErrNotDurable.
func (f *Fabric) DeleteRegion(ctx context.Context, name string) error {
	if err := f.refuse(true); err != nil {
		return err
	}
	if name == DefaultRegion {
		return fmt.Errorf("%w: %q always exists; flush it instead", ErrRegionName, name)
	}
	if _, err := f.RegionStatus(name); err != nil {
		return err
	}
	r, err := f.Region(name)
	if err != nil {
		return err
	}
	if err := r.Shrink(ctx, func(tx *crdt.Tx) error { tx.Flush(); return nil }); err != nil {
		return err
	}
	return f.catalogue.Shrink(ctx, func(tx *crdt.Tx) error { tx.Del(name); return nil })
}

// openCatalogue takes over the configuration of all regions. From then on the catalogue keeps note of what changes
// in it.
func (f *Fabric) openCatalogue() {
	c := f.catalogue
	c.ack.Store(ackDisk)
	c.core.Track(true)
	var names []string
	v := c.core.View(f.now())
	v.KeysWithPrefix("", func(name string, _ crdt.Kind) bool { names = append(names, name); return true })
	f.configure(names, declared(v, names))
	f.leases.read()
}

// readCatalogue takes over what changed in the catalogue.
func (f *Fabric) readCatalogue() {
	if names := f.takeCatalogue(); len(names) > 0 {
		f.announce(names)
	}
}

func (f *Fabric) takeCatalogue() (names []string) {
	f.reading.Lock()
	defer f.reading.Unlock()
	c := f.catalogue
	c.mu.Lock()
	names = c.core.TakeChanged()
	all := declared(c.core.View(f.now()), names)
	c.mu.Unlock()
	f.configure(names, all)
	if slices.Contains(names, electorateKey) {
		f.leases.read()
	}
	return names
}

// declared reads what the catalogue says of regions.
func declared(v *crdt.View, names []string) []declaration {
	all := make([]declaration, len(names))
	for i, name := range names {
		all[i] = readDeclaration(v, name)
	}
	return all
}

func (f *Fabric) configure(names []string, all []declaration) {
	changed := false
	for i, name := range names {
		f.mu.RLock()
		r := f.byName[name]
		f.mu.RUnlock()
		if r == nil && all[i].ack != "" {
			var err error
			if r, err = f.Region(name); err != nil {
				f.cfg.Logger.Warn("region in the catalogue cannot be opened", "region", name, "err", err)
			}
		}
		if r != nil && !r.system {
			changed = r.configure(all[i]) || changed
		}
	}
	if changed {
		f.grant()
	}
}

// tickEvery is how often expiries and ghost budgets are looked at. Readers do not depend on it.
const tickEvery = time.Second

func (f *Fabric) tick() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-f.ctx.Done():
			return
		case <-t.C:
		}
		if f.base.Load() != nil {
			f.setClock()
		}
		now := f.now()
		for _, r := range f.all() {
			if at := r.nextDue.Load(); at <= now {
				r.tick()
			}
		}
		f.watchDisk()
		f.watchMemory()
		f.roster.tick()
		f.messages.tick(time.Now())
		f.remotes.tick(time.Now())
		if f.decider.some.Load() {
			f.decider.wake.raise()
		}
		f.queue.tick(time.Now())
		if n%roundTicks == 0 && f.cfg.Transport != nil {
			f.round(f.look())
		}
	}
}

// roundTicks is how many ticks pass between two rounds.
const roundTicks = 10

// heapIdle is for how long memory that nothing uses stays mapped: what one burst gave back, the next takes.
const heapIdle = time.Minute

// round does what need not be done every second: it takes time in proportion to the members, and to the regions that changed.
func (f *Fabric) round(o *outlook) {
	for _, r := range f.all() {
		r.tend()
	}
	f.survey(o)
	holders := o.holders(f.began, f.cfg.Lease)
	f.collapse(o, holders)
	f.stabilise(o, holders)
	f.expel(o)
	f.heap.Trim(o.now, heapIdle)
}

// closeTimeout bounds what Close waits for: the last pushes. The last commit is not bounded.
const closeTimeout = time.Second

// Close passes on what this node holds of bounded counters, pushes and commits what is left, says goodbye and waits until nothing of the fabric runs. Then it
// closes Transport and Storage. It may be called more than once.
func (f *Fabric) Close() error {
	f.once.Do(func() {
		if f.cfg.Transport != nil && f.ctx.Err() == nil {
			f.handOver()
		}
		f.closed.Store(true)
		f.leases.close()
		f.awaitWriters()
		if f.cfg.Transport != nil {
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			context.AfterFunc(ctx, f.cancel) // a round that is stuck in the network holds up the flush
			f.pushes.flush(ctx)
			cancel()
		}
		f.cancel()
		f.remotes.close()
		if f.cfg.Transport != nil {
			f.err = f.cfg.Transport.Close()
		}
		f.wg.Wait()
		if f.cfg.Storage != nil {
			f.err = errors.Join(f.err, f.commits.last(), f.cfg.Storage.Close())
		}
		for _, r := range f.all() {
			r.closeWatchers()
		}
		f.unregisterMetrics()
	})
	return f.err
}

// awaitWriters returns when no transaction runs that began before the fabric was closed.
func (f *Fabric) awaitWriters() {
	for _, r := range f.all() {
		r.mu.Lock()
		//lint:ignore SA2001 a barrier: who comes later finds the fabric closed
		r.mu.Unlock()
	}
}

func (f *Fabric) random() *mrand.Rand {
	if f.cfg.Seed != 0 {
		return mrand.New(mrand.NewPCG(f.cfg.Seed, 1))
	}
	return mrand.New(mrand.NewPCG(mrand.Uint64(), mrand.Uint64()))
}

package fabric

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/evict"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// When memory is short, values that are on disk leave it, in the order that Config.Eviction says, and come back when they are read.
// What is left of one is some 60 bytes beside its key: causality stays, and no peer notices.
//
//	0 ── 70 % ── values are listed for the policy ── 85 % ── they leave ──▶ 80 %        of the budget less the reserve
//
// It is the committing goroutine that lets them leave, right after a commit with which all that was taken is on disk: then whatever is not
// dirty is there as it is in memory. Who writes while the budget is used up waits for that a while (evictPatience) before it is
// refused, and so do merges. A commit is called for, not waited for, when memory passes the line between two ticks.
//
// A large value that is chosen to leave is packed first where that makes it much smaller (crdt/pack.go); it leaves when it is chosen again.
//
// A read that needs a value which is away notes it and reads it without the region's lock (ViewLazily); what reads many values at
// once, such as a scan or a pull, reads them from disk and leaves them there.

const (
	listShare  = 70 // percent of what writers may fill, from where on the policy knows what is in memory
	evictShare = 85 // and from where on values leave,
	evictDown  = 80 // until so much is used;
	slowShare  = 95 // beyond this they do not leave fast enough

	evictSlice    = 256 << 10 // bytes of values that leave under one lock
	listSlice     = 2048      // cells that are listed under one lock
	compactSlice  = 512 << 10 // bytes of records that are moved under one lock
	slackParts    = 10        // free slots that are left alone: one part in so many of what is held
	sweepParts    = 4         // and beyond one in so many every entry is looked at to close them up
	evictRounds   = 8         // of giving back, in one go
	evictPatience = 2 * time.Second
	evictTries    = 4 // of a write that is refused though values can leave
	unpackEvery   = 8 // one in so many reads of packed values unpacks what it reads for good: what is read often, soon

	unreadableMax = 64 // of a region that are remembered for the next scrub
)

// recordReader is a Storage that reads single records.
type recordReader interface {
	// Value gives the record that was committed last under a key, nil if there is none. The caller keeps it.
	Value(key []byte) ([]byte, error)
}

// evictor lets values leave memory.
type evictor struct {
	f      *Fabric
	reader recordReader // nil: nothing leaves
	policy string

	listing atomic.Bool // policies know what is in memory
	wish    atomic.Bool // somebody needs room
	idle    atomic.Bool // the last round made no room: nothing more can leave

	mu   sync.Mutex
	turn chan struct{} // closed when a round ends

	codecs codecs

	unpacks, packed, evicted, evictedBytes, faults, returned, unreadable atomic.Uint64
}

func newEvictor(f *Fabric) *evictor {
	v := &evictor{f: f, policy: f.cfg.Eviction, turn: make(chan struct{})}
	if x, ok := f.cfg.Storage.(recordReader); ok && f.cfg.Eviction != evictNone && f.cfg.MemoryBudget > 0 {
		v.reader = x
	}
	return v
}

const evictNone = "none"

func (v *evictor) on() bool { return v.reader != nil }

// values gives a region's way to the durable image. Those of the fabric's own are small and stay.
func (v *evictor) values(system bool) crdt.Values {
	if !v.on() || system {
		return nil
	}
	return readsRecords{v}
}

// packer compresses large values of a region before they leave.
func (v *evictor) packer(system bool) crdt.Packer {
	if !v.on() || system {
		return nil
	}
	return packing{&v.codecs}
}

// readsRecords counts what is read back.
type readsRecords struct{ v *evictor }

func (x readsRecords) Value(key []byte) ([]byte, error) {
	x.v.faults.Add(1)
	return x.v.reader.Value(key)
}

// keeper makes a policy of tiers/evict one of crdt's.
type keeper struct{ p evict.Policy }

func (k keeper) Insert(id uint64, bytes int, expires int64) uint32 {
	return uint32(k.p.Insert(id, bytes, expires))
}
func (k keeper) Touch(slot uint32)             { k.p.Touch(evict.Slot(slot)) }
func (k keeper) Resize(slot uint32, bytes int) { k.p.Resize(evict.Slot(slot), bytes) }
func (k keeper) Remove(slot uint32)            { k.p.Remove(evict.Slot(slot)) }

// beyond gives how many bytes more than a share of what writers may fill is used, or reserved for others; below 0: less.
func (b *budget) beyond(share int64) int64 {
	return b.used.Load() + b.unused.Load() - b.writes/100*share
}

// govern lists a region's values for a policy from now on. The caller holds mu. What is there already is listed by enlist.
func (r *Region) govern() {
	if r.policy != nil || r.system || !r.f.evicts.listing.Load() {
		return
	}
	p, err := evict.New(r.f.evicts.policy)
	if err != nil {
		return // validate has refused it
	}
	r.policy = p
	r.core.Govern(keeper{p})
}

// enlist lists what is there already.
func (v *evictor) enlist() {
	if v.listing.Swap(true) {
		return
	}
	for _, r := range v.f.all() {
		for from, more := uint64(0), true; more && v.f.ctx.Err() == nil; more = from != 0 {
			r.mu.Lock()
			r.govern()
			from = r.core.Enlist(from, listSlice)
			r.account()
			r.mu.Unlock()
		}
	}
}

// unlist forgets it, when memory is no longer short and all is back.
func (v *evictor) unlist() {
	v.listing.Store(false)
	for _, r := range v.f.all() {
		r.mu.Lock()
		if r.policy != nil {
			r.policy = nil
			r.core.Govern(nil)
			r.account()
		}
		r.mu.Unlock()
	}
}

// need asks for a round, if there is none under way. It may be called under a region's lock.
func (v *evictor) need() {
	if !v.wish.Swap(true) {
		v.f.commits.signal()
	}
}

// watch asks for a round when memory has become short. It is called after every change, under a region's lock.
func (v *evictor) watch(r *Region) {
	if v.on() && !v.idle.Load() && (v.f.budget.beyond(evictShare) > 0 || r.beyondQuota(evictShare) > 0) {
		v.need()
	}
}

// tick is called every second.
func (v *evictor) tick() {
	if !v.on() {
		return
	}
	b := v.f.budget
	v.idle.Store(false)
	switch {
	case b.beyond(evictShare) > 0 || b.verdict.Load().GiveBack > 0 && b.verdict.Load().Level >= pressure.Reclaim:
		v.need()
	case !v.listing.Load() && b.beyond(listShare) > 0, slices.ContainsFunc(b.shares.Load().quotas, func(r *Region) bool { return r.beyondQuota(evictShare) > 0 }):
		v.need()
	case v.listing.Load() && b.beyond(listShare/2) < 0 && v.f.awayValues() == 0:
		v.unlist()
	}
}

// round lets values leave. It is called by the committing goroutine, when all that was taken is on disk.
func (v *evictor) round() {
	defer v.over()
	if !v.on() || !v.wish.Swap(false) {
		return
	}
	v.enlist()
	v.quotas()
	before := v.f.budget.used.Load()
	for range evictRounds {
		need := max(v.f.budget.beyond(evictDown), v.askedBack(before))
		if need <= 0 || v.f.ctx.Err() != nil {
			return
		}
		if v.giveBack(max(need, evictSlice)) == 0 {
			v.idle.Store(v.f.budget.beyond(evictShare) > 0)
			return
		}
	}
}

// askedBack is what is left of what the last reading of the system asked for: a cgroup may be short of memory though this node's own account
// is not.
func (v *evictor) askedBack(before int64) int64 {
	x := v.f.budget.verdict.Load()
	if x.Level < pressure.Reclaim {
		return 0
	}
	return x.GiveBack - (before - v.f.budget.used.Load())
}

// over wakes those who wait for room.
func (v *evictor) over() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.turn)
	v.turn = make(chan struct{})
}

// giveBack has the regions give so many bytes: from their values, and by closing up what that leaves. It tells how many they gave; those in
// slots that others may take, but that do not go yet, are among them.
func (v *evictor) giveBack(need int64) (given int64) {
	all := v.f.all()
	claims := make([]pressure.Claim, len(all))
	for i, r := range all {
		r.mu.RLock()
		claims[i] = r.share()
		held := r.held.Load()
		claims[i].Used, claims[i].Fixed = held, held
		if r.policy != nil {
			claims[i].Fixed = max(0, held-r.policy.Bytes()-r.core.Free())
		}
		r.mu.RUnlock()
	}
	for i, give := range pressure.GiveBack(claims, need) {
		if give > 0 {
			given += all[i].shed(give)
		}
	}
	v.f.heap.Trim(v.f.cfg.Now(), 0)
	return given
}

// shed lets values leave and closes up what that leaves.
func (r *Region) shed(bytes int64) (given int64) {
	given = r.compact() + r.giveBack(bytes) + r.compact()
	r.sweep()
	return given
}

// quotas has regions near their quotas give back.
func (v *evictor) quotas() (given int64) {
	for _, r := range v.f.budget.shares.Load().quotas {
		if r.beyondQuota(evictShare) > 0 {
			given += r.shed(max(r.beyondQuota(evictDown), evictSlice))
		}
	}
	return given
}

// giveBack lets values leave until the region has so many bytes less in use, and tells how many it gave.
func (r *Region) giveBack(bytes int64) (given int64) {
	v := r.f.evicts
	for v.f.ctx.Err() == nil && given < bytes {
		r.mu.Lock()
		if r.policy == nil {
			r.mu.Unlock()
			return given
		}
		was := r.core.InUse()
		var packed []uint64
		freed := r.policy.Victims(min(bytes-given, evictSlice), func(id uint64, _ int) bool {
			if r.core.Squeeze(id) > 0 {
				packed = append(packed, id)
				return true
			}
			n := r.core.Evict(id)
			if n > 0 {
				v.evicted.Add(1)
				v.evictedBytes.Add(uint64(n))
			}
			return n > 0
		})
		for _, id := range packed { // they begin anew
			r.core.List(id)
		}
		v.packed.Add(uint64(len(packed)))
		given += was - r.core.InUse()
		r.account()
		r.mu.Unlock()
		if freed == 0 {
			return given
		}
	}
	return given
}

// compact closes up free slots where they are many, and tells how many bytes went.
func (r *Region) compact() (given int64) {
	for r.f.ctx.Err() == nil {
		r.mu.Lock()
		freed := int64(0)
		if r.core.Free() > r.core.Held()/slackParts {
			freed = r.core.Compact(compactSlice)
		}
		given += freed
		r.account()
		r.mu.Unlock()
		if freed == 0 {
			return given
		}
	}
	return given
}

// sweep closes up what compact cannot, a part under each lock. It looks at every entry.
func (r *Region) sweep() {
	for from, more := uint64(0), true; more && r.f.ctx.Err() == nil; more = from != 0 {
		r.mu.Lock()
		if from == 0 && r.core.Free() <= r.core.Held()/sweepParts {
			r.mu.Unlock()
			return
		}
		from = r.core.Sweep(from, listSlice)
		r.account()
		r.mu.Unlock()
	}
}

// await waits while the region's budget or quota is used up and values can still leave, for a while.
func (r *Region) await() {
	v := r.f.evicts
	if !v.on() || !r.usedUp() {
		return
	}
	patience := time.NewTimer(evictPatience)
	defer patience.Stop()
	for r.usedUp() {
		if v.idle.Load() && !r.unsavedChanges() {
			return
		}
		v.idle.Store(false) // what was dirty in the last round is not after the next commit
		v.mu.Lock()
		turn := v.turn
		v.mu.Unlock()
		v.need()
		select {
		case <-turn:
		case <-patience.C:
			return
		case <-v.f.ctx.Done():
			return
		}
	}
}

// mayPass reports whether a write that was refused, before it did anything, may be taken now: there was room when it was let through,
// and closing up free slots took it for a moment.
func (r *Region) mayPass(err error) bool {
	return (errors.Is(err, ErrMemoryFull) || errors.Is(err, ErrQuota)) && r.f.evicts.on() && !r.f.evicts.idle.Load()
}

// unsavedChanges reports whether cells of the region wait for the disk.
func (r *Region) unsavedChanges() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.DirtyCells() > 0
}

// usedUp reports whether writers of the region have filled what they may.
func (r *Region) usedUp() bool {
	no := r.lineNo()
	return r.f.budget.taken(no) >= r.f.budget.lines[no].limit || r.beyondQuota(100) >= 0
}

// beyondQuota gives how many bytes more than a share of its quota the region holds; below 0: less, or it has none.
func (r *Region) beyondQuota(share int64) int64 {
	quota := r.terms().quota
	if quota == 0 || r.system {
		return -1
	}
	return r.held.Load() - quota/100*share
}

// keepsUp reports whether values leave as fast as others come, so that nobody needs to be slowed down.
func (v *evictor) keepsUp() bool {
	return v.on() && !v.idle.Load() && v.f.budget.beyond(slowShare) < 0 && !v.f.budget.outside.Load()
}

// relieves reports whether a level that stands from a moment ago says nothing where there is room: values have left since.
func (v *evictor) relieves() bool {
	return v.on() && !v.f.budget.outside.Load()
}

// ViewLazily is View for readers of single values, who do not hold the region up while one is read from disk: fn gets crdt.ErrAway
// for a value that is there alone, and missed tells so. By then such values are in memory, as far as it has room, and fn may be called again;
// View reads what is still away.
func (r *Region) ViewLazily(fn func(v *crdt.View)) (missed bool, err error) {
	missing, err := r.viewLazily(fn)
	missing = slices.DeleteFunc(missing, func(m crdt.Missing) bool { // packed values were read
		missed = missed || !m.Packed
		return m.Packed && r.f.evicts.unpacks.Add(1)%unpackEvery != 0
	})
	if len(missing) > 0 {
		r.bringBack(missing)
	}
	return missed, err
}

// viewOne reads single values: fn may be called twice.
func (r *Region) viewOne(fn func(v *crdt.View)) error {
	missed, err := r.ViewLazily(fn)
	if missed {
		return r.View(fn)
	}
	return err
}

func (r *Region) viewLazily(fn func(v *crdt.View)) (missing []crdt.Missing, err error) {
	orders, err := r.view(func(v *crdt.View) {
		v.Lazy(true)
		fn(v)
		if v.Missed() {
			missing = slices.Clone(v.Missing())
		}
	})
	if orders != nil {
		r.keepOrders(orders)
	}
	return missing, err
}

// bringBack reads values without the region's lock, and puts them into memory.
func (r *Region) bringBack(missing []crdt.Missing) {
	if r.usedUp() {
		return // they are read where they are
	}
	values := r.f.evicts.values(r.system)
	if values == nil {
		return
	}
	recs := make([][]byte, len(missing))
	for i, m := range missing {
		if !m.Packed {
			recs[i], _ = values.Value(m.Key) // whoever reads it then tells of an error
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range missing {
		if m.Packed {
			r.core.Unpack(m.Key)
		} else if recs[i] != nil {
			r.f.evicts.returned.Add(uint64(r.core.Return(m.Key, recs[i])))
		}
	}
	r.account()
}

// NoteUnreadable notes a value that a View or an Update found unreadable, where whoever asked told of it itself.
func (r *Region) NoteUnreadable(err error) { _ = r.unread(err) }

// unread notes what cannot be read back, for the next scrub, and passes the error on.
func (r *Region) unread(err error) error {
	if err == nil {
		return nil
	}
	var bad *crdt.UnreadableError
	if !errors.As(err, &bad) {
		return err
	}
	r.f.evicts.unreadable.Add(1)
	r.damage.Lock()
	defer r.damage.Unlock()
	if len(r.damaged) < unreadableMax && r.damaged[string(bad.Record)] == "" {
		if r.damaged == nil {
			r.damaged = map[string]string{}
		}
		r.damaged[string(bad.Record)] = bad.Error()
		r.f.cfg.Logger.Error("a value on disk cannot be read back", "region", r.name, "err", bad)
	}
	return err
}

// lose tells the replica which values cannot be read back, so that a comparison has a peer write them again. It gives what it
// found, for the report.
func (r *Region) lose() (found []string) {
	r.damage.Lock()
	damaged := r.damaged
	r.damaged = nil
	r.damage.Unlock()
	if len(damaged) == 0 {
		return nil
	}
	r.changed(func(int64) {
		for key, why := range damaged {
			if r.core.Lose([]byte(key)) > 0 {
				found = append(found, why)
			}
		}
	})
	return found
}

// awayValues counts the values of all regions that are on disk alone.
func (f *Fabric) awayValues() (n int) {
	for _, r := range f.all() {
		r.mu.RLock()
		k, _ := r.core.AwayValues()
		r.mu.RUnlock()
		n += k
	}
	return n
}

// EvictionStatus is how values leave this node's memory.
type EvictionStatus struct {
	Policy       string `json:"policy"`
	Listing      bool   `json:"listing"`           // the policy knows what is in memory: it is short, or was
	Exhausted    bool   `json:"exhausted"`         // nothing more can leave
	Away         int    `json:"away"`              // values that are on disk alone
	AwayBytes    int64  `json:"away_bytes"`        // of them
	Lost         int    `json:"lost"`              // of them, that cannot be read back
	Packed       int    `json:"packed"`            // values that are in memory, compressed,
	PackedBytes  int64  `json:"packed_bytes"`      // how many bytes they have,
	PackedSize   int64  `json:"packed_size_bytes"` // and how many they take
	Evicted      uint64 `json:"evicted"`           // since Open
	EvictedBytes uint64 `json:"evicted_bytes"`
	Faults       uint64 `json:"faults"`   // values read from disk,
	Returned     uint64 `json:"returned"` // and those that stayed in memory
	Unreadable   uint64 `json:"unreadable"`
}

// Eviction tells how values leave this node's memory.
func (f *Fabric) Eviction() EvictionStatus {
	v := f.evicts
	s := EvictionStatus{Policy: v.policy, Listing: v.listing.Load(), Exhausted: v.on() && v.idle.Load(),
		Evicted: v.evicted.Load(), EvictedBytes: v.evictedBytes.Load(), Faults: v.faults.Load(), Returned: v.returned.Load(), Unreadable: v.unreadable.Load()}
	if !v.on() {
		s.Policy = evictNone
	}
	for _, r := range f.all() {
		r.mu.RLock()
		n, bytes := r.core.AwayValues()
		s.Lost += r.core.LostValues()
		packed, packedBytes, size := r.core.PackedValues()
		r.mu.RUnlock()
		s.Away, s.AwayBytes = s.Away+n, s.AwayBytes+bytes
		s.Packed, s.PackedBytes, s.PackedSize = s.Packed+packed, s.PackedBytes+packedBytes, s.PackedSize+size
	}
	return s
}

func (c *Config) checkEviction() error {
	c.Eviction = cmp.Or(c.Eviction, evict.Names()[0])
	if _, err := evict.New(c.Eviction); err != nil {
		return fmt.Errorf("fabric: Eviction: %w", err)
	}
	return nil
}

var (
	memoryAway        = fabricMetric("memory_away_values", "Values that are on disk alone, because memory is short.", gauge)
	memoryAwayBytes   = fabricMetric("memory_away_bytes", "Bytes of values that are on disk alone.", gauge)
	memoryPacked      = fabricMetric("memory_packed_values", "Values that are in memory, compressed, because it is short.", gauge)
	memoryPackedBytes = fabricMetric("memory_packed_bytes", "Bytes of values that are in memory, compressed, before that.", gauge)
	memoryPackedSize  = fabricMetric("memory_packed_size_bytes", "Bytes that they take.", gauge)
	memoryEvicted     = fabricMetric("memory_evicted_values_total", "Values that left memory.", counter)
	memoryFaults      = fabricMetric("memory_faults_total", "Values read back from disk.", counter)
	memoryReturned    = fabricMetric("memory_returned_values_total", "Values read back from disk that stayed in memory.", counter)
	memoryUnreadable  = fabricMetric("memory_unreadable_total", "Reads of values on disk that failed.", counter)
)

func (s EvictionStatus) collect(ch chan<- prometheus.Metric) {
	memoryAway.send(ch, s.Away)
	memoryAwayBytes.send(ch, int(s.AwayBytes))
	memoryPacked.send(ch, s.Packed)
	memoryPackedBytes.send(ch, int(s.PackedBytes))
	memoryPackedSize.send(ch, int(s.PackedSize))
	memoryEvicted.send(ch, int(s.Evicted))
	memoryFaults.send(ch, int(s.Faults))
	memoryReturned.send(ch, int(s.Returned))
	memoryUnreadable.send(ch, int(s.Unreadable))
}

package fabric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// What regions hold is counted against Config.MemoryBudget. When it runs short, writers are slowed down, and then writes are refused
// with ErrMemoryFull; what only removes is taken all the same. A part of the budget is kept for merges, so that a
// full node still converges; when that is used up too, pulls wait, and nothing is lost: the peer still has it.
// Before all that, values leave memory for the disk (evict.go).
//
//	none ── 85 % ──▶ reclaim ── 90 % ──▶ demote ── 95 % ──▶ slow ── 100 % of the budget less the reserve ──▶ refuse
//
// Levels fall when numbers have been better by a margin for a while (package pressure). A write that would pass the budget is
// refused at once, whatever the level said a second ago. The numbers are those of regions that go first to nobody; for others they
// are lower, see line.

// ErrMemoryFull refuses a write. The text around it says how much is used of what.
var ErrMemoryFull = errors.New("fabric: memory budget used up: writes are refused until something is removed; reads, removes and merges go on")

// budget is the account of a node's memory.
type budget struct {
	used    atomic.Int64 // by all regions
	unused  atomic.Int64 // reserved for regions that do not use it
	writes  int64        // up to where writes may fill it
	merges  atomic.Bool  // merges wait
	outside atomic.Bool  // the cgroup is full, whatever the node's own account says
	refused atomic.Uint64
	lines   [lines]line
	shares  atomic.Pointer[shares]
	verdict atomic.Pointer[pressure.Verdict]
	gauge   *pressure.Gauge // of the goroutine that ticks
}

func newBudget(c *Config) (*budget, error) {
	g, err := pressure.New(pressure.Config{})
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	b := &budget{gauge: g, writes: c.MemoryBudget - c.MemoryReserve}
	b.verdict.Store(&pressure.Verdict{})
	b.shares.Store(&shares{})
	return b, b.draw(c)
}

// MemoryStatus is how the memory of this node is.
type MemoryStatus struct {
	Level   string `json:"level"` // none, reclaim, demote, slow, refuse
	Why     string `json:"why,omitempty"`
	Used    int64  `json:"used_bytes"`   // by what regions hold
	Mapped  int64  `json:"mapped_bytes"` // by the pools that it lies in, at most
	Budget  int64  `json:"budget_bytes"` // 0: none
	Reserve int64  `json:"reserve_bytes"`
	Held    bool   `json:"merges_held"` // the reserve is used up too: merges wait
	Refused uint64 `json:"refused_writes"`
	// Eviction is about the values that are on disk alone.
	Eviction EvictionStatus `json:"eviction"`

	Reserved  int64        `json:"reserved_bytes"`         // for single regions
	Unused    int64        `json:"reserved_unused_bytes"`  // of that; other regions' writes are refused as if it were used
	Lacking   int64        `json:"reserved_lacking_bytes"` // what regions should have reserved and this node has not
	OverQuota int          `json:"regions_over_quota"`     // by merges: writes stop at the quota
	QuotaFull int          `json:"regions_quota_full"`     // those that take no writes because of their quota
	Lines     []LineStatus `json:"lines"`                  // in the order in which they give way; none without a budget
}

// Memory tells how the memory of this node is.
func (f *Fabric) Memory() MemoryStatus {
	b := f.budget
	v := b.verdict.Load()
	x := b.shares.Load()
	return MemoryStatus{
		Level: v.Level.String(), Why: v.Why(), Used: b.used.Load(), Mapped: f.heap.Resident(),
		Budget: f.cfg.MemoryBudget, Reserve: f.cfg.MemoryReserve, Held: b.merges.Load(), Refused: b.refused.Load(),
		Reserved: x.reserved, Unused: b.unused.Load(), Lacking: x.lacking, OverQuota: x.over(), QuotaFull: x.full(), Lines: f.linesNow(), Eviction: f.Eviction(),
	}
}

// account notes what the region holds now. The caller holds mu.
func (r *Region) account() {
	held, b := r.core.InUse(), r.f.budget
	if r.f.evicts.on() { // then free slots can be closed up
		held = r.core.Held()
	}
	if r.policy != nil {
		held += r.policy.Overhead()
	}
	if was := r.held.Swap(held); held != was {
		b.used.Add(held - was)
		r.f.evicts.watch(r)
	}
	if unused := max(0, r.granted.Load()-held); unused != r.unused {
		b.unused.Add(unused - r.unused)
		r.unused = unused
	}
}

// Slowing reports whether writers are held up, since memory is short.
func (f *Fabric) Slowing() bool { return f.budget.verdict.Load().Level >= pressure.Slow }

// slow holds a writer up as long as its line asks for. The caller holds no lock.
func (r *Region) slow() {
	f := r.f
	d := time.Duration(r.line().delay.Load())
	if d == 0 || f.evicts.keepsUp() {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.ctx.Done():
	}
}

// watchMemory is called every second.
func (f *Fabric) watchMemory() {
	b := f.budget
	var x pressure.Reading
	if f.cfg.MemorySample != nil {
		x = f.cfg.MemorySample()
	}
	x.Used, x.Budget, x.Reserve, x.Reserved = b.used.Load(), f.cfg.MemoryBudget, f.cfg.MemoryReserve, b.unused.Load()
	v := b.gauge.Observe(x, f.cfg.Now())
	b.verdict.Store(&v)
	b.observe(x, f.cfg.Now())
	b.merges.Store(x.Budget > 0 && v.MergeRoom == 0)
	b.outside.Store(slices.ContainsFunc(v.Causes, func(c pressure.Cause) bool { return c.Level == pressure.Refuse && strings.HasPrefix(c.Text, "cgroup") }))
	f.evicts.tick()
	if v.Changed {
		f.cfg.Logger.Info("memory pressure", "level", v.Level, "why", v.Why(), "used", x.Used, "budget", x.Budget)
	}
	if v.Level > pressure.None {
		f.dropOrders()
		f.heap.Trim(f.cfg.Now(), 0)
	}
}

// dropOrders gives back what regions keep only to read faster.
func (f *Fabric) dropOrders() {
	for _, r := range f.all() {
		r.mu.Lock()
		r.core.DropOrders()
		r.account()
		r.mu.Unlock()
	}
}

// memory raises the alarm of a full memory, and ends it. The caller holds mu.
func (n *roster) memory() {
	v := n.f.budget.verdict.Load()
	_, stands := n.own().alarms[AlarmMemoryFull]
	switch {
	case v.Level == pressure.Refuse && !stands && !n.f.closed.Load():
		n.putAlarm(AlarmMemoryFull, v.Why())
	case v.Level < pressure.Slow && stands:
		n.dropAlarm(n.f.cfg.Node, AlarmMemoryFull)
	}
}

// holdsMerges reports whether what peers have of a region must wait with them: disk or memory can take no more. The regions of the
// fabric's own are small, and may bring the quota or the removal that makes room.
func (f *Fabric) holdsMerges(region string) error {
	switch {
	case strings.HasPrefix(region, reservedPrefix):
		return nil
	case f.brimful():
		return errUnsaved
	case f.budget.merges.Load() && !(f.evicts.on() && f.budget.used.Load() < f.cfg.MemoryBudget && !f.budget.outside.Load()):
		return errNoMemory
	}
	return nil
}

// errNoMemory ends a pull that the reserve cannot take.
var errNoMemory = errors.New("fabric: memory budget and reserve are used up: the rest waits with the peers")

// Shrink is Update for writes that only remove: they are taken also when the memory budget is used up.
func (r *Region) Shrink(ctx context.Context, fn func(tx *crdt.Tx) error) error {
	c, err := r.ApplyShrinking(fn)
	if err != nil {
		return err
	}
	return c.Wait(ctx)
}

// ApplyShrinking is Apply for writes that only remove.
func (r *Region) ApplyShrinking(fn func(tx *crdt.Tx) error) (Commit, error) { return r.apply(fn, true) }

var (
	memoryLevel   = fabricMetric("memory_pressure_level", "0 none, 1 reclaim, 2 demote, 3 slow, 4 refuse.", gauge)
	memoryUsed    = fabricMetric("memory_used_bytes", "What regions hold, bytes.", gauge)
	memoryMapped  = fabricMetric("memory_mapped_bytes", "What the pools have mapped for it, bytes.", gauge)
	memoryBudget  = fabricMetric("memory_budget_bytes", "What regions may hold; 0 is no limit.", gauge)
	memoryRefused = fabricMetric("memory_refused_writes_total", "Local writes refused because the memory budget is used up.", counter)
)

func (f *Fabric) collectMemory(ch chan<- prometheus.Metric) {
	s := f.Memory()
	memoryLevel.send(ch, int(f.budget.verdict.Load().Level))
	memoryUsed.send(ch, int(s.Used))
	memoryMapped.send(ch, int(s.Mapped))
	memoryBudget.send(ch, int(s.Budget))
	memoryRefused.send(ch, int(s.Refused))
	s.collectLines(ch)
	s.Eviction.collect(ch)
}

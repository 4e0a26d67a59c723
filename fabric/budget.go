package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// What regions hold is counted against Config.MemoryBudget. When it runs short, writers are slowed down, and then writes are refused
// with ErrMemoryFull; what only removes is taken all the same. A part of the budget is kept for merges, so that a
// full node still converges; when that is used up too, pulls wait, and nothing is lost: the peer still has it.
//
//	none ── 85 % ──▶ reclaim ── 90 % ──▶ demote ── 95 % ──▶ slow ── 100 % of the budget less the reserve ──▶ refuse
//
// Levels fall when numbers have been better by a margin for a while (package pressure). A write that would pass the budget is
// refused at once, whatever the level said a second ago.

// ErrMemoryFull refuses a write. The text around it says how much is used of what.
var ErrMemoryFull = errors.New("fabric: memory budget used up: writes are refused until something is removed; reads, removes and merges go on")

// budget is the account of a node's memory.
type budget struct {
	used    atomic.Int64 // by all regions
	writes  atomic.Int64 // up to where writes may fill it; 0: no limit
	merges  atomic.Bool  // merges wait
	delay   atomic.Int64 // of each write, ns
	refused atomic.Uint64
	verdict atomic.Pointer[pressure.Verdict]
	gauge   *pressure.Gauge // of the goroutine that ticks
}

func newBudget(c *Config) (*budget, error) {
	g, err := pressure.New(pressure.Config{})
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	b := &budget{gauge: g}
	b.verdict.Store(&pressure.Verdict{})
	b.writes.Store(max(0, c.MemoryBudget-c.MemoryReserve))
	return b, nil
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
}

// Memory tells how the memory of this node is.
func (f *Fabric) Memory() MemoryStatus {
	b := f.budget
	v := b.verdict.Load()
	return MemoryStatus{
		Level: v.Level.String(), Why: v.Why(), Used: b.used.Load(), Mapped: f.heap.Resident(),
		Budget: f.cfg.MemoryBudget, Reserve: f.cfg.MemoryReserve, Held: b.merges.Load(), Refused: b.refused.Load(),
	}
}

// account notes what the region holds now. The caller holds mu.
func (r *Region) account() {
	if held := r.core.InUse(); held != r.held {
		r.f.budget.used.Add(held - r.held)
		r.held = held
	}
}

// short gives the error of a write for which there is no memory.
func (b *budget) short() error {
	limit := b.writes.Load()
	if limit == 0 {
		return nil
	}
	used := b.used.Load()
	if used < limit && b.verdict.Load().Level < pressure.Refuse {
		return nil
	}
	return fmt.Errorf("%w: %d of %d bytes are used", ErrMemoryFull, used, limit)
}

// slow holds a writer up as long as the level asks for. The caller holds no lock.
func (f *Fabric) slow() {
	d := time.Duration(f.budget.delay.Load())
	if d == 0 {
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
	x.Used, x.Budget, x.Reserve = b.used.Load(), f.cfg.MemoryBudget, f.cfg.MemoryReserve
	v := b.gauge.Observe(x, f.cfg.Now())
	b.verdict.Store(&v)
	b.delay.Store(int64(v.Delay))
	b.merges.Store(x.Budget > 0 && v.MergeRoom == 0)
	if v.Changed {
		f.cfg.Logger.Info("memory pressure", "level", v.Level, "why", v.Why(), "used", x.Used, "budget", x.Budget)
	}
	if v.Level > pressure.None {
		f.heap.Trim(f.cfg.Now(), 0)
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

// holdsMerges reports whether what peers have must wait with them: disk or memory can take no more.
func (f *Fabric) holdsMerges() error {
	switch {
	case f.brimful():
		return errUnsaved
	case f.budget.merges.Load():
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
}

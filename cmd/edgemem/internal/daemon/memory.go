package daemon

import (
	"log/slog"
	"math/bits"
	"os"
	"runtime/debug"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/machine"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/profile"
	"github.com/edgemem/edgemem/tiers/offheap"
	"github.com/edgemem/edgemem/tiers/pressure"
)

// memory is what this node may take of its machine.
type memory struct {
	machine *machine.Machine // nil where the system does not tell
	plan    machine.Plan     // the zero Plan limits nothing
	profile profile.Profile
}

// planMemory divides what the machine, or its cgroup, has. A budget of 0 in the configuration limits nothing.
func planMemory(cfg *config.Config) (m memory, err error) {
	var wish machine.Wish
	var limited bool
	wish.Node, wish.Regions, limited, err = cfg.MemoryWish()
	if err != nil {
		return m, err
	}
	m.machine, err = machine.Find(os.DirFS("/"))
	if err != nil { // another system than Linux, or a namespace without /proc
		m.machine, err = nil, nil
	}
	var limit machine.Limit
	if m.machine != nil {
		limit = m.machine.Tightest()
	}
	m.profile = profile.Choose(cfg.Profile, cfg.Tier, wish.Within(limit), bits.UintSize)
	if !limited {
		return m, err
	}
	m.plan = machine.PlanFor(limit, wish, true, bits.UintSize)
	m.profile.Fit(m.plan.Budget)
	return m, err
}

// limitMemory sets the soft limit of the Go runtime to match. It is process-wide, so only Run does it.
func limitMemory(cfg *config.Config, log *slog.Logger) {
	m, err := planMemory(cfg)
	if err != nil {
		return // Open says so
	}
	if m.plan.Warning != "" {
		log.Warn("memory: " + m.plan.Warning)
	}
	if m.plan.GoLimit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(m.plan.GoLimit)
	}
}

// settle sets how much garbage the Go runtime lets grow, once the start is over: collecting more often would slow that down. Later, when peers have come,
// it gives back what only the start needed; stop calls that off.
func (m memory) settle() (stop func() bool) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(m.profile.GCPercent)
	}
	if m.profile.FreeAfter == 0 {
		return func() bool { return false }
	}
	return time.AfterFunc(m.profile.FreeAfter, debug.FreeOSMemory).Stop
}

// sample tells the fabric what the system says of memory.
func (m memory) sample() pressure.Reading {
	if m.machine == nil {
		return pressure.Reading{}
	}
	s, err := m.machine.Sample()
	if err != nil {
		return pressure.Reading{}
	}
	return pressure.Reading{
		CgroupUsed: s.Used, CgroupLimit: s.Limit, High: s.High, Max: s.Max, OOM: s.OOM, SomePercent: s.Some, FullPercent: s.Full,
	}
}

// nodes are the machine's memory nodes; nil where there is one, or nothing is known.
func (memory) nodes() []int {
	nodes, err := offheap.ReadNodes(os.DirFS("/sys/devices/system/node"))
	if err != nil {
		return nil
	}
	return nodes
}

// eviction is the order in which values leave memory.
func (d *Daemon) eviction() string {
	if d.cfg.Eviction == "" || d.cfg.Eviction == profile.Auto {
		return d.memory.profile.Eviction
	}
	return d.cfg.Eviction
}

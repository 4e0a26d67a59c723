package fabric

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/tiers/pressure"
)

// Which writes are refused when the memory runs short depends on the region's priority: each has a line, and writers are slowed down before
// it. Headroom is kept only for regions that there are: a line is a step lower for each better priority in use on the node. `default` is
// burstable, so that best-effort always has one above it.
//
//	                          slowed from  refused at, of the budget less the reserve for merges   refused at, of the cgroup's limit
//	best            step 0           95 %       100 %                                                 99 %
//	one above it         1           90 %        95 %                                                 96 %
//	two above it         2           85 %        90 %                                                 93 %
//	within its reservation           95 %       100 % of the whole budget                             99 %
//
// What is reserved for regions that do not use it counts as used, but for a region within its reservation.
const (
	lineWithin = 3
	lines      = 4
	ownStep    = 5 // per cent
	cgroupStep = 3
)

// line is where writes of some regions are refused.
type line struct {
	limit int64           // of the node's own account, bytes
	gauge *pressure.Gauge // of the goroutine that ticks
	delay atomic.Int64    // of each write, ns
	full  atomic.Bool     // as of the last tick
}

// draw makes the lines.
func (b *budget) draw(c *Config) error {
	for i := range b.lines {
		down := float64(i)
		if i == lineWithin {
			down = 0
		}
		own, cgroup := ownStep*down, cgroupStep*down
		l := &b.lines[i]
		l.limit = b.writes - b.writes/100*int64(own)
		if i == lineWithin {
			l.limit = c.MemoryBudget
		}
		var err error
		l.gauge, err = pressure.New(pressure.Config{
			Own:    pressure.Thresholds{0, 85 - own, 90 - own, 95 - own, 100 - own},
			Cgroup: pressure.Thresholds{0, 88 - cgroup, 92 - cgroup, 96 - cgroup, 99 - cgroup},
		})
		if err != nil {
			return fmt.Errorf("fabric: %w", err)
		}
	}
	return nil
}

// observe is called every second.
func (b *budget) observe(x pressure.Reading, now time.Time) {
	for i := range b.lines {
		y, l := x, &b.lines[i]
		if i == lineWithin {
			y.Reserve, y.Reserved = 0, 0
		}
		v := l.gauge.Observe(y, now)
		l.delay.Store(int64(v.Delay))
		l.full.Store(v.Level == pressure.Refuse)
	}
}

// step is how many priorities in use are better.
func (b *budget) step(c pressure.Class) int {
	n := 0
	if c > pressure.Guaranteed && b.shares.Load().guaranteed {
		n++
	}
	if c > pressure.Burstable {
		n++
	}
	return n
}

// line is where writes of the region are refused.
func (r *Region) line() *line { return &r.f.budget.lines[r.lineNo()] }

func (r *Region) lineNo() int {
	if r.held.Load() < r.granted.Load() {
		return lineWithin
	}
	return r.f.budget.step(r.terms().class)
}

// taken is what counts as used where a line is.
func (b *budget) taken(no int) int64 {
	if no == lineWithin {
		return b.used.Load()
	}
	return b.used.Load() + b.unused.Load()
}

// short gives the error of a write for which the region has no memory.
func (r *Region) short() error {
	if err := r.full(); err != nil {
		return err
	}
	b := r.f.budget
	if r.f.cfg.MemoryBudget == 0 {
		return nil
	}
	no := r.lineNo()
	l, taken := &b.lines[no], b.taken(no)
	if taken < l.limit && (!l.full.Load() || r.f.evicts.relieves()) {
		return nil
	}
	what := fmt.Sprintf("%d of %d bytes are used", taken, l.limit)
	if unused := taken - b.used.Load(); unused > 0 {
		what = fmt.Sprintf("%d of %d bytes are used or reserved for other regions", taken, l.limit)
	}
	if no > 0 {
		what += fmt.Sprintf(", which is the most for %s regions", r.Priority())
	}
	return fmt.Errorf("%w: region %q: %s", ErrMemoryFull, r.name, what)
}

// LineStatus tells where writes of regions of one priority are refused.
type LineStatus struct {
	Priority Priority `json:"priority"`
	Limit    int64    `json:"limit_bytes"`
	Taken    int64    `json:"taken_bytes"` // used by all regions, or reserved and not used
	Refuses  bool     `json:"refuses"`     // but for what is within a reservation
	DelayUS  int64    `json:"delay_us"`    // that each write waits
}

func (f *Fabric) linesNow() []LineStatus {
	out := []LineStatus{}
	if f.cfg.MemoryBudget == 0 {
		return out
	}
	b := f.budget
	for _, c := range []pressure.Class{pressure.BestEffort, pressure.Burstable, pressure.Guaranteed} {
		no := b.step(c)
		l, taken := &b.lines[no], b.taken(no)
		out = append(out, LineStatus{
			Priority: Priority(c.String()), Limit: l.limit, Taken: taken, Refuses: taken >= l.limit || l.full.Load(),
			DelayUS: time.Duration(l.delay.Load()).Microseconds(),
		})
	}
	return out
}

func priorityMetric(name, help string) metric {
	return metric{prometheus.NewDesc("edgemem_memory_"+name, help, []string{"priority"}, nil), gauge}
}

var (
	memoryLine       = priorityMetric("line_bytes", "Where writes of regions of the priority are refused, by what is used or reserved.")
	memoryRefusing   = priorityMetric("refusing", "1: writes of regions of the priority are refused, but for what is within a reservation.")
	memoryReserved   = fabricMetric("memory_reserved_bytes", "Reserved for single regions, bytes.", gauge)
	memoryUnused     = fabricMetric("memory_reserved_unused_bytes", "What of it those regions do not use.", gauge)
	memoryLacking    = fabricMetric("memory_reserved_lacking_bytes", "What should be reserved and could not.", gauge)
	regionsQuotaFull = fabricMetric("regions_quota_full", "Regions that take no writes because of their quota.", gauge)
	regionsOverQuota = fabricMetric("regions_over_quota", "Those of them that merges brought beyond it.", gauge)
)

func (s *MemoryStatus) collectLines(ch chan<- prometheus.Metric) {
	for _, l := range s.Lines {
		memoryLine.send(ch, int(l.Limit), string(l.Priority))
		refuses := 0
		if l.Refuses {
			refuses = 1
		}
		memoryRefusing.send(ch, refuses, string(l.Priority))
	}
	memoryReserved.send(ch, int(s.Reserved))
	memoryUnused.send(ch, int(s.Unused))
	memoryLacking.send(ch, int(s.Lacking))
	regionsQuotaFull.send(ch, s.QuotaFull)
	regionsOverQuota.send(ch, s.OverQuota)
}

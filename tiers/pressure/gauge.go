package pressure

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Reading is what is known of memory at one time. Bytes of 0 limit nothing; events count since the cgroup began.
type Reading struct {
	Used    int64 // by the node's own account
	Budget  int64
	Reserve int64 // of the budget, kept for merges
	// Reserved is what is kept for single regions and not used by them: it counts as used, for all but merges.
	Reserved int64

	CgroupUsed  int64 // its working set: without file pages that the kernel drops first
	CgroupLimit int64
	High        uint64 // times that the cgroup was throttled for being above memory.high
	Max         uint64 // times that it was about to pass memory.max
	OOM         uint64 // times that it could not be kept below it

	SomePercent float64 // of the last ten seconds, some tasks stalled for memory
	FullPercent float64 // all did
}

// A Cause is one number that asks for a level.
type Cause struct {
	Level Level
	Text  string
}

// A Verdict is what to do now.
type Verdict struct {
	Level   Level
	Changed bool    // since the last Observe
	Causes  []Cause // worst first; empty at None
	// Held says that the numbers alone would give a lower level, which they have not done for long enough.
	Held bool
	// Delay is how long each local write waits. It is 0 below Slow.
	Delay time.Duration
	// GiveBack is how many bytes should leave memory to fall below every level.
	GiveBack int64
	// WriteRoom is how much local writes may add before they are refused, until the next Observe says more.
	WriteRoom int64
	// MergeRoom is how much merges may still add. At 0 pulls wait: nothing is lost, the peer still has it.
	MergeRoom int64
}

// Why says in words and numbers what led to the level.
func (v Verdict) Why() string {
	var parts []string
	for _, c := range v.Causes {
		parts = append(parts, fmt.Sprintf("%v: %s", c.Level, c.Text))
	}
	if v.Held {
		parts = append(parts, fmt.Sprintf("%v: held until better numbers last", v.Level))
	}
	return strings.Join(parts, "; ")
}

// A Gauge turns readings into levels. It belongs to one goroutine.
type Gauge struct {
	cfg    Config
	last   Reading
	seen   bool
	level  Level
	asked  [levels]time.Time // when numbers last asked for each level, or for a worse one
	signs  [signs]sign
	events [3]time.Time // when each event was last seen to have happened
}

// A sign is one number with levels of its own.
type sign struct{ level Level }

const (
	own = iota
	cgroup
	some
	full
	signs
)

// New gives a gauge at level None.
func New(cfg Config) (*Gauge, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Gauge{cfg: cfg}, nil
}

// Level is that of the last verdict.
func (g *Gauge) Level() Level { return g.level }

// Observe takes a reading at a time that is not before the last one's.
func (g *Gauge) Observe(r Reading, now time.Time) Verdict {
	v := Verdict{GiveBack: g.giveBack(r), WriteRoom: r.room(r.writable() - r.Reserved), MergeRoom: r.room(r.Budget)}
	values := r.percents()
	for i, t := range g.thresholds() {
		g.signs[i].level = t.levelOf(values[i], g.margin(i), g.signs[i].level)
		if l := g.signs[i].level; l > None {
			v.Causes = append(v.Causes, Cause{l, r.describe(i, t[l])})
		}
	}
	v.Causes = append(v.Causes, g.eventCauses(r, now)...)
	slices.SortStableFunc(v.Causes, func(a, b Cause) int { return int(b.Level) - int(a.Level) })
	before := g.level
	g.settle(v.Causes, now)
	v.Level, v.Changed = g.level, g.level != before
	v.Held = len(v.Causes) == 0 && g.level > None || len(v.Causes) > 0 && v.Causes[0].Level < g.level
	if g.level >= Slow {
		v.Delay = g.delay(values)
	}
	if g.level == Refuse {
		v.WriteRoom = 0
	}
	g.last, g.seen = r, true
	return v
}

func (g *Gauge) thresholds() [signs]Thresholds {
	return [signs]Thresholds{g.cfg.Own, g.cfg.Cgroup, g.cfg.Some, g.cfg.Full}
}

// margin of stall times is a fifth of where they begin: their scale is not that of bytes.
func (g *Gauge) margin(sign int) float64 {
	if sign >= some {
		return g.thresholds()[sign][Reclaim] / 5
	}
	return g.cfg.MarginPercent
}

// settle rises at once, and falls to the worst level that was asked for lately.
func (g *Gauge) settle(causes []Cause, now time.Time) {
	want := None
	if len(causes) > 0 {
		want = causes[0].Level
	}
	for l := None; l <= want; l++ {
		g.asked[l] = now
	}
	g.level = want
	for l := want + 1; l < levels; l++ {
		if at := g.asked[l]; !at.IsZero() && now.Sub(at) < g.cfg.Hold {
			g.level = l
		}
	}
}

// Events need no threshold: one that happened since the last reading counts for a while. What happened before the first one is
// history.
func (g *Gauge) eventCauses(r Reading, now time.Time) (causes []Cause) {
	for i, e := range []struct {
		level     Level
		was, is   uint64
		what, how string
	}{
		{Reclaim, g.last.High, r.High, "memory.high", "throttled"},
		{Demote, g.last.Max, r.Max, "memory.max", "at its limit"},
		{Slow, g.last.OOM, r.OOM, "oom", "out of memory"},
	} {
		if g.seen && e.is > e.was {
			g.events[i] = now
		}
		if at := g.events[i]; !at.IsZero() && now.Sub(at) < g.cfg.EventHold {
			causes = append(causes, Cause{e.level, fmt.Sprintf("the cgroup was %s %s ago (%s events: %d)", e.how, now.Sub(at), e.what, e.is)})
		}
	}
	return causes
}

// delay grows by equal factors over equal distances, from DelayMin where slow begins to DelayMax where writes would be refused.
func (g *Gauge) delay(values [signs]float64) time.Duration {
	far := 0.0
	for i, t := range g.thresholds() {
		far = max(far, t.beyond(values[i]))
	}
	least, most := max(g.cfg.DelayMin, 1), max(g.cfg.DelayMax, 1)
	return min(g.cfg.DelayMax, time.Duration(float64(least)*math.Pow(float64(most)/float64(least), far)))
}

// giveBack is how much is used beyond a margin below reclaim, by the account that is worse.
func (g *Gauge) giveBack(r Reading) int64 {
	over := func(used, limit int64, t Thresholds) int64 {
		if limit <= 0 || float64(used) < t[Reclaim]/100*float64(limit) {
			return 0
		}
		return used - int64((t[Reclaim]-g.cfg.MarginPercent)/100*float64(limit))
	}
	need := over(r.CgroupUsed, r.CgroupLimit, g.cfg.Cgroup)
	if r.Budget > 0 {
		need = max(need, over(r.Used+r.Reserved, max(1, r.writable()), g.cfg.Own))
	}
	return max(0, min(need, r.Used))
}

// writable is what local writes may fill.
func (r Reading) writable() int64 { return max(0, r.Budget-r.Reserve) }

// room is how much may be added up to a line of the node's own account, and never beyond the cgroup.
func (r Reading) room(line int64) int64 {
	room := int64(math.MaxInt64)
	if r.Budget > 0 {
		room = max(0, line-r.Used)
	}
	if r.CgroupLimit > 0 {
		room = min(room, max(0, r.CgroupLimit-r.CgroupUsed))
	}
	return room
}

func (r Reading) percents() [signs]float64 {
	v := [signs]float64{some: r.SomePercent, full: r.FullPercent}
	if r.Budget > 0 {
		v[own] = percent(r.Used+r.Reserved, r.writable())
	}
	if r.CgroupLimit > 0 {
		v[cgroup] = percent(r.CgroupUsed, r.CgroupLimit)
	}
	return v
}

// percent of nothing is full: a reserve that leaves writers no room refuses them.
func percent(used, of int64) float64 {
	if of <= 0 {
		return 100
	}
	return float64(used) / float64(of) * 100
}

func (r Reading) describe(sign int, from float64) string {
	p := r.percents()[sign]
	switch sign {
	case own:
		if r.Reserved > 0 {
			return fmt.Sprintf("own use %s and reserved %s of %s for writers, %.1f %% (from %g %%)", size(r.Used), size(r.Reserved), size(r.writable()), p, from)
		}
		return fmt.Sprintf("own use %s of %s for writers, %.1f %% (from %g %%)", size(r.Used), size(r.writable()), p, from)
	case cgroup:
		return fmt.Sprintf("cgroup %s of %s, %.1f %% (from %g %%)", size(r.CgroupUsed), size(r.CgroupLimit), p, from)
	case some:
		return fmt.Sprintf("some tasks stalled for memory %.1f %% of the time (from %g %%)", p, from)
	default:
		return fmt.Sprintf("all tasks stalled for memory %.1f %% of the time (from %g %%)", p, from)
	}
}

// size is short: people read it.
func size(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(bytes), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

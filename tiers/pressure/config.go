package pressure

import (
	"fmt"
	"time"
)

// Config says when levels begin. The zero value of a field takes its default.
type Config struct {
	// Own begins levels by what the node uses, in per cent of its budget less its reserve. Default 85, 90, 95, 100: evicting
	// takes seconds at worst, in which writes must not fill the rest.
	Own Thresholds
	// Cgroup begins levels by the working set, in per cent of the limit. Default 88, 92, 96, 99: beyond it the kernel ends
	// the process, and the node's own account does not show all of it.
	Cgroup Thresholds
	// Some and Full begin levels by the share of the last ten seconds in which some or all tasks stalled for memory, in per
	// cent. Default 10, 25, 60, never and 5, 15, 40, never.
	Some, Full Thresholds
	// MarginPercent is by how much a number must be better before its level falls. Default 5. Stall times have a
	// scale of their own: theirs is a fifth of where reclaim begins.
	MarginPercent float64
	// Hold is how long a level stays after numbers last asked for it. Default 2 s: evicting is quick, and writers are not to be
	// refused for longer than it takes.
	Hold time.Duration
	// EventHold is for how long an event of the cgroup counts. Default 10 s.
	EventHold time.Duration
	// DelayMin and DelayMax are how long a write waits at the beginning of slow and just before refuse. Default 1 ms, 100 ms.
	DelayMin, DelayMax time.Duration
}

func (c Config) withDefaults() Config {
	or(&c.Own, Thresholds{0, 85, 90, 95, 100})
	or(&c.Cgroup, Thresholds{0, 88, 92, 96, 99})
	or(&c.Some, Thresholds{0, 10, 25, 60, Never})
	or(&c.Full, Thresholds{0, 5, 15, 40, Never})
	or(&c.MarginPercent, 5)
	or(&c.Hold, 2*time.Second)
	or(&c.EventHold, 10*time.Second)
	or(&c.DelayMin, time.Millisecond)
	or(&c.DelayMax, 100*time.Millisecond)
	return c
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	for i, t := range [...]Thresholds{c.Own, c.Cgroup, c.Some, c.Full} {
		name := [...]string{"Own", "Cgroup", "Some", "Full"}[i]
		for l := Demote; l < levels; l++ {
			if t[l] < t[l-1] {
				return fmt.Errorf("pressure: %s: %v begins at %v, before %v at %v", name, l, t[l], l-1, t[l-1])
			}
		}
		if t[Reclaim] <= 0 {
			return fmt.Errorf("pressure: %s: %v begins at %v", name, Reclaim, t[Reclaim])
		}
	}
	if c.MarginPercent < 0 || c.MarginPercent >= c.Own[Reclaim] || c.MarginPercent >= c.Cgroup[Reclaim] {
		return fmt.Errorf("pressure: MarginPercent %v is below 0 or reaches down to nothing", c.MarginPercent)
	}
	if c.Hold < 0 || c.EventHold < 0 {
		return fmt.Errorf("pressure: Hold %v or EventHold %v is below 0", c.Hold, c.EventHold)
	}
	if c.DelayMin < 0 || c.DelayMax < c.DelayMin {
		return fmt.Errorf("pressure: DelayMin %v, DelayMax %v: want 0 ≤ DelayMin ≤ DelayMax", c.DelayMin, c.DelayMax)
	}
	return nil
}

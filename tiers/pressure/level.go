package pressure

import "fmt"

// Level says how short memory is.
type Level uint8

// The levels, each worse than the one before.
const (
	None Level = iota
	Reclaim
	Demote
	Slow
	Refuse
	levels
)

var levelNames = [levels]string{"none", "reclaim", "demote", "slow", "refuse"}

// String gives the name that metrics and reports use.
func (l Level) String() string {
	if l >= levels {
		return fmt.Sprintf("level(%d)", uint8(l))
	}
	return levelNames[l]
}

// Thresholds are where each level begins, in per cent; Enter[None] is not used. A level that never begins has Never.
type Thresholds [levels]float64

// Never is a threshold that nothing reaches.
const Never = 1e9

// levelOf gives the highest level that a value reaches. The one it has already is kept until the value is a margin lower.
func (t Thresholds) levelOf(value, margin float64, now Level) Level {
	for l := Refuse; l > None; l-- {
		at := t[l]
		if l <= now {
			at -= margin
		}
		if value >= at {
			return l
		}
	}
	return None
}

// beyond tells how far a value is from the beginning of slow to that of refuse, from 0 to 1.
func (t Thresholds) beyond(value float64) float64 {
	span := t[Refuse] - t[Slow]
	if span <= 0 || t[Refuse] >= Never {
		span = max(1, t[Slow]) // where nothing is refused, twice as bad is the worst
	}
	return min(1, max(0, (value-t[Slow])/span))
}

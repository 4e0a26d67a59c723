package crdt

// HLC is a hybrid logical clock stamp: milliseconds of physical time in the upper 48 bits, a logical
// count in the lower 16 (Kulkarni et al., "Logical Physical Clocks", 2014). Stamps only break ties
// between concurrent writes; causality comes from dots.
type HLC uint64

// MaxAheadMillis is how far ahead of our own clock a stamp may be and still advance it. A device whose
// clock says 2099 keeps its stamps, and does not drag everyone with it.
const MaxAheadMillis = 5 * 60 * 1000

// Millis is the stamp's physical part, Unix milliseconds.
func (h HLC) Millis() int64 { return int64(h >> 16) }

func hlcAt(nowMillis int64) HLC { return HLC(max(nowMillis, 0)) << 16 }

// Clock issues stamps that grow even when the clock below it goes back.
type Clock struct {
	last HLC
	// Skewed counts the stamps that were too far ahead to follow.
	Skewed uint64
}

// Next issues a stamp later than every stamp issued or followed before.
func (c *Clock) Next(nowMillis int64) HLC {
	c.last = c.upcoming(nowMillis)
	return c.last
}

// upcoming is what Next would issue.
func (c *Clock) upcoming(nowMillis int64) HLC { return max(c.last+1, hlcAt(nowMillis)) }

// Observe follows a stamp that came from elsewhere, unless it is too far ahead.
func (c *Clock) Observe(h HLC, nowMillis int64) {
	if h <= c.last {
		return
	}
	if h > hlcAt(nowMillis+MaxAheadMillis) {
		c.Skewed++
		return
	}
	c.last = h
}

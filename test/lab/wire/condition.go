package wire

import (
	"fmt"
	"strings"
	"time"
)

// Condition says what a link does to the frames that go over it in one direction. The zero value hands all on at once.
type Condition struct {
	Delay  time.Duration // each frame
	Jitter time.Duration // on top, between nothing and this, evenly spread
	// Loss, Duplicate and Reorder are the chances, 0 to 1, of a frame to vanish, to arrive twice, and to be held back so
	// that others overtake it.
	Loss, Duplicate, Reorder float64
	// RateBytes is how many bytes pass in a second, over a token bucket of BurstBytes; 0: no limit.
	RateBytes int64
	// BurstBytes may pass at once after a silence. Default: burstDefault.
	BurstBytes int64
	// QueueBytes may wait for the rate; a frame that finds no room is dropped. Default: queueDefault.
	QueueBytes int64
	Cut        bool // nothing passes, without a word
}

const (
	burstDefault = 16 << 10
	queueDefault = 256 << 10 // what home routers have, and what makes them slow under load
	// heldBack is how much later than its time a reordered frame comes, besides one more Delay.
	heldBack = 2 * time.Millisecond
)

// validate names the field that is wrong.
func (c Condition) validate() error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"Loss", c.Loss}, {"Duplicate", c.Duplicate}, {"Reorder", c.Reorder}} {
		if !(p.value >= 0 && p.value <= 1) {
			return fmt.Errorf("wire: %s is a chance between 0 and 1, not %v", p.name, p.value)
		}
	}
	if c.Delay < 0 || c.Jitter < 0 || c.RateBytes < 0 || c.BurstBytes < 0 || c.QueueBytes < 0 {
		return fmt.Errorf("wire: times, rates and sizes are not negative: %+v", c)
	}
	return nil
}

// withDefaults fills in what a rate needs.
func (c Condition) withDefaults() Condition {
	if c.BurstBytes == 0 {
		c.BurstBytes = burstDefault
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = queueDefault
	}
	return c
}

// String names what is not perfect, as in "30ms+10ms, loss 2%": the delay, and the jitter on top.
func (c Condition) String() string {
	if c.Cut {
		return "cut"
	}
	var parts []string
	if c.Delay > 0 || c.Jitter > 0 {
		parts = append(parts, fmt.Sprintf("%v+%v", c.Delay, c.Jitter))
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", c.Loss}, {"duplicates", c.Duplicate}, {"reordered", c.Reorder}} {
		if p.value > 0 {
			parts = append(parts, fmt.Sprintf("%s %.3g%%", p.name, 100*p.value))
		}
	}
	if c.RateBytes > 0 {
		parts = append(parts, fmt.Sprintf("%d kB/s", c.RateBytes/1000))
	}
	if len(parts) == 0 {
		return "perfect"
	}
	return strings.Join(parts, ", ")
}

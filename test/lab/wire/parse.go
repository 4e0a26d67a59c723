package wire

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Presets are conditions that people have names for.
var Presets = map[string]Condition{
	"perfect": {},
	"lan":     {Delay: 200 * time.Microsecond, Jitter: 300 * time.Microsecond},
	"wan":     {Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.001},
	"rough":   {Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.01, Duplicate: 0.01, Reorder: 0.02},
	"mobile":  {Delay: 30 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.02, Duplicate: 0.005, Reorder: 0.01, RateBytes: 500_000},
}

// Parse reads the name of a preset, or settings such as "delay=20ms,jitter=5ms,loss=2%,duplicate=1%,reorder=1%,rate=250000", where
// the rate is in bytes a second. Settings after a preset's name change it: "mobile,loss=10%".
func Parse(text string) (c Condition, err error) {
	for i, part := range strings.Split(text, ",") {
		name, value, setting := strings.Cut(strings.TrimSpace(part), "=")
		if preset, ok := Presets[name]; ok && i == 0 && !setting {
			c = preset
			continue
		}
		if err := c.set(name, value); err != nil {
			return c, fmt.Errorf("wire: %q: %w", part, err)
		}
	}
	return c, c.validate()
}

func (c *Condition) set(name, value string) (err error) {
	switch name {
	case "delay":
		c.Delay, err = time.ParseDuration(value)
	case "jitter":
		c.Jitter, err = time.ParseDuration(value)
	case "loss":
		c.Loss, err = parseChance(value)
	case "duplicate":
		c.Duplicate, err = parseChance(value)
	case "reorder":
		c.Reorder, err = parseChance(value)
	case "rate":
		c.RateBytes, err = strconv.ParseInt(value, 10, 64)
	default:
		err = fmt.Errorf("neither a setting nor one of %s", strings.Join(slices.Sorted(maps.Keys(Presets)), ", "))
	}
	return err
}

// parseChance reads "2%" or "0.02".
func parseChance(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	x, err := strconv.ParseFloat(digits, 64)
	if percent {
		x /= 100
	}
	return x, err
}

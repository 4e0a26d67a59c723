package wire

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Condition{
		"perfect": {},
		"rough":   Presets["rough"],
		"delay=20ms,jitter=5ms,loss=2%,duplicate=0.01,reorder=1%,rate=250000": {Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond,
			Loss: 0.02, Duplicate: 0.01, Reorder: 0.01, RateBytes: 250_000},
		"lan, loss=50%": {Delay: 200 * time.Microsecond, Jitter: 300 * time.Microsecond, Loss: 0.5},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "foggy", "loss=2%,mobile", "loss=x", "loss=200%", "loss=NaN", "delay=5", "rate=1.5", "delay=-1s"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q was taken for %+v", text, got)
		}
	}
}

// FuzzParse wants whatever is taken to be a condition that a link takes too.
func FuzzParse(f *testing.F) {
	f.Add("mobile,loss=10%")
	f.Add("delay=20ms,jitter=5ms,loss=2%,duplicate=0.01,reorder=1%,rate=250000")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Parse(text); err == nil && c.validate() != nil {
			t.Errorf("%q was taken for %+v, which no link takes", text, c)
		}
	})
}

package netns

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/wire"
)

// needNetem skips the test where the kernel cannot do what -netem asks for.
func (h *host) needNetem() {
	h.net.t.Helper()
	harness.Need(h.net.t, "tc", "iproute2")
	if out, err := h.try("tc", "qdisc", "add", "dev", "eth0", "root", "netem", "delay", "1ms"); err != nil {
		h.net.t.Skipf("SKIPPED: -netem: this kernel has no netem, leave the flag out and the switch makes the weather: %v: %s", err, out)
	}
	h.do("tc", "qdisc", "del", "dev", "eth0", "root")
}

// netem has the kernel make the weather for what one host sends to another: a class for each receiver, with netem at its end.
func (h *host) netem(to *host, c wire.Condition) {
	h.net.t.Helper()
	if len(h.classes) == 0 {
		h.needNetem()
		h.do("tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb")
	}
	class := 1 + slices.Index(h.classes, to.name)
	if class == 0 {
		h.classes = append(h.classes, to.name)
		class = len(h.classes)
		id := fmt.Sprintf("1:%d", class)
		h.do("tc", "class", "add", "dev", "eth0", "parent", "1:", "classid", id, "htb", "rate", "10gbit", "quantum", "60000")
		h.do("tc", "filter", "add", "dev", "eth0", "parent", "1:", "protocol", "ip", "prio", "1", "u32", "match", "ip", "dst", to.ip+"/32", "flowid", id)
	}
	h.do(append([]string{"tc", "qdisc", "replace", "dev", "eth0", "parent", fmt.Sprintf("1:%d", class)}, netemLine(c)...)...)
}

// netemLine spells a condition for tc. netem spreads jitter to both sides of the delay, and lets a reordered frame overtake the others
// instead of holding it back.
func netemLine(c wire.Condition) []string {
	line := []string{"netem", "limit", "8192"}
	if c.Delay > 0 || c.Jitter > 0 {
		line = append(line, "delay", micros(c.Delay+c.Jitter/2), micros(c.Jitter/2))
	}
	for _, p := range []struct {
		name  string
		share float64
	}{{"loss", c.Loss}, {"duplicate", c.Duplicate}, {"reorder", c.Reorder}} {
		if p.share > 0 {
			line = append(line, p.name, fmt.Sprintf("%g%%", 100*p.share))
		}
	}
	if c.RateBytes > 0 {
		line = append(line, "rate", fmt.Sprintf("%dbit", 8*c.RateBytes))
	}
	return line
}

func micros(d time.Duration) string { return fmt.Sprintf("%dus", d.Microseconds()) }

func TestNetemLine(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]wire.Condition{
		"[netem limit 8192]": {},
		"[netem limit 8192 delay 10000us 5000us loss 1% duplicate 1% reorder 2%]":                    wire.Presets["rough"],
		"[netem limit 8192 delay 45000us 15000us loss 2% duplicate 0.5% reorder 1% rate 4000000bit]": wire.Presets["mobile"],
	} {
		if got := fmt.Sprint(netemLine(c)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

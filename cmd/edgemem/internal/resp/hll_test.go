package resp

import (
	"fmt"
	"testing"
)

// A damaged string is refused whole; Redis goes on with one until it comes to the damage.
func TestHLLCorrupt(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	for _, body := range []string{"\x7f\xfe", "\x7f", "\x7f\xff\x00", ""} {
		p.want("+OK", "set", "h", "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"+body)
		for _, line := range [][]string{{"pfadd", "h", "x"}, {"pfcount", "other", "h"}, {"pfmerge", "h", "other"}} {
			p.want("-INVALIDOBJ Corrupted HLL object detected", line...)
		}
	}
}

// What was added on both sides of a partition counts on both, once each has heard of the other.
func TestHLLJoins(t *testing.T) {
	t.Parallel()
	here, there := twoNodes(t)
	_, one := start(t, func(c *Config) { c.Fabric = here })
	_, two := start(t, func(c *Config) { c.Fabric = there })
	a, b := dial(t, one), dial(t, two)
	fill := func(p *peer, from, to int) {
		line := []string{"pfadd", "visitors"}
		for i := from; i < to; i++ {
			line = append(line, fmt.Sprint(i))
		}
		p.want(":1", line...)
	}
	fill(a, 0, 200)
	fill(b, 100, 300)
	line := []string{"pfadd", "all"}
	for i := range 300 {
		line = append(line, fmt.Sprint(i))
	}
	a.do(line...)
	want := a.do("pfcount", "all").String()
	awaitReply(t, here, a, want, "pfcount", "visitors")
	awaitReply(t, there, b, want, "pfcount", "visitors")
	for _, p := range []*peer{a, b} {
		p.want(":1", "copy", "visitors", "counted", "replace") // what reads the value as a string has all of it
		p.want(want, "pfcount", "counted")
	}
}

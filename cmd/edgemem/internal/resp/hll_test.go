package resp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// TestHLLAsRedisDoes: replies and estimates are Redis's, and each server reads the other's strings.
func TestHLLAsRedisDoes(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := maker{rand.New(rand.NewPCG(seed, seed))}
	b := dialBoth(t, addr, redis)
	b.run([][]string{{"flushdb"}})
	for range 400 {
		var batch [][]string
		for range 10 {
			batch = append(batch, m.hllCommand())
		}
		b.run(batch)
	}
	for _, n := range []int{1, 50, 3_000, 60_000} {
		line := []string{"pfadd", "big"}
		for range n {
			line = append(line, fmt.Sprint(m.r.Uint64()))
		}
		b.run([][]string{line, {"pfcount", "big"}})
		b.ours.want("+OK", "set", "theirs", b.redis.do("get", "big").text)
		b.redis.want("+OK", "set", "ours", b.ours.do("get", "big").text)
		want := b.redis.do("pfcount", "big").String()
		b.ours.want(want, "pfcount", "theirs")
		b.redis.want(want, "pfcount", "ours")
	}
}

func (m maker) hllKey() string { return m.pick("h:1", "h:1", "h:2", "h:3", "h:none", "text", "set") }

func (m maker) hllCommand() []string {
	elements := func() []string {
		return m.several(1+m.r.IntN(60), func() string { return fmt.Sprint("e", m.r.IntN(20_000)) })
	}
	switch m.r.IntN(12) {
	case 0:
		return []string{"pfadd", m.hllKey()}
	case 1, 2:
		return append([]string{"pfcount"}, m.several(3, m.hllKey)...)
	case 3:
		return append([]string{"pfmerge"}, m.several(4, m.hllKey)...)
	case 4:
		return []string{"del", m.hllKey()}
	case 5:
		return []string{m.pick("set", "set", "sadd"), m.pick("text", "set", "h:3"), m.pick("x", "HYLL", "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff",
			"HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff", "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80", "10")}
	case 6:
		return []string{m.pick("type", "ttl"), m.hllKey()}
	}
	return append([]string{"pfadd", m.hllKey()}, elements()...)
}

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
	var want sketch
	for i := range 300 {
		want.add(fmt.Append(nil, i))
	}
	fill(a, 0, 200)
	fill(b, 100, 300)
	for _, p := range []*peer{a, b} {
		for end := time.Now().Add(testPatience); p.do("pfcount", "visitors").String() != fmt.Sprint(":", want.count()); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s, want %d", p.do("pfcount", "visitors"), want.count())
			}
		}
	}
}

// FuzzHLL: no string makes the decoder fail otherwise than with an error, and what it reads it writes so that it reads the same.
func FuzzHLL(f *testing.F) {
	var s sketch
	f.Add(s.bytes())
	for i := range 5000 {
		s.add(fmt.Append(nil, i))
		if i == 3 || i == 4999 {
			f.Add(s.bytes())
		}
	}
	f.Add([]byte("HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again sketch
		if s.join(b) != nil {
			return
		}
		out := s.bytes()
		if err := again.join(out); err != nil || again.registers != s.registers || len(out) > crdt.MaxValueBytes {
			t.Errorf("%q: %v", b, err)
		}
		if n := s.count(); n < 0 {
			t.Errorf("%q: %d", b, n)
		}
	})
}

package resp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// hllElements are up to hundreds at once, so that values become dense.
func (m maker) hllElements() (out []string) {
	n := []int{0, 1, 2, 5, 300}[m.r.IntN(5)]
	for range n {
		out = append(out, fmt.Sprint("e", m.r.IntN(20_000)))
	}
	if m.r.IntN(8) == 0 {
		out = append(out, "", strings.Repeat("long", m.r.IntN(9)))
	}
	return out
}

func (m maker) hllKey() string {
	return m.pick("hll:1", "hll:1", "hll:2", "hll:3", "hll:4", "hll:none", "hll:text", "hll:cut", "hll:set", "hll:full")
}

func (m maker) hllCommand() []string {
	switch m.r.IntN(10) {
	case 0, 1, 2, 3:
		key := m.hllKey()
		if key == "hll:none" || key == "hll:cut" { // Redis may change a corrupt value before it notices
			key = "hll:1"
		}
		return append([]string{"pfadd", key}, m.hllElements()...)
	case 4, 5, 6:
		return append([]string{"pfcount"}, m.several(3, m.hllKey)...)
	case 7:
		return append([]string{"pfmerge", m.pick("hll:1", "hll:4", "hll:text", "hll:new", "hll:set")}, m.upTo(3, m.hllKey)...)
	case 8:
		return []string{m.pick("del", "expire", "persist", "ttl", "type"), m.pick("hll:1", "hll:4", "hll:new")}[:2]
	}
	return []string{m.pick("pfadd", "pfcount", "pfmerge")}
}

// hllFixed are values that are none, or are corrupt, or whose registers no element could have raised so far.
func hllFixed() [][]string {
	empty := "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"
	return [][]string{
		{"set", "hll:text", "text"}, {"set", "hll:cut", empty + "\x7f\x00"}, {"del", "hll:set"}, {"sadd", "hll:set", "m"},
		{"set", "hll:full", "HYLL\x00" + empty[5:] + strings.Repeat("\xff", 12288)},
		{"set", "hll:2", empty + "\x7f\xfb\x83"}, {"pfcount", "hll:2"}, {"pfadd", "hll:2", "a"},
		{"set", "hll:3", "HYLL\x01\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x7f\xff"}, // says that it counted 5
	}
}

// TestHyperLogLogAsRedisDoes: every reply is the same, counts to the last digit.
func TestHyperLogLogAsRedisDoes(t *testing.T) {
	t.Parallel()
	asRedisDoes(t, func(b *both, m maker) {
		batch := hllFixed()
		for range differentialBatch {
			batch = append(batch, m.hllCommand())
		}
		b.run(append(batch, []string{"pfcount", "hll:1"}, []string{"pfcount", "hll:1", "hll:4", "hll:new"}))
	})
}

// TestHyperLogLogValues: Redis counts what edgemem wrote, and the other way around.
func TestHyperLogLogValues(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	b := dialBoth(t, addr, redis)
	m := maker{rand.New(rand.NewPCG(1, 2))}
	for range 40 {
		b.run([][]string{append([]string{"pfadd", "hll:x"}, m.hllElements()...)})
		for _, way := range [][2]*peer{{b.ours, b.redis}, {b.redis, b.ours}} {
			val := way[0].do("get", "hll:x").text
			way[1].do("set", "hll:y", val)
			if n, want := way[1].do("pfcount", "hll:y").text, way[0].do("pfcount", "hll:x").text; n != want {
				t.Fatalf("a value that counts %s is read as %s", want, n)
			}
		}
	}
}

package resp

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestListsAsRedisDoes compares lists that are long enough for an order to be kept.
func TestListsAsRedisDoes(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	b := dialBoth(t, addr, redis)
	rng := rand.New(rand.NewPCG(3, 4))
	element := func() string { return fmt.Sprint("e", rng.IntN(60)) }
	index := func() string { return strconv.Itoa(rng.IntN(1200) - 600) }
	for range 50 {
		var batch [][]string
		for range 50 {
			switch rng.IntN(12) {
			case 0, 1, 2:
				batch = append(batch, []string{"rpush", "big", element(), element(), element(), element()})
			case 3, 4:
				batch = append(batch, []string{"lpush", "big", element(), element(), element()})
			case 5:
				batch = append(batch, []string{"lpop", "big", "3"}, []string{"rpop", "big"})
			case 6:
				batch = append(batch, []string{"lrange", "big", index(), index()})
			case 7:
				batch = append(batch, []string{"lset", "big", index(), element()}, []string{"lindex", "big", index()})
			case 8:
				batch = append(batch, []string{"linsert", "big", "before", element(), element()}, []string{"linsert", "big", "after", element(), element()})
			case 9:
				batch = append(batch, []string{"lrem", "big", strconv.Itoa(rng.IntN(5) - 2), element()})
			case 10:
				batch = append(batch, []string{"lpos", "big", element(), "rank", "-2", "count", "0"}, []string{"llen", "big"})
			case 11:
				batch = append(batch, []string{"lmove", "big", "big", "left", "right"}, []string{"lmpop", "2", "none", "big", "right", "count", "2"})
			}
		}
		b.run(batch)
	}
	b.run([][]string{{"ltrim", "big", "20", "-30"}, {"lrange", "big", "0", "-1"}, {"copy", "big", "other"}, {"lrange", "other", "0", "-1"},
		{"sort", "other", "alpha"}, {"type", "other"}, {"ltrim", "big", "5", "3"}, {"exists", "big"}, {"rename", "other", "big"}, {"llen", "big"}})
	dumped := b.ours.do("dump", "big").text
	b.redis.want("+OK", "restore", "copy", "0", dumped)
	if ours, redis := b.ours.do("lrange", "big", "0", "-1"), b.redis.do("lrange", "copy", "0", "-1"); ours.String() != redis.String() {
		t.Error("what DUMP gives restores as another list")
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	p := dial(t, addr)
	p.want("nil", "em.flag", "get", "f")
	p.want("+OK", "em.flag", "set", "f", "on")
	p.want(":1", "EM.FLAG", "GET", "f")
	p.want("+OK", "em.flag", "set", "f", "off", "disablewins")
	p.want(":0", "em.flag", "get", "f")
	p.want("+flag", "type", "f")
	p.want(":1", "copy", "f", "g")
	p.want(":0", "em.flag", "get", "g")
	p.want("-"+errSyntax, "em.flag", "set", "f", "maybe")
	p.want("-"+errSyntax, "em.flag", "set", "f", "on", "always")
	p.want("-"+errWrongType, "rpush", "f", "x")
	p.want(":1", "rpush", "l", "x")
	p.want("-"+errWrongType, "em.flag", "set", "l", "on")
	p.want("-"+errWrongType, "em.flag", "get", "l")
	p.want(":1", "del", "f")
	p.want("nil", "em.flag", "get", "f")
}

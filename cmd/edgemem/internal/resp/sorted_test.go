package resp

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestSortedSetsAsRedisDoes compares sets that are large enough for an order to be kept.
func TestSortedSetsAsRedisDoes(t *testing.T) {
	t.Parallel()
	redis := realRedis(t)
	_, addr := start(t, nil)
	b := dialBoth(t, addr, redis)
	rng := rand.New(rand.NewPCG(1, 2))
	score := func() string { return strconv.FormatFloat(float64(rng.IntN(4000))/8, 'g', -1, 64) }
	member := func() string { return fmt.Sprint("member:", rng.IntN(1500)) }
	index := func() string { return strconv.Itoa(rng.IntN(3000) - 1500) }
	for range 60 {
		var batch [][]string
		for range 60 {
			switch rng.IntN(14) {
			case 0, 1, 2, 3, 4, 5:
				batch = append(batch, []string{"zadd", "big", score(), member(), score(), member(), score(), member()})
			case 6:
				batch = append(batch, []string{"zincrby", "big", score(), member()})
			case 7:
				batch = append(batch, []string{"zrem", "big", member(), member()})
			case 8:
				from := rng.IntN(1500)
				batch = append(batch, []string{"zrange", "big", strconv.Itoa(from), strconv.Itoa(from + 20), "withscores"})
			case 9:
				batch = append(batch, []string{"zrevrange", "big", index(), index()})
			case 10:
				batch = append(batch, []string{"zrank", "big", member()}, []string{"zrevrank", "big", member()})
			case 11:
				batch = append(batch, []string{"zrangebyscore", "big", score(), score(), "limit", "3", "30"}, []string{"zcount", "big", score(), "(" + score()})
			case 12:
				batch = append(batch, []string{"zrevrangebyscore", "big", score(), score()}, []string{"zpopmin", "big", "3"}, []string{"zpopmax", "big"})
			case 13:
				batch = append(batch, []string{"zscore", "big", member()}, []string{"zcard", "big"})
			}
		}
		b.run(batch)
	}
	b.run([][]string{{"zremrangebyrank", "big", "3", "500"}, {"zrange", "big", "0", "-1", "withscores"}, {"copy", "big", "other"}, {"zrange", "other", "0", "-1"},
		{"zdiff", "2", "big", "other"}, {"zremrangebyscore", "big", "-inf", "+inf"}, {"exists", "big"}, {"type", "other"}, {"rename", "other", "big"}, {"zcard", "big"}})
	if ours, redis := walk(b.ours, "zscan", "big"), walk(b.redis, "zscan", "big"); len(ours) == 0 || fmt.Sprint(ours) != fmt.Sprint(redis) {
		t.Errorf("ZSCAN finds %d members, Redis %d", len(ours), len(redis))
	}
	dumped := b.ours.do("dump", "big").text
	b.redis.want("+OK", "restore", "copy", "0", dumped)
	if ours, redis := b.ours.do("zrange", "big", "0", "-1", "withscores"), b.redis.do("zrange", "copy", "0", "-1", "withscores"); ours.String() != redis.String() {
		t.Error("what DUMP gives restores as another sorted set")
	}
}

// TestNoScoreAsRedisDoes: weights that make zero of infinity, or no number of zero and infinity, in every order of the sets.
func TestNoScoreAsRedisDoes(t *testing.T) {
	t.Parallel()
	_, addr := start(t, nil)
	b := dialBoth(t, addr, realRedis(t))
	b.run([][]string{{"zadd", "a", "-inf", "m", "inf", "n"}, {"zadd", "b", "0", "m", "0", "n"}, {"zadd", "c", "0", "m", "0", "n", "1", "o"}, {"sadd", "s", "m", "n"}})
	for _, keys := range [][]string{{"a", "b"}, {"b", "a"}, {"a", "c"}, {"c", "a"}, {"a", "s"}, {"s", "c"}, {"b", "a", "c"}} {
		for _, weights := range [][]string{{"1", "inf", "0"}, {"inf", "1", "0"}, {"0", "-inf", "1"}, {"inf", "inf", "-inf"}} {
			for _, by := range []string{"sum", "min", "max"} {
				args := append(append([]string{strconv.Itoa(len(keys))}, keys...), "weights")
				args = append(append(args, weights[:len(keys)]...), "aggregate", by, "withscores")
				b.run([][]string{append([]string{"zinter"}, args...), append([]string{"zunion"}, args...)})
			}
		}
	}
}

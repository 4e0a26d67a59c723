package resp

import (
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

func sortedRangeCommands() []*command {
	const cost = "O(log(N)+M) for M members of a sorted set of N"
	read := func(name, since string, arity int, summary string, by rangeBy, fixed, back bool) *command {
		return &command{name: name, arity: arity, flags: "readonly", keys: oneKey("RO access"), group: "sorted-set", since: since, cost: cost,
			summary: summary, read: func(c *client, v *crdt.View) {
				if q, ok := c.parseRange(1, rangeQuery{sortedRange: sortedRange{by: by}, fixed: fixed, back: back}); ok {
					c.answerRange(v, q)
				}
			}}
	}
	remove := func(name, since, summary string, by rangeBy) *command {
		return &command{name: name, arity: 4, flags: "write", keys: oneKey("RW delete"), group: "sorted-set", since: since, cost: cost,
			summary: summary, note: scoreNote, write: func(c *client, tx *crdt.Tx) { c.removeRange(tx, by) }}
	}
	return []*command{
		read("zrange", "1.2.0", -4, "Lists members in a range of ranks, scores or names.", byRank, false, false),
		read("zrevrange", "1.2.0", -4, "Lists members in a range of ranks, the highest score first.", byRank, true, true),
		read("zrangebyscore", "1.0.5", -4, "Lists members with scores in a range.", byScore, true, false),
		read("zrevrangebyscore", "2.2.0", -4, "Lists members with scores in a range, the highest first.", byScore, true, true),
		read("zrangebylex", "2.8.9", -4, "Lists members in a range of names, where all have one score.", byName, true, false),
		read("zrevrangebylex", "2.8.9", -4, "Lists members in a range of names, the last first, where all have one score.", byName, true, true),
		{name: "zrangestore", arity: -5, flags: "write denyoom", keys: keyRoles(keyAt(1, "OW update"), keyAt(2, "RO access")),
			group: "sorted-set", since: "6.2.0", cost: cost,
			summary: "Stores members in a range of ranks, scores or names.",
			note:    storesObserved, write: zrangeStore},
		remove("zremrangebyrank", "2.0.0", "Removes members in a range of ranks.", byRank),
		remove("zremrangebyscore", "1.2.0", "Removes members with scores in a range.", byScore),
		remove("zremrangebylex", "2.8.9", "Removes members in a range of names, where all have one score.", byName),
	}
}

// rangeBy says what the bounds of a range are.
type rangeBy uint8

const (
	byRank rangeBy = iota
	byScore
	byName
)

// sortedRange is a range of ranks, scores or names.
type sortedRange struct {
	by       rangeBy
	from, to int64 // ranks
	min, max bound
}

// bound is an end of a range of scores or names.
type bound struct {
	score   float64
	name    string
	open    bool // the bound itself is out of the range
	endless int8 // -1: before all names, 1: behind all
}

// sortedRange reads the bounds at two arguments.
func (c *client) sortedRange(by rangeBy, from, to int) (r sortedRange, ok bool) {
	r.by = by
	switch by {
	case byRank:
		if r.from, ok = c.integer(from); ok {
			r.to, ok = c.integer(to)
		}
		return r, ok
	case byScore:
		var okTo bool
		r.min, ok = scoreBound(c.args[from])
		if r.max, okTo = scoreBound(c.args[to]); !ok || !okTo {
			c.fail("ERR min or max is not a float")
			return r, false
		}
	case byName:
		var okTo bool
		r.min, ok = nameBound(c.args[from])
		if r.max, okTo = nameBound(c.args[to]); !ok || !okTo {
			c.fail("ERR min or max not valid string range item")
			return r, false
		}
	}
	return r, true
}

// scoreBound reads a bound as strtod does: blanks before it are skipped, and nothing at all is 0.
func scoreBound(arg []byte) (b bound, ok bool) {
	if len(arg) > 0 && arg[0] == '(' {
		b.open, arg = true, arg[1:]
	}
	if len(arg) == 0 {
		return b, true
	}
	text := strings.TrimLeft(cText(arg), " \t\n\v\f\r")
	if text == "" {
		return b, len(cText(arg)) == 0
	}
	b.score, ok = strtod([]byte(text))
	return b, ok
}

func nameBound(arg []byte) (b bound, ok bool) {
	switch {
	case len(arg) == 0:
		return b, false
	case arg[0] == '(' || arg[0] == '[':
		return bound{name: string(arg[1:]), open: arg[0] == '('}, true
	case arg[0] == '+' && len(cText(arg)) == 1:
		return bound{endless: 1}, true
	case arg[0] == '-' && len(cText(arg)) == 1:
		return bound{endless: -1}, true
	}
	return b, false
}

// ranks gives the ranks from and to, which is not in it, of a sorted set of n.
func (r sortedRange) ranks(v *crdt.View, key string, n int) (from, to int) {
	switch r.by {
	case byRank:
		return ranksOf(r.from, r.to, n)
	case byScore:
		from, _ = v.SortedBelow(key, r.min.score, r.min.open)
		to, _ = v.SortedBelow(key, r.max.score, !r.max.open)
	case byName:
		from, to = r.min.rank(v, key, n, r.min.open), r.max.rank(v, key, n, !r.max.open)
	}
	return from, max(from, to)
}

func (b bound) rank(v *crdt.View, key string, n int, through bool) int {
	switch {
	case b.endless < 0:
		return 0
	case b.endless > 0:
		return n
	}
	rank, _ := v.SortedBelowMember(key, b.name, through)
	return rank
}

// ranksOf turns places, which count from the end where they are negative, into a half-open range of n.
func ranksOf(from, to int64, n int) (int, int) {
	if from < 0 {
		from = max(from+int64(n), 0)
	}
	if to < 0 {
		to += int64(n)
	}
	if from > to || from >= int64(n) {
		return 0, 0
	}
	return int(from), int(min(to, int64(n)-1)) + 1
}

// rangeQuery is what ZRANGE and its relatives ask for.
type rangeQuery struct {
	sortedRange
	key           string
	fixed         bool // the command's name says by what, and in which direction
	storing       bool
	back          bool
	withScores    bool
	offset, limit int64
}

// parseRange reads a key, two bounds and options from the argument at i on.
func (c *client) parseRange(i int, q rangeQuery) (rangeQuery, bool) {
	q.key, q.limit = string(c.args[i]), -1
	limited := false
	for k := i + 3; k < len(c.args); k++ {
		word, more := strings.ToLower(string(c.args[k][:min(len(c.args[k]), len("withscores")+1)])), len(c.args)-1-k
		switch {
		case word == "withscores" && !q.storing:
			q.withScores = true
		case word == "limit" && more >= 2:
			var ok bool
			if q.offset, ok = c.integer(k + 1); !ok {
				return q, false
			}
			if q.limit, ok = c.integer(k + 2); !ok {
				return q, false
			}
			limited = q.limit != -1
			k += 2
		case word == "rev" && !q.fixed:
			q.back = true
		case word == "bylex" && !q.fixed && q.by != byScore:
			q.by = byName
		case word == "byscore" && !q.fixed && q.by != byName:
			q.by = byScore
		default:
			c.fail(errSyntax)
			return q, false
		}
	}
	switch {
	case limited && q.by == byRank:
		c.fail("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
		return q, false
	case q.withScores && q.by == byName:
		c.fail("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
		return q, false
	}
	from, to := i+1, i+2
	if q.back && q.by != byRank {
		from, to = to, from
	}
	var ok bool
	q.sortedRange, ok = c.sortedRange(q.by, from, to)
	return q, ok
}

// found gives where the query begins, in its direction, and how many it finds of n.
func (q *rangeQuery) found(v *crdt.View, n int) (first, count int) {
	from, to := q.ranks(v, q.key, n)
	if q.by == byRank && q.back {
		from, to = n-to, n-from
		if to > n {
			from, to = 0, 0
		}
	}
	count = to - from
	if q.by != byRank {
		if q.offset < 0 || q.offset >= int64(count) {
			return 0, 0
		}
		count -= int(q.offset)
		if q.limit >= 0 {
			count = int(min(int64(count), q.limit))
		}
	} else {
		q.offset = 0
	}
	if q.back {
		return to - 1 - int(q.offset), count
	}
	return from + int(q.offset), count
}

func (c *client) answerRange(v *crdt.View, q rangeQuery) {
	n, ok := c.sortedLen(v, q.key)
	if !ok {
		return
	}
	first, count := q.found(v, n)
	if q.withScores && !c.resp3 {
		c.array(2 * count)
	} else {
		c.array(count)
	}
	if count == 0 {
		return
	}
	_ = v.SortedEach(q.key, first, q.back, func(name []byte, score float64) bool {
		c.oneScored(view(name), score, q.withScores, c.resp3)
		count--
		return count > 0 && !c.overflowed
	})
}

func zrangeStore(c *client, tx *crdt.Tx) {
	q, ok := c.parseRange(2, rangeQuery{storing: true})
	if !ok {
		return
	}
	n, ok := c.sortedLen(&tx.View, q.key)
	if !ok {
		return
	}
	first, count := q.found(&tx.View, n)
	c.storeMembers(tx, string(c.args[1]), membersFrom(&tx.View, q.key, first, count, q.back))
}

// storeMembers makes a key a sorted set of members, and answers how many.
func (c *client) storeMembers(tx *crdt.Tx, dest string, members []member) {
	tx.Del(dest)
	for _, m := range members {
		if m.score == 0 {
			m.score = 0 // not -0, of which Redis forgets the sign when it stores a small set
		}
		_, _ = tx.SortedSet(dest, m.name, m.score) // of a size that some set has
	}
	c.int(int64(len(members)))
}

func (c *client) removeRange(tx *crdt.Tx, by rangeBy) {
	r, ok := c.sortedRange(by, 2, 3)
	if !ok {
		return
	}
	key := string(c.args[1])
	n, ok := c.sortedLen(&tx.View, key)
	if !ok {
		return
	}
	from, to := r.ranks(&tx.View, key, n)
	members := membersFrom(&tx.View, key, from, to-from, false)
	c.int(int64(len(members)))
	c.removeMembers(tx, key, n, members)
}

// sumScores adds two scores as the commands that combine sorted sets do: where that is no number it is 0.
func sumScores(a, b float64) float64 {
	return orZero(a + b)
}

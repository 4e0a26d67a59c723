package resp

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

func sortedOpCommands() []*command {
	const cost = "O(N)+O(M*log(M)) for N members of all sets together and a result of M"
	read := func(name, summary string, op sortedOp) *command {
		return &command{name: name, arity: -3, flags: "readonly movablekeys", keys: countedKeys(1, "RO access"),
			group: "sorted-set", since: "6.2.0", cost: cost, summary: summary,
			read: func(c *client, v *crdt.View) { c.combineSorted(v, op) }}
	}
	store := func(name, since, summary string, op sortedOp) *command {
		counted := countedKeys(2, "RO access")
		return &command{name: name, arity: -4, flags: "write denyoom movablekeys", keys: keySpec{first: 1, last: 1, step: 1, parts: []keySpec{keyAt(1, "OW update"), counted}},
			group: "sorted-set", since: since, cost: cost, summary: summary, note: storesObserved,
			write: func(c *client, tx *crdt.Tx) { c.combineSortedStore(tx, op) }}
	}
	return []*command{
		read("zunion", "Lists the members that any of several sets has, with combined scores.", opUnion),
		read("zinter", "Lists the members that all of several sets have, with combined scores.", opInter),
		read("zdiff", "Lists the members of the first set that no other has.", opDiff),
		store("zunionstore", "2.0.0", "Stores the members that any of several sets has, with combined scores.", opUnion),
		store("zinterstore", "2.0.0", "Stores the members that all of several sets have, with combined scores.", opInter),
		store("zdiffstore", "6.2.0", "Stores the members of the first set that no other has.", opDiff),
		{name: "zintercard", arity: -3, flags: "readonly movablekeys", keys: countedKeys(1, "RO access"),
			group: "sorted-set", since: "7.0.0", cost: cost,
			summary: "Counts the members that all of several sets have, up to a limit.",
			read:    func(c *client, v *crdt.View) { c.combineSorted(v, opInterCard) }},
	}
}

type sortedOp uint8

const (
	opUnion sortedOp = iota
	opInter
	opDiff
	opInterCard
)

// source is a set, or a sorted set, that takes part in a combination.
type source struct {
	key    string
	n      int
	weight float64
	plain  bool // a set, whose members count 1
}

// each gives scores as score does.
func (s *source) each(v *crdt.View, fn func(member string, score float64) bool) {
	if s.plain {
		_ = v.SetEach(s.key, func(member string) bool { return fn(member, s.weight) })
		return
	}
	cursor := uint64(0)
	for more := true; more; {
		cursor, _ = v.SortedScan(s.key, cursor, scanCountMax, func(member string, score float64) {
			more = more && fn(member, s.weight*score)
		})
		more = more && cursor != 0
	}
}

// score is a member's score times the weight, not a number if these are zero and infinity.
func (s *source) score(v *crdt.View, member string) (score float64, ok bool) {
	if s.plain {
		ok, _ = v.SetHas(s.key, member)
		return s.weight, ok
	}
	score, ok, _ = v.SortedScore(s.key, member)
	return s.weight * score, ok
}

// orZero is a number, 0 if x is none.
func orZero(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// combination is what ZUNION and its relatives ask for.
type combination struct {
	op         sortedOp
	from       []source
	aggregate  func(a, b float64) float64
	withScores bool
	limit      int64 // of ZINTERCARD; 0 is none
}

var aggregates = map[string]func(a, b float64) float64{
	"sum": sumScores,
	"min": lesserScore,
	"max": greaterScore,
}

// lesserScore is a if b is not a number.
func lesserScore(a, b float64) float64 {
	if b < a {
		return b
	}
	return a
}

// greaterScore is a if b is not a number.
func greaterScore(a, b float64) float64 {
	if b > a {
		return b
	}
	return a
}

// parseCombination reads keys and options from the argument at i on.
func (c *client) parseCombination(v *crdt.View, i int, op sortedOp, storing bool) (q combination, ok bool) {
	n, ok := c.integer(i)
	switch {
	case !ok:
		return q, false
	case n < 1:
		c.fail("ERR at least 1 input key is needed for '" + c.cmd.name + "' command")
		return q, false
	case n > int64(len(c.args)-1-i):
		c.fail(errSyntax)
		return q, false
	}
	q.op, q.aggregate = op, sumScores
	for _, key := range c.args[i+1 : i+1+int(n)] {
		s := source{key: string(key), weight: 1}
		switch v.Kind(s.key) {
		case crdt.KindNone:
		case crdt.KindSorted:
			s.n, _ = v.SortedLen(s.key)
		case crdt.KindSet:
			s.n, _ = v.SetLen(s.key)
			s.plain = true
		default:
			c.fail(errWrongType)
			return q, false
		}
		q.from = append(q.from, s)
	}
	return q, c.combinationOptions(&q, i+1+int(n), storing)
}

func (c *client) combinationOptions(q *combination, i int, storing bool) (ok bool) {
	for ; i < len(c.args); i++ {
		word, more := strings.ToLower(string(c.args[i][:min(len(c.args[i]), len("withscores")+1)])), len(c.args)-1-i
		switch weighs := q.op == opUnion || q.op == opInter; {
		case word == "weights" && weighs && more >= len(q.from):
			for k := range q.from {
				i++
				if q.from[k].weight, ok = parseFloat(c.args[i]); !ok {
					c.fail("ERR weight value is not a float")
					return false
				}
			}
		case word == "aggregate" && weighs && more >= 1:
			i++
			if q.aggregate = aggregates[lowerWord(c.args[i])]; q.aggregate == nil {
				c.fail(errSyntax)
				return false
			}
		case word == "withscores" && !storing && q.op != opInterCard:
			q.withScores = true
		case word == "limit" && q.op == opInterCard && more >= 1:
			i++
			if q.limit, ok = parseInt(c.args[i]); !ok || q.limit < 0 {
				c.fail("ERR LIMIT can't be negative")
				return false
			}
		default:
			c.fail(errSyntax)
			return false
		}
	}
	return true
}

// run gives the result in no order. Sums are taken from the smallest set on, as Redis takes them. As there, zero times infinity counts 0,
// but in the second and later sets of an intersection it is no number: a sum with it is 0, and MIN and MAX pass over it.
func (q *combination) run(v *crdt.View, fn func(member string, score float64) bool) {
	from := slices.Clone(q.from)
	if q.op != opDiff {
		slices.SortStableFunc(from, func(a, b source) int { return cmp.Compare(a.n, b.n) })
	}
	switch q.op {
	case opUnion:
		more := true
		for i := 0; i < len(from) && more; i++ {
			from[i].each(v, func(member string, score float64) bool {
				score = orZero(score)
				if hasAny(v, from[:i], member) {
					return true
				}
				for k := i + 1; k < len(from); k++ {
					if x, ok := from[k].score(v, member); ok {
						score = q.aggregate(score, orZero(x))
					}
				}
				more = fn(member, score)
				return more
			})
		}
	case opDiff:
		from[0].each(v, func(member string, score float64) bool {
			return hasAny(v, from[1:], member) || fn(member, score)
		})
	default:
		from[0].each(v, func(member string, score float64) bool {
			score = orZero(score)
			for k := 1; k < len(from); k++ {
				x, ok := from[k].score(v, member)
				if !ok {
					return true
				}
				score = q.aggregate(score, x)
			}
			return fn(member, score)
		})
	}
}

func hasAny(v *crdt.View, in []source, member string) bool {
	return slices.ContainsFunc(in, func(s source) bool {
		_, ok := s.score(v, member)
		return ok
	})
}

// result lists the result in order, up to the size of a reply; beyond it answers so.
func (c *client) result(v *crdt.View, q combination) (all []member, ok bool) {
	const perMember = 24 // of the slice
	size := 0
	q.run(v, func(name string, score float64) bool {
		size += len(name) + perMember
		all = append(all, member{name, score})
		return size <= c.limitBytes
	})
	if size > c.limitBytes {
		c.failf("ERR the result is larger than %d bytes; combine smaller sets, or read them in parts with ZSCAN", c.limitBytes)
		return nil, false
	}
	slices.SortFunc(all, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.score, b.score), strings.Compare(a.name, b.name))
	})
	return all, true
}

func (c *client) combineSorted(v *crdt.View, op sortedOp) {
	q, ok := c.parseCombination(v, 1, op, false)
	if !ok {
		return
	}
	if op == opInterCard {
		n := int64(0)
		q.run(v, func(string, float64) bool {
			n++
			return n != q.limit
		})
		c.int(n)
		return
	}
	if all, ok := c.result(v, q); ok {
		c.scored(all, q.withScores, c.resp3)
	}
}

func (c *client) combineSortedStore(tx *crdt.Tx, op sortedOp) {
	q, ok := c.parseCombination(&tx.View, 2, op, true)
	if !ok {
		return
	}
	if all, ok := c.result(&tx.View, q); ok {
		c.storeMembers(tx, string(c.args[1]), all)
	}
}

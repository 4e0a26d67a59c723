package resp

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

const scoreNote = "The last ZADD of a member wins; increments add up, also with a concurrent ZADD. An add wins over a concurrent remove, and a remove takes away what it had seen."

func sortedCommands() []*command {
	return []*command{
		{name: "zadd", arity: -4, flags: "write denyoom fast", keys: oneKey("RW update"),
			group: "sorted-set", since: "1.2.0", cost: "O(log(N)) for each member of a sorted set of N",
			summary: "Gives members of a sorted set their scores.",
			note:    scoreNote + " NX, XX, GT and LT look at this node alone.", write: zadd},
		{name: "zincrby", arity: 4, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "sorted-set", since: "1.2.0", cost: "O(log(N)) for a sorted set of N",
			summary: "Adds to the score of a member.",
			note:    scoreNote + " Sums are exact and rounded once, so replicas agree to the last bit; a sum that is infinite is written like a ZADD.", write: zincrBy},
		{name: "zrem", arity: -3, flags: "write fast", keys: oneKey("RW delete"),
			group: "sorted-set", since: "1.2.0", cost: "O(M*log(N)) for M members of a sorted set of N",
			summary: "Removes members from a sorted set.",
			note:    scoreNote, write: zrem},
		{name: "zscore", arity: 3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "sorted-set", since: "1.2.0", cost: "O(1)",
			summary: "Tells the score of a member.", read: zscore},
		{name: "zmscore", arity: -3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "sorted-set", since: "6.2.0", cost: "O(N) for N members",
			summary: "Tells the scores of several members.", read: zmscore},
		{name: "zcard", arity: 2, flags: "readonly fast", keys: oneKey("RO"),
			group: "sorted-set", since: "1.2.0", cost: "O(1)",
			summary: "Counts the members of a sorted set.", read: zcard},
		{name: "zrank", arity: 3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "sorted-set", since: "2.0.0", cost: "O(log(N)) for a sorted set of N",
			summary: "Counts the members before one.", read: func(c *client, v *crdt.View) { c.rank(v, false) }},
		{name: "zrevrank", arity: 3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "sorted-set", since: "2.0.0", cost: "O(log(N)) for a sorted set of N",
			summary: "Counts the members behind one.", read: func(c *client, v *crdt.View) { c.rank(v, true) }},
		{name: "zcount", arity: 4, flags: "readonly fast", keys: oneKey("RO access"),
			group: "sorted-set", since: "2.0.0", cost: "O(log(N)) for a sorted set of N",
			summary: "Counts the members with scores in a range.", read: zcount},
		{name: "zlexcount", arity: 4, flags: "readonly fast", keys: oneKey("RO access"),
			group: "sorted-set", since: "2.8.9", cost: "O(log(N)) for a sorted set of N",
			summary: "Counts the members in a range of names, where all have one score.", read: zlexCount},
		{name: "zscan", arity: -3, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output", group: "sorted-set", since: "2.8.0", cost: "O(1) a call, O(N) for a whole sorted set of N",
			summary: "Walks over the members of a sorted set in steps.", read: zscan},
		{name: "zrandmember", arity: -2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output", group: "sorted-set", since: "6.2.0", cost: "O(N) for N members",
			summary: "Picks random members of a sorted set.", read: zrandMember},
		{name: "zpopmin", arity: -2, flags: "write fast", keys: oneKey("RW access delete"),
			group: "sorted-set", since: "5.0.0", cost: "O(M*log(N)) for M members of a sorted set of N",
			summary: "Removes the members with the lowest scores and returns them.",
			note:    popNote, write: func(c *client, tx *crdt.Tx) { c.popSorted(tx, false) }},
		{name: "zpopmax", arity: -2, flags: "write fast", keys: oneKey("RW access delete"),
			group: "sorted-set", since: "5.0.0", cost: "O(M*log(N)) for M members of a sorted set of N",
			summary: "Removes the members with the highest scores and returns them.",
			note:    popNote, write: func(c *client, tx *crdt.Tx) { c.popSorted(tx, true) }},
		{name: "zmpop", arity: -4, flags: "write movablekeys", keys: countedKeys(1, "RW access delete"),
			group: "sorted-set", since: "7.0.0", cost: "O(K) + O(M*log(N)) for K keys and M members of a sorted set of N",
			summary: "Removes members from the first of several sorted sets that has any.",
			note:    popNote, write: zmpop},
	}
}

const popNote = "Removes what this node has seen: two nodes that do not hear of each other may pop the same member."

// errNotNumber answers a score that would be no number.
const errScoreNaN = "ERR resulting score is not a number (NaN)"

// parseFloat reads a number as C's strtod does, whole: decimal or hexadecimal, or an infinity. What does not fit, or is no number,
// is refused.
func parseFloat(b []byte) (f float64, ok bool) {
	if len(b) == 0 || len(b) > floatBytesMax {
		return 0, false
	}
	f, ok = strtod(b)
	if !ok || math.IsInf(f, 0) != isInfinite(b) {
		return 0, false
	}
	return f, f != 0 || !underflows(b)
}

// floatBytesMax bounds the text of a number.
const floatBytesMax = 1 << 10

// strtod reads a number; what is too large is an infinity.
func strtod(b []byte) (f float64, ok bool) {
	s := strings.ToLower(string(b))
	if strings.ContainsAny(s, "_") || strings.Contains(s, "nan") {
		return 0, false
	}
	if digits := strings.TrimLeft(s, "+-"); strings.HasPrefix(digits, "0x") && !strings.Contains(s, "p") {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// underflows reports whether a number that reads as 0 is not: it has another digit before its exponent.
func underflows(b []byte) bool {
	s := strings.ToLower(string(b))
	end := "e"
	if strings.Contains(s, "x") {
		end = "p"
	}
	digits, _, _ := strings.Cut(s, end)
	return strings.ContainsAny(digits, "123456789abcdef")
}

// float reads the argument at i, or answers that it is no number.
func (c *client) float(i int) (f float64, ok bool) {
	if f, ok = parseFloat(c.args[i]); !ok {
		c.fail(errNotFloat)
	}
	return f, ok
}

// addOptions are what ZADD takes before scores.
type addOptions struct {
	nx, xx, gt, lt, changed, incr bool
	from                          int // of the first score
}

func (c *client) parseAddOptions() (o addOptions, ok bool) {
	words := map[string]*bool{"nx": &o.nx, "xx": &o.xx, "gt": &o.gt, "lt": &o.lt, "ch": &o.changed, "incr": &o.incr}
	for o.from = 2; o.from < len(c.args); o.from++ {
		word := words[lowerWord(c.args[o.from])]
		if word == nil {
			break
		}
		*word = true
	}
	n := len(c.args) - o.from
	switch {
	case n == 0 || n%2 != 0:
		c.fail(errSyntax)
	case o.nx && o.xx:
		c.fail("ERR XX and NX options at the same time are not compatible")
	case o.gt && o.nx || o.lt && o.nx || o.gt && o.lt:
		c.fail("ERR GT, LT, and/or NX options at the same time are not compatible")
	case o.incr && n > 2:
		c.fail("ERR INCR option supports a single increment-element pair")
	default:
		return o, true
	}
	return o, false
}

func zadd(c *client, tx *crdt.Tx) {
	o, ok := c.parseAddOptions()
	if !ok {
		return
	}
	for i := o.from; i < len(c.args); i += 2 {
		if _, ok := c.float(i); !ok {
			return
		}
	}
	if !c.partsFit("a member", o.from+1, 2) || (o.nx || o.xx) && !c.localCheckAllowed("zadd") {
		return
	}
	c.addScores(tx, o)
}

func (c *client) addScores(tx *crdt.Tx, o addOptions) {
	key := string(c.args[1])
	if _, err := tx.SortedLen(key); err != nil {
		c.fail(errWrongType)
		return
	}
	added, changed, done := int64(0), int64(0), false
	var score float64
	for i := o.from; i < len(c.args); i += 2 {
		member := string(c.args[i+1])
		delta, _ := parseFloat(c.args[i])
		have, there, _ := tx.SortedScore(key, member)
		if score = delta; o.incr {
			score += have
		}
		switch {
		case math.IsNaN(score):
			c.fail(errScoreNaN)
			return
		case there && (o.nx || o.gt && score <= have || o.lt && score >= have) || !there && o.xx:
			continue
		case o.incr:
			_, _ = tx.SortedIncr(key, member, delta)
		default: // also where the score is as it was: a concurrent remove must not take it
			_, _ = tx.SortedSet(key, member, score)
		}
		done = true
		if !there {
			added++
		} else if score != have {
			changed++
		}
	}
	switch {
	case o.incr && done:
		c.double(score)
	case o.incr:
		c.null()
	case o.changed:
		c.int(added + changed)
	default:
		c.int(added)
	}
}

func zincrBy(c *client, tx *crdt.Tx) {
	delta, ok := c.float(2)
	if !ok || !c.partsFit("a member", 3, 1) {
		return
	}
	score, err := tx.SortedIncr(string(c.args[1]), string(c.args[3]), delta)
	switch {
	case errors.Is(err, crdt.ErrWrongType):
		c.fail(errWrongType)
	case errors.Is(err, crdt.ErrNotScore):
		c.fail(errScoreNaN)
	case err != nil:
		c.fail("ERR " + err.Error())
	default:
		c.double(score)
	}
}

func zrem(c *client, tx *crdt.Tx) {
	c.countEach(2, 1, func(key string, i int) (bool, error) { return tx.SortedRemove(key, string(c.args[i])) })
}

func zscore(c *client, v *crdt.View) {
	score, ok, err := v.SortedScore(view(c.args[1]), view(c.args[2]))
	c.score(score, ok, err)
}

// score answers with a score, null, or WRONGTYPE.
func (c *client) score(score float64, ok bool, err error) {
	switch {
	case err != nil:
		c.fail(errWrongType)
	case !ok:
		c.null()
	default:
		c.double(score)
	}
}

// sortedLen counts the members, or answers WRONGTYPE.
func (c *client) sortedLen(v *crdt.View, key string) (n int, ok bool) {
	n, err := v.SortedLen(key)
	if err != nil {
		c.fail(errWrongType)
	}
	return n, err == nil
}

func zmscore(c *client, v *crdt.View) {
	key := view(c.args[1])
	if _, ok := c.sortedLen(v, key); !ok {
		return
	}
	c.array(len(c.args) - 2)
	for _, member := range c.args[2:] {
		c.score(v.SortedScore(key, view(member)))
	}
}

func zcard(c *client, v *crdt.View) {
	if n, ok := c.sortedLen(v, view(c.args[1])); ok {
		c.int(int64(n))
	}
}

func (c *client) rank(v *crdt.View, back bool) {
	key := view(c.args[1])
	n, ok := c.sortedLen(v, key)
	if !ok {
		return
	}
	rank, ok, _ := v.SortedRank(key, view(c.args[2]))
	switch {
	case !ok:
		c.null()
	case back:
		c.int(int64(n - 1 - rank))
	default:
		c.int(int64(rank))
	}
}

func zcount(c *client, v *crdt.View) { c.countSorted(v, byScore) }

func zlexCount(c *client, v *crdt.View) { c.countSorted(v, byName) }

func (c *client) countSorted(v *crdt.View, by rangeBy) {
	r, ok := c.sortedRange(by, 2, 3)
	if !ok {
		return
	}
	n, ok := c.sortedLen(v, view(c.args[1]))
	if !ok {
		return
	}
	from, to := r.ranks(v, view(c.args[1]), n)
	c.int(int64(to - from))
}

func zscan(c *client, v *crdt.View) {
	key := view(c.args[1])
	c.scanParts(v, key, crdt.KindSorted, func(s scan) (uint64, []string) {
		var found []string
		next, _ := v.SortedScan(key, s.cursor, s.count, func(member string, score float64) {
			if s.matches(member) {
				found = append(found, member, string(appendDouble(nil, score)))
			}
		})
		return next, found
	})
}

// sortedParts are members with their scores as values.
func sortedParts(v *crdt.View, key string) (p parts, err error) {
	p.n, err = v.SortedLen(key)
	p.each = func(fn func(string, []byte) bool) {
		_ = v.SortedEach(key, 0, false, func(member []byte, score float64) bool {
			return fn(string(member), appendDouble(nil, score))
		})
	}
	p.scan = func(cursor uint64, count int, fn func(string, []byte)) uint64 {
		next, _ := v.SortedScan(key, cursor, count, func(member string, score float64) {
			fn(member, appendDouble(nil, score))
		})
		return next
	}
	return p, err
}

func zrandMember(c *client, v *crdt.View) {
	var count int64
	withScores := false
	if len(c.args) > 2 {
		var ok bool
		if count, ok = c.randomCount(2); !ok {
			return
		}
		if withScores = len(c.args) == 4; len(c.args) > 4 || withScores && !equalFold(c.args[3], "withscores") {
			c.fail(errSyntax)
			return
		}
		if withScores && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
			c.fail("ERR value is out of range")
			return
		}
	}
	p, err := sortedParts(v, view(c.args[1]))
	if err != nil || !withScores {
		c.random(p, err, count, false)
		return
	}
	width := 2
	if c.resp3 {
		width = 1
	}
	c.picks(p, count, width, func(x part) {
		if c.resp3 {
			c.array(2)
		}
		c.bulkString(x.name)
		c.typedLine(',', x.val)
	})
}

// positive reads a count of 0 or more.
func (c *client) positive(i int) (n int64, ok bool) {
	if n, ok = parseInt(c.args[i]); !ok || n < 0 {
		c.fail("ERR value is out of range, must be positive")
		return 0, false
	}
	return n, ok
}

// popSorted is ZPOPMIN and ZPOPMAX.
func (c *client) popSorted(tx *crdt.Tx, back bool) {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	count, counted, ok := int64(1), len(c.args) == 3, true
	if counted {
		if count, ok = c.positive(2); !ok {
			return
		}
	}
	key := string(c.args[1])
	n, ok := c.sortedLen(&tx.View, key)
	if !ok {
		return
	}
	members := takeEnd(tx, key, n, int(min(count, int64(n))), back)
	c.scored(members, true, c.resp3 && counted)
	c.removeMembers(tx, key, n, members)
}

// member is one of a sorted set, with its score.
type member struct {
	name  string
	score float64
}

// takeEnd lists the count first or last of n members.
func takeEnd(tx *crdt.Tx, key string, n, count int, back bool) []member {
	from := 0
	if back {
		from = n - 1
	}
	return membersFrom(&tx.View, key, from, count, back)
}

func membersFrom(v *crdt.View, key string, from, count int, back bool) []member {
	if count <= 0 {
		return nil
	}
	out := make([]member, 0, count)
	_ = v.SortedEach(key, from, back, func(name []byte, score float64) bool {
		out = append(out, member{string(name), score})
		return len(out) < count
	})
	return out
}

// removeMembers takes members out of n, if the client learns of them.
func (c *client) removeMembers(tx *crdt.Tx, key string, n int, members []member) {
	switch {
	case c.overflowed:
	case len(members) == n && n > 0:
		tx.Del(key)
	default:
		for _, m := range members {
			_, _ = tx.SortedRemove(key, m.name)
		}
	}
}

// scored answers with members, with their scores if so asked, each in an array of its own if nested.
func (c *client) scored(members []member, withScores, nested bool) {
	n := len(members)
	if withScores && !nested {
		n *= 2
	}
	c.array(n)
	for i := range members {
		if c.oneScored(members[i].name, members[i].score, withScores, nested); c.overflowed {
			return
		}
	}
}

func (c *client) oneScored(name string, score float64, withScores, nested bool) {
	if withScores && nested {
		c.array(2)
	}
	if c.bulkString(name); withScores {
		c.double(score)
	}
}

func zmpop(c *client, tx *crdt.Tx) { c.popSet(tx, false) }

// popSet is ZMPOP, or BZMPOP, which has a timeout as its first argument.
func (c *client) popSet(tx *crdt.Tx, waits bool) {
	c.popFirst(waits, "min", "max", tx.SortedLen, func(key string, n int, q mpop) {
		members := takeEnd(tx, key, n, int(min(q.count, int64(n))), q.back)
		c.array(2)
		c.bulkString(key)
		c.scored(members, true, true)
		c.removeMembers(tx, key, n, members)
	})
}

// mpop is what LMPOP and ZMPOP ask for.
type mpop struct {
	keys     [][]byte
	back     bool
	count    int64
	deadline time.Time
}

// popFirst runs take on the first of several keys that holds something, and waits or answers nothing where none does.
func (c *client) popFirst(waits bool, first, last string, length func(key string) (int, error), take func(key string, n int, q mpop)) {
	q, ok := c.mpopArgs(waits, first, last)
	if !ok {
		return
	}
	key, n, ok := c.firstFilled(q.keys, length)
	switch {
	case !ok:
	case n == 0 && waits:
		c.park(q.keys, q.deadline, c.nullArray)
	case n == 0:
		c.nullArray()
	default:
		take(key, n, q)
	}
}

// mpopArgs reads keys, which end to take from, how many, and, of a command that waits, how long.
func (c *client) mpopArgs(waits bool, first, last string) (q mpop, ok bool) {
	i := 1
	if waits {
		i = 2
	}
	n, isInt := parseInt(c.args[i])
	switch {
	case !isInt || n < 1:
		c.fail("ERR numkeys should be greater than 0")
		return q, false
	case n > int64(len(c.args)-i-2):
		c.fail(errSyntax)
		return q, false
	}
	rest := i + 1 + int(n)
	q.keys, q.count = c.args[i+1:rest], 1
	if q.back = equalFold(c.args[rest], last); !q.back && !equalFold(c.args[rest], first) {
		c.fail(errSyntax)
		return q, false
	}
	for k := rest + 1; k < len(c.args); k += 2 {
		if k > rest+1 || k+1 == len(c.args) || !equalFold(c.args[k], "count") {
			c.fail(errSyntax)
			return q, false
		}
		if q.count, isInt = parseInt(c.args[k+1]); !isInt || q.count < 1 {
			c.fail("ERR count should be greater than 0")
			return q, false
		}
	}
	if waits {
		q.deadline, ok = c.timeout(1)
		return q, ok
	}
	return q, true
}

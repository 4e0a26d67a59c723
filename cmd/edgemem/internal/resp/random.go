package resp

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

func randomCommands() []*command {
	return []*command{
		{name: "spop", arity: -2, flags: "write fast", keys: oneKey("RW access delete"),
			tips: "nondeterministic_output", group: "set", since: "1.0.0", cost: "O(N) for N members",
			summary: "Removes random members of a set and returns them.",
			note:    "Removes what this node has seen: two nodes that do not hear of each other may pop the same member.", write: spop},
		{name: "srandmember", arity: -2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output", group: "set", since: "1.0.0", cost: "O(N) for N members",
			summary: "Picks random members of a set.", read: srandMember},
		{name: "hrandfield", arity: -2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output", group: "hash", since: "6.2.0", cost: "O(N) for N fields",
			summary: "Picks random fields of a map.", read: hrandField},
		{name: "randomkey", arity: 1, flags: "readonly",
			tips: "request_policy:all_shards nondeterministic_output", group: "generic", since: "1.0.0", cost: "O(1)",
			summary: "Picks a random key.",
			note:    localView, read: randomKey},
	}
}

// parts are the members or fields of one entry, to be picked from.
type parts struct {
	n    int
	each func(fn func(name string, val []byte) bool)
	scan func(cursor uint64, count int, fn func(name string, val []byte)) (next uint64)
}

type part struct {
	name string
	val  []byte
}

func setParts(v *crdt.View, key string) (p parts, err error) {
	p.n, err = v.SetLen(key)
	p.each = func(fn func(string, []byte) bool) {
		_ = v.SetEach(key, func(member string) bool { return fn(member, nil) })
	}
	p.scan = func(cursor uint64, count int, fn func(string, []byte)) uint64 {
		next, _ := v.SetScan(key, cursor, count, func(member string) { fn(member, nil) })
		return next
	}
	return p, err
}

func mapParts(v *crdt.View, key string) (p parts, err error) {
	p.n, err = v.MapLen(key)
	p.each = func(fn func(string, []byte) bool) { _ = v.MapEach(key, fn) }
	p.scan = func(cursor uint64, count int, fn func(string, []byte)) uint64 {
		next, _ := v.MapScan(key, cursor, count, fn)
		return next
	}
	return p, err
}

const (
	// pickDensity decides how to pick: where one in so many is wanted, or more, one walk over all gives each the same chance.
	// Otherwise a walk begins at a random place for each pick, and the pick is one of the next pickWindow.
	pickDensity = 64
	pickWindow  = 32
	// picksMax bounds what is picked into memory at once.
	picksMax = 1 << 20
)

// one picks one part of at least one.
func (p parts) one() (out part) {
	if p.n <= pickDensity {
		left := rand.IntN(p.n)
		p.each(func(name string, val []byte) bool {
			out = part{name, val}
			left--
			return left >= 0
		})
		return out
	}
	var found []part
	for cursor := rand.Uint64(); len(found) < pickWindow; { // from the end on at the beginning, so that the first have the same chance
		cursor = p.scan(cursor, pickWindow, func(name string, val []byte) { found = append(found, part{name, val}) })
	}
	return found[rand.IntN(len(found))]
}

// distinct gives count different ones to fn, where there are more.
func (p parts) distinct(count int, fn func(part) bool) {
	if count*pickDensity < p.n {
		for seen := map[string]bool{}; len(seen) < count; {
			if x := p.one(); !seen[x.name] {
				seen[x.name] = true
				if !fn(x) {
					return
				}
			}
		}
		return
	}
	left := p.n
	p.each(func(name string, val []byte) bool {
		take := rand.IntN(left) < count
		left--
		if take {
			count--
			return fn(part{name, val}) && count > 0
		}
		return true
	})
}

// repeated gives count to fn, among which there may be some twice.
func (p parts) repeated(count int, fn func(part) bool) {
	if count*pickDensity < p.n {
		for range count {
			if !fn(p.one()) {
				return
			}
		}
		return
	}
	order := make([]int, count)
	for i := range order {
		order[i] = rand.IntN(p.n)
	}
	slices.Sort(order)
	picked, at := make([]part, 0, count), 0
	p.each(func(name string, val []byte) bool {
		for len(picked) < count && order[len(picked)] == at {
			picked = append(picked, part{name, val})
		}
		at++
		return len(picked) < count
	})
	rand.Shuffle(count, func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	for _, x := range picked {
		if !fn(x) {
			return
		}
	}
}

// randomCount reads how many to pick; a negative number allows for repetition.
func (c *client) randomCount(i int) (n int64, ok bool) {
	n, ok = c.integer(i)
	if ok && n == math.MinInt64 {
		c.fail("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
		return 0, false
	}
	return n, ok
}

// picks answers with count parts as an array of which each writes one, of width replies.
func (c *client) picks(p parts, count int64, width int, write func(part)) {
	if count < -picksMax {
		c.failf("ERR value is out of range: at most %d random picks at once", picksMax)
		return
	}
	n := 0
	at := c.openHeader()
	one := func(x part) bool {
		n++
		write(x)
		return !c.overflowed
	}
	switch {
	case p.n == 0 || count == 0:
	case count < 0:
		p.repeated(int(-count), one)
	case count >= int64(p.n):
		p.each(func(name string, val []byte) bool { return one(part{name, val}) })
	default:
		p.distinct(int(count), one)
	}
	c.closeArray(at, n*width)
}

func spop(c *client, tx *crdt.Tx) {
	key, count := string(c.args[1]), int64(1)
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	if len(c.args) == 3 {
		var ok bool
		if count, ok = parseInt(c.args[2]); !ok || count < 0 {
			c.fail("ERR value is out of range, must be positive")
			return
		}
	}
	p, err := setParts(&tx.View, key)
	switch {
	case err != nil:
		c.fail(errWrongType)
	case len(c.args) == 2 && p.n == 0:
		c.null()
	case len(c.args) == 2:
		x := p.one()
		c.bulkString(x.name)
		_, _ = tx.SetRemove(key, x.name)
	default:
		c.spopSeveral(tx, key, p, count)
	}
}

func (c *client) spopSeveral(tx *crdt.Tx, key string, p parts, count int64) {
	all := count >= int64(p.n)
	if !all && count > picksMax {
		c.failf("ERR value is out of range: at most %d random picks at once", picksMax)
		return
	}
	var names []string
	one := func(x part) bool {
		if !all {
			names = append(names, x.name)
		}
		c.bulkString(x.name)
		return !c.overflowed
	}
	at := c.openHeader()
	switch {
	case count == 0 || p.n == 0:
		c.closeSet(at, 0)
		return
	case all:
		p.each(func(name string, val []byte) bool { return one(part{name, val}) })
	default:
		p.distinct(int(count), one)
	}
	c.closeSet(at, int(min(count, int64(p.n))))
	if c.overflowed { // then the client does not learn what was taken
		return
	}
	if all {
		tx.Del(key)
	}
	for _, name := range names {
		_, _ = tx.SetRemove(key, name)
	}
}

func srandMember(c *client, v *crdt.View) {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	var count int64
	if len(c.args) == 3 {
		var ok bool
		if count, ok = c.randomCount(2); !ok {
			return
		}
	}
	p, err := setParts(v, view(c.args[1]))
	c.random(p, err, count, false)
}

// random answers SRANDMEMBER and HRANDFIELD: one or null without a count, else an array.
func (c *client) random(p parts, err error, count int64, withValues bool) {
	switch {
	case err != nil:
		c.fail(errWrongType)
	case len(c.args) == 2 && p.n == 0:
		c.null()
	case len(c.args) == 2:
		c.bulkString(p.one().name)
	case withValues && c.resp3:
		c.picks(p, count, 1, func(x part) {
			c.array(2)
			c.bulkString(x.name)
			c.bulk(x.val)
		})
	case withValues:
		c.picks(p, count, 2, func(x part) {
			c.bulkString(x.name)
			c.bulk(x.val)
		})
	default:
		c.picks(p, count, 1, func(x part) { c.bulkString(x.name) })
	}
}

func hrandField(c *client, v *crdt.View) {
	var count int64
	withValues := false
	if len(c.args) > 2 {
		var ok bool
		if count, ok = c.randomCount(2); !ok {
			return
		}
		if withValues = len(c.args) == 4; len(c.args) > 4 || withValues && !equalFold(c.args[3], "withvalues") {
			c.fail(errSyntax)
			return
		}
		if withValues && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
			c.fail("ERR value is out of range")
			return
		}
	}
	p, err := mapParts(v, view(c.args[1]))
	c.random(p, err, count, withValues)
}

// randomKeyTries is how many windows RANDOMKEY looks through, from a random place on, before it gives up: keys that have
// expired and were not swept yet may fill them.
const randomKeyTries = 1 << 10

func randomKey(c *client, v *crdt.View) {
	var found []string
	cursor, window := rand.Uint64(), pickWindow
	if v.Len() <= pickDensity {
		cursor, window = 0, pickDensity
	}
	for try := 0; try < randomKeyTries && len(found) < window; try++ {
		cursor = v.Scan(cursor, window, func(key string, _ crdt.Kind) { found = append(found, key) })
		if cursor == 0 && v.Len() <= pickDensity {
			break
		}
	}
	if len(found) == 0 {
		c.null()
		return
	}
	c.bulkString(found[rand.IntN(len(found))])
}

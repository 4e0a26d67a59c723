package resp

import (
	"github.com/edgemem/edgemem/crdt"
)

const storesObserved = "What this node has seen at the destination goes, then the members are added: a member added there concurrently elsewhere stays."

func setOpCommands() []*command {
	const cost = "O(N) for N members of all sets together, times the sets"
	read := func(name, summary string, op setOp) *command {
		return &command{name: name, arity: -2, flags: "readonly", keys: allKeys("RO access"), tips: "nondeterministic_output_order",
			group: "set", since: "1.0.0", cost: cost, summary: summary, note: stableOrder, read: func(c *client, v *crdt.View) { c.setOp(v, op) }}
	}
	store := func(name, access, summary string, op setOp) *command {
		return &command{name: name, arity: -3, flags: "write denyoom", keys: keyRoles(keyAt(1, access), keysFrom(2, "RO access")),
			group: "set", since: "1.0.0", cost: cost, summary: summary, note: storesObserved,
			write: func(c *client, tx *crdt.Tx) { c.setOpStore(tx, op) }}
	}
	return []*command{
		read("sinter", "Lists the members that all of several sets have.", interEach),
		read("sunion", "Lists the members that any of several sets has.", unionEach),
		read("sdiff", "Lists the members of the first set that no other has.", diffEach),
		store("sinterstore", "RW update", "Stores the members that all of several sets have.", interEach),
		store("sunionstore", "OW update", "Stores the members that any of several sets has.", unionEach),
		store("sdiffstore", "OW update", "Stores the members of the first set that no other has.", diffEach),
		{name: "sintercard", arity: -3, flags: "readonly movablekeys", keys: countedKeys(1, "RO access"),
			group: "set", since: "7.0.0", cost: cost,
			summary: "Counts the members that all of several sets have, up to a limit.", read: sinterCard},
		{name: "smove", arity: 4, flags: "write fast", keys: keyRoles(keyAt(1, "RW access delete"), keyAt(2, "RW insert")),
			group: "set", since: "1.0.0", cost: "O(1)",
			summary: "Moves a member from one set to another.",
			note:    addWins + " Moved concurrently to two sets, a member is in both.", write: smove},
	}
}

// setOp calls fn on each member of a result until it returns false.
type setOp func(v *crdt.View, keys [][]byte, fn func(member string) bool)

// allSets answers WRONGTYPE unless every key is a set or absent.
func (c *client) allSets(v *crdt.View, keys [][]byte) bool {
	for _, key := range keys {
		if _, err := v.SetLen(view(key)); err != nil {
			c.fail(errWrongType)
			return false
		}
	}
	return true
}

// interEach walks over the smallest set.
func interEach(v *crdt.View, keys [][]byte, fn func(member string) bool) {
	smallest, least := 0, -1
	for i, key := range keys {
		if n, _ := v.SetLen(view(key)); least < 0 || n < least {
			smallest, least = i, n
		}
	}
	if least == 0 {
		return
	}
	_ = v.SetEach(view(keys[smallest]), func(member string) bool {
		for i, key := range keys {
			if has, _ := v.SetHas(view(key), member); i != smallest && !has {
				return true
			}
		}
		return fn(member)
	})
}

// unionEach leaves out what an earlier set has, so that it need not remember what it gave.
func unionEach(v *crdt.View, keys [][]byte, fn func(member string) bool) {
	more := true
	for i := 0; i < len(keys) && more; i++ {
		_ = v.SetEach(view(keys[i]), func(member string) bool {
			if !anyHas(v, keys[:i], member) {
				more = fn(member)
			}
			return more
		})
	}
}

func diffEach(v *crdt.View, keys [][]byte, fn func(member string) bool) {
	_ = v.SetEach(view(keys[0]), func(member string) bool {
		return anyHas(v, keys[1:], member) || fn(member)
	})
}

func anyHas(v *crdt.View, keys [][]byte, member string) bool {
	for _, key := range keys {
		if has, _ := v.SetHas(view(key), member); has {
			return true
		}
	}
	return false
}

// setOp answers with a result as it is found: the reply is all the memory that it takes.
func (c *client) setOp(v *crdt.View, op setOp) {
	if !c.allSets(v, c.args[1:]) {
		return
	}
	n := 0
	at := c.openHeader()
	op(v, c.args[1:], func(member string) bool {
		n++
		c.bulkString(member)
		return !c.overflowed
	})
	c.closeSet(at, n)
}

func (c *client) setOpStore(tx *crdt.Tx, op setOp) {
	if !c.allSets(&tx.View, c.args[2:]) {
		return
	}
	members, ok := c.gather(func(fn func(member string) bool) { op(&tx.View, c.args[2:], fn) })
	if !ok {
		return
	}
	dest := string(c.args[1])
	tx.Del(dest)
	for _, member := range members {
		_, _ = tx.SetAdd(dest, member) // absent, and of a size that some set has
	}
	c.int(int64(len(members)))
}

// gather collects what each gives, up to the size of a reply; beyond it answers so.
func (c *client) gather(each func(fn func(name string) bool)) (all []string, ok bool) {
	const perName = 16 // of the slice
	size := 0
	each(func(name string) bool {
		size += len(name) + perName
		all = append(all, name)
		return size <= c.limitBytes
	})
	if size > c.limitBytes {
		c.failf("ERR the result is larger than %d bytes; combine smaller sets, or read them in parts with SSCAN", c.limitBytes)
		return nil, false
	}
	return all, true
}

func sinterCard(c *client, v *crdt.View) {
	keys, rest, ok := c.countedKeys(1, "ERR numkeys should be greater than 0", "ERR Number of keys can't be greater than number of args")
	if !ok {
		return
	}
	limit := int64(0)
	for i := rest; i < len(c.args); i += 2 {
		if !equalFold(c.args[i], "limit") || i+1 == len(c.args) {
			c.fail(errSyntax)
			return
		}
		if limit, ok = parseInt(c.args[i+1]); !ok || limit < 0 {
			c.fail("ERR LIMIT can't be negative")
			return
		}
	}
	if !c.allSets(v, keys) {
		return
	}
	n := int64(0)
	interEach(v, keys, func(string) bool {
		n++
		return n != limit
	})
	c.int(n)
}

// countedKeys reads as many keys as the argument at i says, or answers what is wrong with that. rest is where the
// arguments behind them begin.
func (c *client) countedKeys(i int, notPositive, tooMany string) (keys [][]byte, rest int, ok bool) {
	n, isInt := parseInt(c.args[i])
	switch {
	case !isInt || n < 1:
		c.fail(notPositive)
	case n > int64(len(c.args)-1-i):
		c.fail(tooMany)
	default:
		rest = i + 1 + int(n)
		return c.args[i+1 : rest], rest, true
	}
	return nil, 0, false
}

func smove(c *client, tx *crdt.Tx) {
	from, to, member := string(c.args[1]), string(c.args[2]), string(c.args[3])
	has, err := tx.SetHas(from, member)
	_, errTo := tx.SetLen(to)
	switch {
	case err == nil && tx.Kind(from) == crdt.KindNone:
		c.int(0)
	case err != nil || errTo != nil:
		c.fail(errWrongType)
	case !has || from == to:
		c.bool01(has)
	default:
		_, _ = tx.SetRemove(from, member)
		_, _ = tx.SetAdd(to, member) // of a size that the first set has
		c.int(1)
	}
}

package resp

import "github.com/edgemem/edgemem/crdt"

const addWins = "Add wins: a member added concurrently with its removal stays."

const stableOrder = "The order is the same on every replica."

func setCommands() []*command {
	return []*command{
		{name: "sadd", arity: -3, flags: "write denyoom fast", keys: oneKey("RW insert"),
			group: "set", since: "1.0.0", cost: "O(N) for N members",
			summary: "Adds members to a set.",
			note:    addWins, write: sadd},
		{name: "srem", arity: -3, flags: "write fast", keys: oneKey("RW delete"),
			group: "set", since: "1.0.0", cost: "O(N) for N members",
			summary: "Removes members from a set.",
			note:    addWins, write: srem},
		{name: "smembers", arity: 2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output_order", group: "set", since: "1.0.0", cost: "O(N) for a set of N",
			summary: "Lists the members of a set.",
			note:    stableOrder, read: smembers},
		{name: "sismember", arity: 3, flags: "readonly fast", keys: oneKey("RO"),
			group: "set", since: "1.0.0", cost: "O(1)",
			summary: "Tells whether a member is in a set.", read: sismember},
		{name: "smismember", arity: -3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "set", since: "6.2.0", cost: "O(N) for N members",
			summary: "Tells which of several members are in a set.", read: smismember},
		{name: "scard", arity: 2, flags: "readonly fast", keys: oneKey("RO"),
			group: "set", since: "1.0.0", cost: "O(1)",
			summary: "Counts the members of a set.", read: scard},
		{name: "sscan", arity: -3, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output", group: "set", since: "2.8.0", cost: "O(1) a call, O(N) for a whole set of N",
			summary: "Walks over the members of a set in steps.", read: sscan},
	}
}

func sadd(c *client, tx *crdt.Tx) {
	if !c.partsFit("a member", 2, 1) {
		return
	}
	c.countEach(2, 1, func(key string, i int) (bool, error) { return tx.SetAdd(key, string(c.args[i])) })
}

func srem(c *client, tx *crdt.Tx) {
	c.countEach(2, 1, func(key string, i int) (bool, error) { return tx.SetRemove(key, string(c.args[i])) })
}

// countEach calls do for every step-th argument from first on, and answers how often it said yes.
func (c *client) countEach(first, step int, do func(key string, i int) (bool, error)) {
	key, n := string(c.args[1]), int64(0)
	for i := first; i < len(c.args); i += step {
		yes, err := do(key, i)
		if err != nil {
			c.fail(errWrongType)
			return
		}
		if yes {
			n++
		}
	}
	c.int(n)
}

// partsFit refuses members and fields that no region can store.
func (c *client) partsFit(what string, first, step int) bool {
	for i := first; i < len(c.args); i += step {
		if n := len(c.args[i]); n > crdt.MaxKeyBytes {
			c.fail(tooLong(what, n, crdt.MaxKeyBytes))
			return false
		}
	}
	return true
}

func smembers(c *client, v *crdt.View) {
	key := view(c.args[1])
	n, err := v.SetLen(key)
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.setOf(n)
	_ = v.SetEach(key, func(member string) bool {
		c.bulkString(member)
		return !c.overflowed
	})
}

func sismember(c *client, v *crdt.View) {
	has, err := v.SetHas(view(c.args[1]), view(c.args[2]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.bool01(has)
}

func smismember(c *client, v *crdt.View) {
	key := view(c.args[1])
	if _, err := v.SetLen(key); err != nil {
		c.fail(errWrongType)
		return
	}
	c.array(len(c.args) - 2)
	for _, member := range c.args[2:] {
		has, _ := v.SetHas(key, view(member))
		c.bool01(has)
	}
}

func scard(c *client, v *crdt.View) {
	n, err := v.SetLen(view(c.args[1]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.int(int64(n))
}

func sscan(c *client, v *crdt.View) {
	key := view(c.args[1])
	c.scanParts(v, key, crdt.KindSet, func(s scan) (uint64, []string) {
		var found []string
		next, _ := v.SetScan(key, s.cursor, s.count, func(member string) {
			if s.matches(member) {
				found = append(found, member)
			}
		})
		return next, found
	})
}

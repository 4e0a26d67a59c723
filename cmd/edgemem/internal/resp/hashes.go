package resp

import (
	"bytes"

	"github.com/edgemem/edgemem/crdt"
)

const fieldNote = "Fields are apart from each other: writes to different fields never conflict. One field is a register or a counter, by what is done to it; a concurrent HDEL removes what it had seen."

func hashCommands() []*command {
	return []*command{
		{name: "hset", arity: -4, flags: "write denyoom fast", keys: oneKey("RW update"),
			group: "hash", since: "2.0.0", cost: "O(N) for N fields",
			summary: "Writes fields of a map.",
			note:    fieldNote, write: hset},
		{name: "hmset", arity: -4, flags: "write denyoom fast", keys: oneKey("RW update"),
			group: "hash", since: "2.0.0", cost: "O(N) for N fields",
			summary: "Writes fields of a map; HSET does the same and counts.",
			note:    fieldNote, write: hmset},
		{name: "hsetnx", arity: 4, flags: "write denyoom fast", keys: oneKey("RW insert"),
			group: "hash", since: "2.0.0", cost: "O(1)",
			summary: "Writes a field if it is absent.",
			note:    localCheck, write: hsetNX},
		{name: "hget", arity: 3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "hash", since: "2.0.0", cost: "O(1)",
			summary: "Reads a field of a map.", read: hget},
		{name: "hmget", arity: -3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "hash", since: "2.0.0", cost: "O(N) for N fields",
			summary: "Reads several fields of a map.", read: hmget},
		{name: "hgetall", arity: 2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output_order", group: "hash", since: "2.0.0", cost: "O(N) for a map of N",
			summary: "Lists the fields and values of a map.",
			note:    stableOrder, read: hgetall},
		{name: "hdel", arity: -3, flags: "write fast", keys: oneKey("RW delete"),
			group: "hash", since: "2.0.0", cost: "O(N) for N fields",
			summary: "Removes fields from a map.",
			note:    fieldNote, write: hdel},
		{name: "hlen", arity: 2, flags: "readonly fast", keys: oneKey("RO"),
			group: "hash", since: "2.0.0", cost: "O(1)",
			summary: "Counts the fields of a map.", read: hlen},
		{name: "hexists", arity: 3, flags: "readonly fast", keys: oneKey("RO"),
			group: "hash", since: "2.0.0", cost: "O(1)",
			summary: "Tells whether a field is in a map.", read: hexists},
		{name: "hkeys", arity: 2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output_order", group: "hash", since: "2.0.0", cost: "O(N) for a map of N",
			summary: "Lists the fields of a map.",
			note:    stableOrder, read: hkeys},
		{name: "hvals", arity: 2, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output_order", group: "hash", since: "2.0.0", cost: "O(N) for a map of N",
			summary: "Lists the values of a map.",
			note:    stableOrder, read: hvals},
		{name: "hstrlen", arity: 3, flags: "readonly fast", keys: oneKey("RO"),
			group: "hash", since: "3.2.0", cost: "O(1)",
			summary: "Counts the bytes of a field's value.", read: hstrlen},
		{name: "hincrby", arity: 4, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "hash", since: "2.0.0", cost: "O(1)",
			summary: "Adds to the integer in a field.",
			note:    counterNote, write: hincrBy},
		{name: "hincrbyfloat", arity: 4, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "hash", since: "2.6.0", cost: "O(1)",
			summary: "Adds a decimal to the number in a field.",
			note:    counterNote + " Sums are exact decimals.", write: hincrByFloat},
		{name: "hscan", arity: -3, flags: "readonly", keys: oneKey("RO access"),
			tips: "nondeterministic_output", group: "hash", since: "2.8.0", cost: "O(1) a call, O(N) for a whole map of N",
			summary: "Walks over the fields of a map in steps.", read: hscan},
	}
}

func hset(c *client, tx *crdt.Tx) {
	if c.fieldsFit("hset") {
		c.countEach(2, 2, func(key string, i int) (bool, error) { return c.setField(tx, key, i) })
	}
}

func hmset(c *client, tx *crdt.Tx) {
	if !c.fieldsFit("hmset") {
		return
	}
	key := string(c.args[1])
	for i := 2; i < len(c.args); i += 2 {
		if _, err := c.setField(tx, key, i); err != nil {
			c.fail(errWrongType)
			return
		}
	}
	c.ok()
}

// setField writes the field at args[i] with the value behind it.
func (c *client) setField(tx *crdt.Tx, key string, i int) (added bool, err error) {
	return tx.MapSet(key, string(c.args[i]), bytes.Clone(c.args[i+1]))
}

// fieldsFit checks that every field has a value, and that all can be stored.
func (c *client) fieldsFit(name string) bool {
	if len(c.args)%2 == 1 {
		c.fail("ERR wrong number of arguments for '" + name + "' command")
		return false
	}
	for i := 3; i < len(c.args); i += 2 {
		if !c.valueFits(c.args[i]) {
			return false
		}
	}
	return c.partsFit("a field", 2, 2)
}

func hsetNX(c *client, tx *crdt.Tx) {
	if !c.fieldsFit("hsetnx") || !c.localCheckAllowed("hsetnx") {
		return
	}
	key := string(c.args[1])
	there, err := tx.MapHas(key, view(c.args[2]))
	if err == nil && !there {
		_, err = c.setField(tx, key, 2)
	}
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.bool01(!there)
}

func hget(c *client, v *crdt.View) {
	val, ok, err := v.MapGet(view(c.args[1]), view(c.args[2]))
	c.value(val, ok, err)
}

func hmget(c *client, v *crdt.View) {
	key := view(c.args[1])
	if _, err := v.MapLen(key); err != nil {
		c.fail(errWrongType)
		return
	}
	c.array(len(c.args) - 2)
	for _, field := range c.args[2:] {
		val, ok, _ := v.MapGet(key, view(field))
		c.value(val, ok, nil)
		if c.overflowed {
			return
		}
	}
}

func hgetall(c *client, v *crdt.View) {
	c.eachField(v, c.mapOf, func(field string, val []byte) {
		c.bulkString(field)
		c.bulk(val)
	})
}

func hkeys(c *client, v *crdt.View) {
	key := view(c.args[1])
	n, err := v.MapLen(key)
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.array(n)
	_ = v.MapNames(key, func(field string) bool {
		c.bulkString(field)
		return !c.overflowed
	})
}

func hvals(c *client, v *crdt.View) {
	c.eachField(v, c.array, func(_ string, val []byte) { c.bulk(val) })
}

// eachField answers with a header for the number of fields, and what write writes for each.
func (c *client) eachField(v *crdt.View, header func(n int), write func(field string, val []byte)) {
	key := view(c.args[1])
	n, err := v.MapLen(key)
	if err != nil {
		c.fail(errWrongType)
		return
	}
	header(n)
	_ = v.MapEach(key, func(field string, val []byte) bool {
		write(field, val)
		return !c.overflowed
	})
}

func hdel(c *client, tx *crdt.Tx) {
	c.countEach(2, 1, func(key string, i int) (bool, error) { return tx.MapDel(key, string(c.args[i])) })
}

func hlen(c *client, v *crdt.View) {
	n, err := v.MapLen(view(c.args[1]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.int(int64(n))
}

func hexists(c *client, v *crdt.View) {
	ok, err := v.MapHas(view(c.args[1]), view(c.args[2]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.bool01(ok)
}

func hstrlen(c *client, v *crdt.View) {
	val, _, err := v.MapGet(view(c.args[1]), view(c.args[2]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.int(int64(len(val)))
}

func hincrBy(c *client, tx *crdt.Tx) {
	delta, ok := c.integer(3)
	if !ok || !c.partsFit("a field", 2, 2) {
		return
	}
	text, ok, err := tx.MapGet(view(c.args[1]), view(c.args[2]))
	if _, isInt := parseInt(text); err == nil && ok && !isInt {
		err = crdt.ErrNotInteger
	}
	var n int64
	if err == nil {
		n, err = tx.MapIncr(string(c.args[1]), string(c.args[2]), delta)
	}
	if err != nil {
		c.failNumber(err, "ERR hash value is not an integer")
		return
	}
	c.int(n)
}

func hincrByFloat(c *client, tx *crdt.Tx) {
	const notFloat = "ERR hash value is not a float"
	if !c.partsFit("a field", 2, 2) {
		return
	}
	text, there, err := tx.MapGet(view(c.args[1]), view(c.args[2]))
	switch {
	case !isNumber(c.args[3]):
		c.fail(errNotFloat)
	case isInfinite(c.args[3]):
		c.fail("ERR value is NaN or Infinity")
	case err != nil:
		c.fail(errWrongType)
	case there && !isNumber(text):
		c.fail(notFloat)
	case isInfinite(text):
		c.fail(errNotFinite)
	default:
		sum, err := tx.MapIncrFloat(string(c.args[1]), string(c.args[2]), string(c.args[3]))
		c.sum(sum, err, notFloat)
	}
}

func hscan(c *client, v *crdt.View) {
	key := view(c.args[1])
	c.scanParts(v, key, crdt.KindMap, func(s scan) (uint64, []string) {
		var found []string
		next, _ := v.MapScan(key, s.cursor, s.count, func(field string, val []byte) {
			if s.matches(field) {
				found = append(found, field, string(val))
			}
		})
		return next, found
	})
}

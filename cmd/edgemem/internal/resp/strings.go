package resp

import (
	"bytes"
	"fmt"

	"github.com/edgemem/edgemem/crdt"
)

const localCheck = "The check sees this node alone: it is never a lock on the mesh, and a write elsewhere may be concurrent."

const lastWriter = "Concurrent writes elsewhere: the last by hybrid clock shows, the others stay until a later write covers them (EM.SIBLINGS)."

func stringCommands() []*command {
	return []*command{
		{name: "get", arity: 2, flags: "readonly fast", keys: oneKey("RO access"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Reads the value at a key.", read: get},
		{name: "set", arity: -3, flags: "write denyoom", keys: oneKey("RW access update variable_flags"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Writes the value at a key, with conditions and an expiry if asked for.",
			note:    lastWriter + " NX and XX: " + localCheck, write: set},
		{name: "setex", arity: 4, flags: "write denyoom", keys: oneKey("OW update"),
			group: "string", since: "2.0.0", cost: "O(1)",
			summary: "Writes a value that expires after some seconds.",
			note:    lastWriter, write: func(c *client, tx *crdt.Tx) { setWithExpiry(c, tx, expiryEX, "setex") }},
		{name: "psetex", arity: 4, flags: "write denyoom", keys: oneKey("OW update"),
			group: "string", since: "2.6.0", cost: "O(1)",
			summary: "Writes a value that expires after some milliseconds.",
			note:    lastWriter, write: func(c *client, tx *crdt.Tx) { setWithExpiry(c, tx, expiryPX, "psetex") }},
		{name: "setnx", arity: 3, flags: "write denyoom fast", keys: oneKey("OW insert"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Writes a value if the key is absent.",
			note:    localCheck, write: setNX},
		{name: "mget", arity: -2, flags: "readonly fast", keys: allKeys("RO access"),
			tips: "request_policy:multi_shard", group: "string", since: "1.0.0", cost: "O(N) for N keys",
			summary: "Reads the values at several keys.", read: mget},
		{name: "mset", arity: -3, flags: "write denyoom", keys: everyOther("OW update"),
			tips: "request_policy:multi_shard response_policy:all_succeeded", group: "string", since: "1.0.1", cost: "O(N) for N keys",
			summary: "Writes several keys at once.",
			note:    "Replicas see all of the writes or none. " + lastWriter, write: mset},
		{name: "msetnx", arity: -3, flags: "write denyoom", keys: everyOther("OW insert"),
			tips: "request_policy:multi_shard response_policy:agg_min", group: "string", since: "1.0.1", cost: "O(N) for N keys",
			summary: "Writes several keys if none of them is there.",
			note:    localCheck, write: msetNX},
		{name: "getset", arity: 3, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Writes a value and returns the one before.",
			note:    localCheck, write: getSet},
		{name: "getdel", arity: 2, flags: "write fast", keys: oneKey("RW access delete"),
			group: "string", since: "6.2.0", cost: "O(1)",
			summary: "Returns a value and removes it.",
			note:    "Removes what this node has seen; a concurrent write elsewhere stays.", write: getDel},
		{name: "getex", arity: -2, flags: "write fast", keys: oneKey("RW access update"),
			group: "string", since: "6.2.0", cost: "O(1)",
			summary: "Returns a value and sets or removes its expiry.",
			note:    longestWins, write: getEx},
		{name: "strlen", arity: 2, flags: "readonly fast", keys: oneKey("RO"),
			group: "string", since: "2.2.0", cost: "O(1)",
			summary: "Counts the bytes of a value.", read: strlen},
		{name: "append", arity: 3, flags: "write denyoom fast", keys: oneKey("RW insert"),
			group: "string", since: "2.0.0", cost: "O(N) for a value of N bytes",
			summary: "Adds bytes to the end of a value.",
			note:    "Writes the whole value: of two concurrent appends, one shows and the other is kept as its sibling.",
			write:   appendValue},
	}
}

func get(c *client, v *crdt.View) {
	val, ok, err := v.Get(view(c.args[1]))
	c.value(val, ok, err)
}

// value answers with a value, its absence, or why it cannot be read.
func (c *client) value(val []byte, ok bool, err error) {
	switch {
	case err != nil:
		c.fail(errWrongType)
	case ok:
		c.run.hits++
		c.bulk(val)
	default:
		c.run.misses++
		c.null()
	}
}

func mget(c *client, v *crdt.View) {
	c.array(len(c.args) - 1)
	for _, key := range c.args[1:] {
		val, ok, _ := v.Get(view(key))
		c.value(val, ok, nil)
		if c.overflowed {
			return
		}
	}
}

func strlen(c *client, v *crdt.View) {
	val, _, err := v.Get(view(c.args[1]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.int(int64(len(val)))
}

func set(c *client, tx *crdt.Tx) {
	if len(c.args) == 3 {
		if c.valueFits(c.args[2]) {
			tx.Set(string(c.args[1]), bytes.Clone(c.args[2]), false)
			c.ok()
		}
		return
	}
	o, ok := c.parseSetOptions(3, false)
	if !ok || !c.valueFits(c.args[2]) || ((o.nx || o.xx) && !c.localCheckAllowed("set")) {
		return
	}
	at, ok := c.expiryInstant(o.expiry, o.when, tx.Now(), "set")
	if ok {
		c.setWithOptions(tx, o, at)
	}
}

func (c *client) setWithOptions(tx *crdt.Tx, o setOptions, at int64) {
	key := string(c.args[1])
	if o.get {
		old, ok, err := tx.Get(key)
		if c.value(old, ok, err); err != nil {
			return
		}
	}
	there := tx.Kind(key) != crdt.KindNone
	if (o.nx && there) || (o.xx && !there) {
		if !o.get {
			c.null()
		}
		return
	}
	tx.Set(key, bytes.Clone(c.args[2]), o.keepTTL)
	if o.expiry != expiryNone {
		tx.Expire(key, at)
	}
	if !o.get {
		c.ok()
	}
}

// localCheckAllowed refuses a command that checks before it writes, where the server is strict.
func (c *client) localCheckAllowed(name string) bool {
	if c.srv.cfg.Strict {
		c.failf("ERR '%s' refused: this server is strict, and a condition checked on one node alone is no lock on the mesh", name)
		return false
	}
	return true
}

func setWithExpiry(c *client, tx *crdt.Tx, kind expiryKind, name string) {
	at, ok := c.expiryInstant(kind, c.args[2], tx.Now(), name)
	if !ok || !c.valueFits(c.args[3]) {
		return
	}
	key := string(c.args[1])
	tx.Set(key, bytes.Clone(c.args[3]), false)
	tx.Expire(key, at)
	c.ok()
}

func setNX(c *client, tx *crdt.Tx) {
	if !c.valueFits(c.args[2]) || !c.localCheckAllowed("setnx") {
		return
	}
	absent := tx.Kind(view(c.args[1])) == crdt.KindNone
	if absent {
		tx.Set(string(c.args[1]), bytes.Clone(c.args[2]), false)
	}
	c.bool01(absent)
}

func mset(c *client, tx *crdt.Tx) {
	if c.pairsFit("mset") {
		c.setPairs(tx)
		c.ok()
	}
}

func msetNX(c *client, tx *crdt.Tx) {
	if !c.pairsFit("msetnx") || !c.localCheckAllowed("msetnx") {
		return
	}
	for i := 1; i < len(c.args); i += 2 {
		if tx.Kind(view(c.args[i])) != crdt.KindNone {
			c.int(0)
			return
		}
	}
	c.setPairs(tx)
	c.int(1)
}

// pairsFit checks the keys and values of MSET.
func (c *client) pairsFit(name string) bool {
	if len(c.args)%2 == 0 {
		c.fail("ERR wrong number of arguments for '" + name + "' command")
		return false
	}
	for i := 2; i < len(c.args); i += 2 {
		if !c.valueFits(c.args[i]) {
			return false
		}
	}
	return true
}

func (c *client) setPairs(tx *crdt.Tx) {
	for i := 1; i < len(c.args); i += 2 {
		tx.Set(string(c.args[i]), bytes.Clone(c.args[i+1]), false)
	}
}

func getSet(c *client, tx *crdt.Tx) {
	if !c.valueFits(c.args[2]) || !c.localCheckAllowed("getset") {
		return
	}
	key := string(c.args[1])
	old, ok, err := tx.Get(key)
	if c.value(old, ok, err); err == nil {
		tx.Set(key, bytes.Clone(c.args[2]), false)
	}
}

func getDel(c *client, tx *crdt.Tx) {
	val, ok, err := tx.Get(view(c.args[1]))
	if c.value(val, ok, err); ok {
		tx.Del(string(c.args[1]))
	}
}

func getEx(c *client, tx *crdt.Tx) {
	o, ok := c.parseSetOptions(2, true)
	if !ok {
		return
	}
	key := string(c.args[1])
	val, ok, err := tx.Get(key)
	if err != nil || !ok {
		c.value(nil, ok, err)
		return
	}
	at, ok := c.expiryInstant(o.expiry, o.when, tx.Now(), "getex")
	if !ok {
		return
	}
	c.value(val, true, nil)
	switch {
	case o.persist:
		tx.Persist(key)
	case o.expiry != expiryNone:
		tx.Expire(key, at)
	}
}

func appendValue(c *client, tx *crdt.Tx) {
	key := string(c.args[1])
	old, _, err := tx.Get(key)
	if err != nil {
		c.fail(errWrongType)
		return
	}
	size := len(old) + len(c.args[2])
	if size > crdt.MaxValueBytes {
		c.fail(errTooLongString)
		return
	}
	tx.Set(key, append(append(make([]byte, 0, size), old...), c.args[2]...), true)
	c.int(int64(size))
}

// valueFits refuses a value that no region can store.
func (c *client) valueFits(val []byte) bool {
	if len(val) > crdt.MaxValueBytes {
		c.fail(tooLong("a value", len(val), crdt.MaxValueBytes))
		return false
	}
	return true
}

func tooLong(what string, n, most int) string {
	return fmt.Sprintf("ERR %s of %d bytes is longer than the %d that edgemem stores", what, n, most)
}

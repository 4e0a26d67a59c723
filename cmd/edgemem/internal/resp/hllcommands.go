package resp

import (
	"errors"

	"github.com/edgemem/edgemem/crdt"
)

const registersMax = "Concurrent strings of this kind are joined register by register when they are read or added to, so that all that was added anywhere counts. " +
	"A SET or DEL takes away what it has seen; what was added at the same time stays, with all that its node had counted."

func hllCommands() []*command {
	return []*command{
		{name: "pfadd", arity: -2, flags: "write denyoom fast", keys: oneKey("RW insert"), group: "hyperloglog", since: "2.8.9", cost: "O(1) for each element",
			summary: "Counts elements in a HyperLogLog.", note: registersMax, write: pfadd},
		{name: "pfcount", arity: -2, flags: "readonly", keys: allKeys("RW access"), group: "hyperloglog", since: "2.8.9", cost: "O(N) for N keys",
			summary: "Estimates how many different elements were added, within about 1 %.", note: registersMax, read: pfcount},
		{name: "pfmerge", arity: -2, flags: "write denyoom", keys: keyRoles(keyAt(1, "RW access insert"), keysFrom(2, "RO access")), group: "hyperloglog", since: "2.8.9", cost: "O(N) for N keys",
			summary: "Joins HyperLogLogs into one.", note: registersMax, write: pfmerge},
	}
}

// joinKey joins what a key holds, all its concurrent values, into s. It answers what cannot be joined.
func (c *client) joinKey(v *crdt.View, key string, s *sketch) (there, ok bool) {
	val, there, err := v.Get(key)
	if errors.Is(err, crdt.ErrWrongType) {
		c.fail(errWrongType)
		return false, false
	}
	if err != nil || !there {
		return false, err == nil // what is on disk is read by whoever called the command
	}
	if err := s.join(val); err != nil {
		c.fail(err.Error())
		return true, false
	}
	if all := v.Siblings(key); len(all) > 1 {
		for _, x := range all[1:] {
			_ = s.join(x.Value) // a string of another kind that was written at the same time has no registers
		}
	}
	return true, true
}

func pfadd(c *client, tx *crdt.Tx) {
	key := string(c.args[1])
	var s sketch
	there, ok := c.joinKey(&tx.View, key, &s)
	if !ok {
		return
	}
	changed := !there
	for _, element := range c.args[2:] {
		changed = s.add(element) || changed
	}
	if changed {
		tx.Set(key, s.bytes(), true)
	}
	c.bool01(changed)
}

func pfcount(c *client, v *crdt.View) {
	var s sketch
	for _, key := range c.args[1:] {
		if _, ok := c.joinKey(v, view(key), &s); !ok {
			return
		}
	}
	c.int(s.count())
}

func pfmerge(c *client, tx *crdt.Tx) {
	var s sketch
	for _, key := range c.args[1:] {
		if _, ok := c.joinKey(&tx.View, string(key), &s); !ok {
			return
		}
	}
	tx.Set(string(c.args[1]), s.bytes(), true)
	c.ok()
}

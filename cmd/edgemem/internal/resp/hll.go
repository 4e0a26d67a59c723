package resp

import (
	"errors"

	"github.com/edgemem/edgemem/crdt"
)

func hllCommands() []*command {
	return []*command{
		{name: "pfadd", arity: -2, flags: "write denyoom fast", keys: oneKey("RW insert"),
			group: "hyperloglog", since: "2.8.9", cost: "O(N) for N elements, and O(1), with a large constant, for the value that is written",
			summary: "Adds elements to a HyperLogLog, and tells whether its registers changed.",
			note: "Concurrent adds and merges are all counted: registers are joined by maximum. A DEL takes what it has seen but not what an " +
				"add that is concurrent with it had seen. Of a SET of another string that is concurrent, the latest of the writes decides " +
				"whether the string shows or the count.",
			write: pfAdd},
		{name: "pfcount", arity: -2, flags: "readonly", keys: allKeys("RW access"),
			group: "hyperloglog", since: "2.8.9", cost: "O(N) for N keys, with a large constant",
			summary: "Estimates the number of distinct elements of HyperLogLogs together.",
			note:    "It does not write the count into the value, as Redis does.", read: pfCount},
		{name: "pfmerge", arity: -2, flags: "write denyoom", keys: keyRoles(keyAt(1, "RW access insert"), keysFrom(2, "RO access")),
			group: "hyperloglog", since: "2.8.9", cost: "O(N) for N keys, with a large constant",
			summary: "Adds what HyperLogLogs have counted to another one.",
			note:    "As PFADD of what the sources hold on this node.", write: pfMerge},
	}
}

// hllFailed answers what is wrong with a HyperLogLog, if something is.
func (c *client) hllFailed(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, crdt.ErrNotHLL):
		c.fail("WRONGTYPE Key is not a valid HyperLogLog string value.")
	case errors.Is(err, crdt.ErrHLLCorrupt):
		c.fail("INVALIDOBJ Corrupted HLL object detected")
	case errors.Is(err, crdt.ErrTooLarge):
		c.fail("ERR " + err.Error())
	default: // a value that is away is asked for again, and one that is lost is told of by whoever runs this
		c.fail(errWrongType)
	}
	return true
}

func pfAdd(c *client, tx *crdt.Tx) {
	changed, err := tx.HLLAdd(string(c.args[1]), c.args[2:]...)
	if c.hllFailed(err) {
		return
	}
	c.int(int64(zeroOne(changed)))
}

func pfCount(c *client, v *crdt.View) {
	n, err := v.HLLCount(keyNames(c.args[1:])...)
	if !c.hllFailed(err) {
		c.int(n)
	}
}

func pfMerge(c *client, tx *crdt.Tx) {
	if err := tx.HLLMerge(string(c.args[1]), keyNames(c.args[2:])...); !c.hllFailed(err) {
		c.ok()
	}
}

func keyNames(args [][]byte) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = string(arg)
	}
	return out
}

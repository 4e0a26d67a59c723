package resp

import (
	"errors"
	"math"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

const counterNote = "A counter: concurrent increments add up, and a concurrent DEL takes away only what it had seen."

func counterCommands() []*command {
	return []*command{
		{name: "incr", arity: 2, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Adds one to the integer at a key.",
			note:    counterNote, write: func(c *client, tx *crdt.Tx) { c.increment(tx, 1) }},
		{name: "decr", arity: 2, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Takes one from the integer at a key.",
			note:    counterNote, write: func(c *client, tx *crdt.Tx) { c.increment(tx, -1) }},
		{name: "incrby", arity: 3, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Adds to the integer at a key.",
			note:    counterNote, write: incrBy},
		{name: "decrby", arity: 3, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Takes from the integer at a key.",
			note:    counterNote, write: decrBy},
		{name: "incrbyfloat", arity: 3, flags: "write denyoom fast", keys: oneKey("RW access update"),
			group: "string", since: "2.6.0", cost: "O(1)",
			summary: "Adds a decimal to the number at a key.",
			note:    counterNote + " Sums are exact decimals, so replicas agree to the last digit.", write: incrByFloat},
	}
}

func incrBy(c *client, tx *crdt.Tx) {
	if n, ok := c.integer(2); ok {
		c.increment(tx, n)
	}
}

func decrBy(c *client, tx *crdt.Tx) {
	n, ok := c.integer(2)
	switch {
	case !ok:
	case n == math.MinInt64:
		c.fail("ERR decrement would overflow")
	default:
		c.increment(tx, -n)
	}
}

// integer reads the argument at i, or answers that it is none.
func (c *client) integer(i int) (n int64, ok bool) {
	n, ok = parseInt(c.args[i])
	if !ok {
		c.fail(errNotInteger)
	}
	return n, ok
}

// increment adds to an integer. Redis, and so the region, wants its text to be a canonical one: not "007", not "1e3".
func (c *client) increment(tx *crdt.Tx, delta int64) {
	n, err := tx.Incr(string(c.args[1]), delta)
	if err != nil {
		c.failNumber(err, errNotInteger)
		return
	}
	c.int(n)
}

func incrByFloat(c *client, tx *crdt.Tx) {
	text, there, err := tx.Get(view(c.args[1]))
	switch {
	case err != nil:
		c.fail(errWrongType)
	case (there && !isNumber(text)) || !isNumber(c.args[2]):
		c.fail(errNotFloat)
	case isInfinite(text) || isInfinite(c.args[2]):
		c.fail(errNotFinite)
	default:
		sum, err := tx.IncrFloat(string(c.args[1]), string(c.args[2]))
		c.sum(sum, err, errNotFloat)
	}
}

// isNumber says whether C's strtold reads b as a number; of those only decimals can be added to.
func isNumber(b []byte) bool { return isDecimal(b) || isInfinite(b) }

// errNotFinite answers a sum that is no number.
const errNotFinite = "ERR increment would produce NaN or Infinity"

// sum answers with a decimal sum, or why there is none; notNumber is the text for a value that is none.
func (c *client) sum(sum string, err error, notNumber string) {
	switch {
	case errors.Is(err, crdt.ErrOverflow):
		c.fail(errNotFinite)
	case err != nil:
		c.failNumber(err, notNumber)
	default:
		c.bulkString(sum)
	}
}

// failNumber answers an error of arithmetic; notNumber is the text for a value that is no number.
func (c *client) failNumber(err error, notNumber string) {
	switch {
	case errors.Is(err, crdt.ErrWrongType):
		c.fail(errWrongType)
	case errors.Is(err, crdt.ErrOverflow):
		c.fail("ERR increment or decrement would overflow")
	case errors.Is(err, crdt.ErrNotInteger), errors.Is(err, crdt.ErrNotNumber):
		c.fail(notNumber)
	default:
		c.fail("ERR " + err.Error())
	}
}

// isInfinite recognises the words for infinity that C's strtold knows.
func isInfinite(b []byte) bool {
	word := strings.TrimLeft(strings.ToLower(string(b[:min(len(b), len("-infinity")+1)])), "+-")
	return (word == "inf" || word == "infinity") && len(b)-len(word) <= 1
}

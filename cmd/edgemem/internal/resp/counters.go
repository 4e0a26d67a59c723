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
		{name: "incr", arity: 2, flags: "write denyoom fast", keys: oneKey("RW access update"), group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Adds one to the integer at a key.", note: counterNote, write: func(c *client, tx *crdt.Tx) { c.increment(tx, 1) }},
		{name: "decr", arity: 2, flags: "write denyoom fast", keys: oneKey("RW access update"), group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Takes one from the integer at a key.", note: counterNote, write: func(c *client, tx *crdt.Tx) { c.increment(tx, -1) }},
		{name: "incrby", arity: 3, flags: "write denyoom fast", keys: oneKey("RW access update"), group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Adds to the integer at a key.", note: counterNote, write: incrBy},
		{name: "decrby", arity: 3, flags: "write denyoom fast", keys: oneKey("RW access update"), group: "string", since: "1.0.0", cost: "O(1)",
			summary: "Takes from the integer at a key.", note: counterNote, write: decrBy},
		{name: "incrbyfloat", arity: 3, flags: "write denyoom fast", keys: oneKey("RW access update"), group: "string", since: "2.6.0", cost: "O(1)",
			summary: "Adds a decimal to the number at a key.", note: counterNote + " Sums are exact decimals, so replicas agree to the last digit.", write: incrByFloat},
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

func (c *client) increment(tx *crdt.Tx, delta int64) {
	n, err := tx.Incr(string(c.args[1]), delta)
	if err != nil {
		c.failNumber(err, errNotInteger)
		return
	}
	c.int(n)
}

func incrByFloat(c *client, tx *crdt.Tx) {
	if _, _, err := tx.Get(view(c.args[1])); err != nil {
		c.fail(errWrongType)
		return
	}
	if !c.decimal(2, errNotFinite) {
		return
	}
	sum, err := tx.IncrFloat(string(c.args[1]), string(c.args[2]))
	c.sum(sum, err, errNotFloat)
}

// decimal checks that the argument at i is a decimal, or answers that it is none; infinite is the text for
// infinity.
func (c *client) decimal(i int, infinite string) bool {
	switch {
	case isInfinite(c.args[i]):
		c.fail(infinite)
	case !isDecimal(c.args[i]):
		c.fail(errNotFloat)
	default:
		return true
	}
	return false
}

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

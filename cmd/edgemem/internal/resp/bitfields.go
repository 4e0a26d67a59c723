package resp

import (
	"math"

	"github.com/edgemem/edgemem/crdt"
)

func bitfieldCommands() []*command {
	return []*command{
		{name: "bitfield", arity: -2, flags: "write denyoom", keys: oneKey("RW access update variable_flags"),
			group: "bitmap", since: "3.2.0", cost: "O(1) an operation, and O(N) for a value of N bytes that is written",
			summary: "Reads and writes integers of any width within a value.",
			note:    wholeValue + " INCRBY too: it is no counter.", write: bitfield},
		{name: "bitfield_ro", arity: -2, flags: "readonly fast", keys: oneKey("RO access"),
			group: "bitmap", since: "6.0.0", cost: "O(1) an operation",
			summary: "Reads integers of any width within a value.", read: bitfieldRO},
	}
}

// overflow is what happens to a sum that does not fit.
type overflow uint8

const (
	overflowWrap overflow = iota
	overflowSaturate
	overflowFail
)

var overflowWords = map[string]overflow{"wrap": overflowWrap, "sat": overflowSaturate, "fail": overflowFail}

// fieldOp is one operation of BITFIELD.
type fieldOp struct {
	word   string // get, set or incrby
	signed bool
	width  int64 // bits
	at     int64 // offset in bits
	by     int64
	over   overflow
}

// parseFieldOps reads the operations, or answers what is wrong with them. upto is the first bit behind all that
// is written; 0: nothing is.
func (c *client) parseFieldOps() (ops []fieldOp, upto int64, ok bool) {
	over := overflowWrap
	for i := 2; i < len(c.args); {
		op, more := fieldOp{word: lowerWord(c.args[i]), over: over}, len(c.args)-1-i
		switch {
		case op.word == "overflow" && more >= 1:
			if over, ok = overflowWords[lowerWord(c.args[i+1])]; !ok {
				c.fail("ERR Invalid OVERFLOW type specified")
				return nil, 0, false
			}
			i += 2
			continue
		case op.word == "get" && more >= 2, (op.word == "set" || op.word == "incrby") && more >= 3:
		default:
			c.fail(errSyntax)
			return nil, 0, false
		}
		if !c.fieldPlace(&op, i) {
			return nil, 0, false
		}
		i += 3
		if op.word != "get" {
			if op.by, ok = c.integer(i); !ok {
				return nil, 0, false
			}
			i++
			upto = max(upto, op.at+op.width)
		}
		ops = append(ops, op)
	}
	return ops, upto, true
}

// fieldPlace reads the type and offset of the operation at args[i].
func (c *client) fieldPlace(op *fieldOp, i int) bool {
	kind := c.args[i+1]
	width, ok := int64(0), false
	if len(kind) > 0 {
		width, ok = parseInt(kind[1:])
		op.signed = kind[0] == 'i'
		ok = ok && (op.signed || kind[0] == 'u') && width >= 1 && (width <= 63 || width == 64 && op.signed)
	}
	if !ok {
		c.fail("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
		return false
	}
	op.width = width
	arg := c.args[i+2]
	if len(arg) == 0 || arg[0] != '#' {
		op.at, ok = c.bitOffset(arg)
		return ok
	}
	n, ok := parseInt(arg[1:])
	if !ok || n < 0 || n > math.MaxInt64/width || n*width>>3 >= crdt.MaxValueBytes {
		c.fail(errBitOffset)
		return false
	}
	op.at = n * width
	return true
}

func bitfieldRO(c *client, v *crdt.View) {
	ops, upto, ok := c.parseFieldOps()
	if !ok {
		return
	}
	if upto > 0 {
		c.fail("ERR BITFIELD_RO only supports the GET subcommand")
		return
	}
	val, _, err := v.Get(view(c.args[1]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.array(len(ops))
	for _, op := range ops {
		c.int(op.read(val))
	}
}

func bitfield(c *client, tx *crdt.Tx) {
	ops, upto, ok := c.parseFieldOps()
	if !ok {
		return
	}
	key := string(c.args[1])
	old, there, err := tx.Get(key)
	size := int((upto + 7) / 8)
	switch {
	case err != nil:
		c.fail(errWrongType)
		return
	case size > crdt.MaxValueBytes:
		c.fail(errTooLongString)
		return
	}
	val := old
	if upto > 0 {
		val = widened(old, size)
	}
	c.array(len(ops))
	for _, op := range ops {
		c.fieldReply(op, val)
	}
	if upto > 0 && !c.overflowed && !sameBytes(old, val, there) {
		tx.Set(key, val, true)
	}
}

func (c *client) fieldReply(op fieldOp, val []byte) {
	was := op.read(val)
	if !c.room(24) {
		return
	}
	if op.word == "get" {
		c.int(was)
		return
	}
	base := int64(0)
	if op.word == "incrby" {
		base = was
	}
	next, fits := op.sum(base)
	switch {
	case !fits:
		c.null()
		return
	case op.word == "set":
		c.int(was)
	default:
		c.int(next)
	}
	op.write(val, next)
}

// read is the integer at the operation's place; bits beyond the value are clear.
func (op *fieldOp) read(val []byte) int64 {
	var n uint64
	for i := range op.width {
		n = n<<1 | uint64(bitAt(val, op.at+i))
	}
	return op.extend(n)
}

func (op *fieldOp) write(val []byte, n int64) {
	for i := range op.width {
		putBit(val, op.at+i, int64(uint64(n)>>(op.width-1-i))&1)
	}
}

// extend keeps the low bits of n as an integer of the operation's type.
func (op *fieldOp) extend(n uint64) int64 {
	unused := 64 - op.width
	if op.signed {
		return int64(n<<unused) >> unused
	}
	return int64(n << unused >> unused)
}

// sum adds the operand to base, which is of the operation's type, and deals with an overflow; fits is false where
// that means to write nothing. An operand of SET is taken as it is, also by an unsigned type: -1 is its largest.
func (op *fieldOp) sum(base int64) (n int64, fits bool) {
	low, high := op.limits()
	sum := base + op.by
	tooLow := op.by < 0 && (sum > base || sum < low)
	tooHigh := op.by > 0 && (sum < base || sum > high)
	if !op.signed && op.word == "set" && op.by < 0 {
		tooLow, tooHigh = false, true
	}
	if op.signed && op.width < 64 && op.word == "set" && high-op.by < 0 {
		tooLow, tooHigh = false, true // so low that the distance to the highest wraps: Redis takes it for too high
	}
	switch {
	case !tooLow && !tooHigh:
		return sum, true
	case op.over == overflowFail:
		return 0, false
	case op.over == overflowWrap:
		return op.extend(uint64(sum)), true
	case tooHigh:
		return high, true
	}
	return low, true
}

func (op *fieldOp) limits() (low, high int64) {
	if op.signed {
		return math.MinInt64 >> (64 - op.width), math.MaxInt64 >> (64 - op.width)
	}
	return 0, math.MaxInt64 >> (63 - op.width)
}

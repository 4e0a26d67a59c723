package resp

import (
	"math/bits"

	"github.com/edgemem/edgemem/crdt"
)

func bitmapCommands() []*command {
	return []*command{
		{name: "setbit", arity: 4, flags: "write denyoom", keys: oneKey("RW access update"),
			group: "bitmap", since: "2.2.0", cost: "O(N) for a value of N bytes",
			summary: "Sets or clears one bit of a value, and tells what it was.",
			note:    wholeValue, write: setBit},
		{name: "getbit", arity: 3, flags: "readonly fast", keys: oneKey("RO access"),
			group: "bitmap", since: "2.2.0", cost: "O(1)",
			summary: "Reads one bit of a value.", read: getBit},
		{name: "bitcount", arity: -2, flags: "readonly", keys: oneKey("RO access"),
			group: "bitmap", since: "2.6.0", cost: "O(N) for a range of N bytes",
			summary: "Counts the bits of a value that are set.", read: bitCount},
		{name: "bitpos", arity: -3, flags: "readonly", keys: oneKey("RO access"),
			group: "bitmap", since: "2.8.7", cost: "O(N) for a range of N bytes",
			summary: "Finds the first bit of a value that is set, or clear.", read: bitPos},
		{name: "bitop", arity: -4, flags: "write denyoom", keys: keyRoles(keyAt(2, "OW update"), keysFrom(3, "RO access")),
			group: "bitmap", since: "2.6.0", cost: "O(N) for values of N bytes together",
			summary: "Combines the bits of values, and writes the result to a key.",
			note:    wholeValue, write: bitOp},
	}
}

const (
	errBitOffset = "ERR bit offset is not an integer or out of range"
	errBit       = "ERR bit is not an integer or out of range"
)

// bitOffset reads the offset of a bit within the largest value.
func (c *client) bitOffset(arg []byte) (offset int64, ok bool) {
	offset, ok = parseInt(arg)
	if !ok || offset < 0 || offset>>3 >= crdt.MaxValueBytes {
		c.fail(errBitOffset)
		return 0, false
	}
	return offset, true
}

// bitAt is one bit; the highest of each byte comes first, and beyond the end all are clear.
func bitAt(val []byte, offset int64) int64 {
	if offset>>3 >= int64(len(val)) {
		return 0
	}
	return int64(val[offset>>3]>>(7-offset&7)) & 1
}

func putBit(val []byte, offset, bit int64) {
	mask := byte(1) << (7 - offset&7)
	val[offset>>3] &^= mask
	if bit == 1 {
		val[offset>>3] |= mask
	}
}

func setBit(c *client, tx *crdt.Tx) {
	offset, ok := c.bitOffset(c.args[2])
	if !ok {
		return
	}
	bit, ok := parseInt(c.args[3])
	if !ok || bit < 0 || bit > 1 {
		c.fail(errBit)
		return
	}
	key := string(c.args[1])
	old, there, err := tx.Get(key)
	if err != nil {
		c.fail(errWrongType)
		return
	}
	was := bitAt(old, offset)
	val := widened(old, int(offset>>3)+1)
	putBit(val, offset, bit)
	if !sameBytes(old, val, there) {
		tx.Set(key, val, true)
	}
	c.int(was)
}

func getBit(c *client, v *crdt.View) {
	offset, ok := c.bitOffset(c.args[2])
	if !ok {
		return
	}
	val, _, err := v.Get(view(c.args[1]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	c.int(bitAt(val, offset))
}

// bitUnit reads BYTE or BIT, or answers a syntax error.
func (c *client) bitUnit(arg []byte) (inBits, ok bool) {
	switch lowerWord(arg) {
	case "bit":
		return true, true
	case "byte":
		return false, true
	}
	c.fail(errSyntax)
	return false, false
}

func bitCount(c *client, v *crdt.View) {
	val, there, err := v.Get(view(c.args[1]))
	switch {
	case err != nil:
		c.fail(errWrongType)
	case !there:
		c.int(0)
	case len(c.args) == 2:
		c.int(onesBetween(val, 0, 8*int64(len(val))))
	case len(c.args) > 5 || len(c.args) == 3:
		c.fail(errSyntax)
	default:
		c.bitCountRange(val)
	}
}

func (c *client) bitCountRange(val []byte) {
	start, ok := c.integer(2)
	if !ok {
		return
	}
	end, ok := c.integer(3)
	if !ok {
		return
	}
	inBits := false
	if backwards(start, end) {
		c.int(0)
		return
	}
	if len(c.args) == 5 {
		if inBits, ok = c.bitUnit(c.args[4]); !ok {
			return
		}
	}
	from, upto := bitSpan(start, end, val, inBits)
	c.int(onesBetween(val, from, upto))
}

// bitSpan is span, in bits.
func bitSpan(start, end int64, val []byte, inBits bool) (from, upto int64) {
	if inBits {
		return span(start, end, 8*int64(len(val)))
	}
	from, upto = span(start, end, int64(len(val)))
	return 8 * from, 8 * upto
}

// onesBetween counts the bits that are set from one offset up to another.
func onesBetween(val []byte, from, upto int64) (n int64) {
	for ; from < upto && from&7 != 0; from++ {
		n += bitAt(val, from)
	}
	for ; from+8 <= upto; from += 8 {
		n += int64(bits.OnesCount8(val[from>>3]))
	}
	for ; from < upto; from++ {
		n += bitAt(val, from)
	}
	return n
}

func bitPos(c *client, v *crdt.View) {
	bit, ok := c.integer(2)
	if !ok {
		return
	}
	if bit != 0 && bit != 1 {
		c.fail("ERR The bit argument must be 1 or 0.")
		return
	}
	val, there, err := v.Get(view(c.args[1]))
	switch {
	case err != nil:
		c.fail(errWrongType)
	case !there:
		c.int(-bit) // as if it were clear bits without end
	case len(c.args) > 6:
		c.fail(errSyntax)
	default:
		c.bitPosRange(val, bit)
	}
}

func (c *client) bitPosRange(val []byte, bit int64) {
	start, end, inBits, ok := int64(0), int64(-1), false, true
	if len(c.args) > 3 {
		if start, ok = c.integer(3); !ok {
			return
		}
	}
	if len(c.args) == 6 {
		if inBits, ok = c.bitUnit(c.args[5]); !ok {
			return
		}
	}
	if len(c.args) > 4 {
		if end, ok = c.integer(4); !ok {
			return
		}
	}
	from, upto := bitSpan(start, end, val, inBits)
	at := firstBit(val, from, upto, bit)
	if at < 0 && bit == 0 && len(c.args) <= 4 && from < upto {
		at = upto // right of a value without an end there are clear bits
	}
	c.int(at)
}

// firstBit is the offset of the first bit of a kind from one offset up to another; -1 where there is none.
func firstBit(val []byte, from, upto, bit int64) int64 {
	skip := byte(0)
	if bit == 0 {
		skip = 0xff
	}
	for from < upto {
		if from&7 == 0 && from+8 <= upto && val[from>>3] == skip {
			from += 8
			continue
		}
		if bitAt(val, from) == bit {
			return from
		}
		from++
	}
	return -1
}

func bitOp(c *client, tx *crdt.Tx) {
	combine, ok := map[string]func(a, b byte) byte{
		"and": func(a, b byte) byte { return a & b }, "or": func(a, b byte) byte { return a | b },
		"xor": func(a, b byte) byte { return a ^ b }, "not": nil,
	}[lowerWord(c.args[1])]
	if !ok {
		c.fail(errSyntax)
		return
	}
	if combine == nil && len(c.args) != 4 {
		c.fail("ERR BITOP NOT must be called with a single source key.")
		return
	}
	longest := 0
	for _, key := range c.args[3:] {
		val, _, err := tx.Get(view(key))
		if err != nil {
			c.fail(errWrongType)
			return
		}
		longest = max(longest, len(val))
	}
	dest := string(c.args[2])
	if longest == 0 {
		tx.Del(dest)
		c.int(0)
		return
	}
	tx.Set(dest, combineBits(c, tx, combine, longest), false)
	c.int(int64(longest))
}

// combineBits folds the sources from args[3] on. Beyond its end a source has clear bits.
func combineBits(c *client, tx *crdt.Tx, combine func(a, b byte) byte, size int) []byte {
	first, _, _ := tx.Get(view(c.args[3]))
	out := widened(first, size)
	if combine == nil {
		for i := range out {
			out[i] = ^out[i]
		}
		return out
	}
	for _, key := range c.args[4:] {
		val, _, _ := tx.Get(view(key))
		for i := range out {
			b := byte(0)
			if i < len(val) {
				b = val[i]
			}
			out[i] = combine(out[i], b)
		}
	}
	return out
}

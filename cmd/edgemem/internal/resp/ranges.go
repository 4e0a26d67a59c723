package resp

import (
	"bytes"

	"github.com/edgemem/edgemem/crdt"
)

// wholeValue is said of every command that changes a part of a string: a register has no parts.
const wholeValue = "Writes the whole value: of two concurrent writes, one shows and the other is kept as its sibling."

func rangeCommands() []*command {
	return []*command{
		{name: "getrange", arity: 4, flags: "readonly", keys: oneKey("RO access"),
			group: "string", since: "2.4.0", cost: "O(N) for a range of N bytes",
			summary: "Reads a part of a value.", read: getRange},
		{name: "substr", arity: 4, flags: "readonly", keys: oneKey("RO access"),
			group: "string", since: "1.0.0", cost: "O(N) for a range of N bytes",
			summary: "Reads a part of a value; GETRANGE by its old name.", read: getRange},
		{name: "setrange", arity: 4, flags: "write denyoom", keys: oneKey("RW update"),
			group: "string", since: "2.2.0", cost: "O(N) for a value of N bytes",
			summary: "Overwrites a part of a value.",
			note:    wholeValue, write: setRange},
		{name: "lcs", arity: -3, flags: "readonly", keys: keySpec{first: 1, last: 2, step: 1, access: "RO access"},
			group: "string", since: "7.0.0", cost: "O(N*M) for values of N and M bytes, of which the product is bounded",
			summary: "Finds the longest common subsequence of two values.", read: lcs},
	}
}

const errTooLongString = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

// span turns Redis's inclusive bounds, of which negative ones count from the end, into from and upto of n elements.
func span(start, end, n int64) (from, upto int64) {
	if start < 0 {
		start = max(0, start+n)
	}
	if end < 0 {
		end = max(0, end+n)
	}
	end = min(end, n-1)
	if start > end {
		return 0, 0
	}
	return start, end + 1
}

// backwards tells bounds from the end in the wrong order. Redis's commands differ in whether they look for that before
// bounds in front of the first element become the first.
func backwards(start, end int64) bool { return start < 0 && end < 0 && start > end }

func getRange(c *client, v *crdt.View) {
	start, ok := c.integer(2)
	if !ok {
		return
	}
	end, ok := c.integer(3)
	if !ok {
		return
	}
	val, _, err := v.Get(view(c.args[1]))
	if err != nil {
		c.fail(errWrongType)
		return
	}
	from, upto := span(start, end, int64(len(val)))
	if backwards(start, end) {
		from, upto = 0, 0
	}
	c.bulk(val[from:upto])
}

func setRange(c *client, tx *crdt.Tx) {
	offset, ok := c.integer(2)
	if !ok {
		return
	}
	if offset < 0 {
		c.fail("ERR offset is out of range")
		return
	}
	key, part := string(c.args[1]), c.args[3]
	old, _, err := tx.Get(key)
	switch {
	case err != nil:
		c.fail(errWrongType)
	case len(part) == 0:
		c.int(int64(len(old)))
	case offset > crdt.MaxValueBytes-int64(len(part)):
		c.fail(errTooLongString)
	default:
		val := widened(old, int(offset)+len(part))
		copy(val[offset:], part)
		tx.Set(key, val, true)
		c.int(int64(len(val)))
	}
}

// widened copies val, with zero bytes up to size if it is shorter.
func widened(val []byte, size int) []byte {
	out := make([]byte, max(size, len(val)))
	copy(out, val)
	return out
}

// lcsCellsMax bounds the time of LCS, which holds the region for reading, and its memory to an eighth of that in bytes.
const lcsCellsMax = 16 << 20

// lcsOptions are what LCS takes after its keys.
type lcsOptions struct {
	length, index, withLength bool
	minLength                 int64
}

func lcs(c *client, v *crdt.View) {
	a, _, errA := v.Get(view(c.args[1]))
	b, _, errB := v.Get(view(c.args[2]))
	if errA != nil || errB != nil {
		c.fail("ERR The specified keys must contain string values")
		return
	}
	o, ok := c.lcsOptions()
	switch {
	case !ok:
	case (len(a)+1)*(len(b)+1) > lcsCellsMax:
		c.fail("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
	case o.length && !o.index:
		c.int(int64(newSubsequence(a, b, false).length))
	default:
		c.lcsReply(newSubsequence(a, b, true), o)
	}
}

func (c *client) lcsOptions() (o lcsOptions, ok bool) {
	for i := 3; i < len(c.args); i++ {
		switch word := c.args[i]; {
		case equalFold(word, "idx"):
			o.index = true
		case equalFold(word, "len"):
			o.length = true
		case equalFold(word, "withmatchlen"):
			o.withLength = true
		case equalFold(word, "minmatchlen") && i+1 < len(c.args):
			i++
			if o.minLength, ok = c.integer(i); !ok {
				return o, false
			}
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	if o.length && o.index {
		c.fail("ERR If you want both the length and indexes, please just use IDX.")
		return o, false
	}
	return o, true
}

// subsequence is the longest common one of two texts, found by dynamic programming over their prefixes. Of the
// table one row is kept, and one bit for each cell: whether the way back goes up.
type subsequence struct {
	a, b   []byte
	length int
	up     []uint64
}

func newSubsequence(a, b []byte, traced bool) *subsequence {
	s := &subsequence{a: a, b: b}
	row := make([]int32, len(b)+1)
	if traced {
		s.up = make([]uint64, (len(a)*len(b)+63)/64)
	}
	for i := range a {
		left, corner := int32(0), int32(0)
		for j := range b {
			above := row[j+1]
			switch {
			case a[i] == b[j]:
				left = corner + 1
			case above > left:
				left = above
				if traced {
					at := i*len(b) + j
					s.up[at/64] |= 1 << (at % 64)
				}
			}
			corner, row[j+1] = above, left
		}
	}
	s.length = int(row[len(b)])
	return s
}

// match is a run that both texts have, in bytes, ends included.
type match struct{ aFrom, aTo, bFrom, bTo int }

// trace walks back from the ends, and gives the subsequence and its runs, the last first.
func (s *subsequence) trace() (common []byte, runs []match) {
	common = make([]byte, s.length)
	at, open := s.length, false
	for i, j := len(s.a), len(s.b); i > 0 && j > 0; {
		if s.a[i-1] != s.b[j-1] {
			open = false
			if cell := (i-1)*len(s.b) + j - 1; s.up[cell/64]>>(cell%64)&1 == 1 {
				i--
			} else {
				j--
			}
			continue
		}
		i, j, at = i-1, j-1, at-1
		common[at] = s.a[i]
		if open {
			last := &runs[len(runs)-1]
			last.aFrom, last.bFrom = i, j
			continue
		}
		runs, open = append(runs, match{i, i, j, j}), true
	}
	return common, runs
}

func (c *client) lcsReply(s *subsequence, o lcsOptions) {
	common, runs := s.trace()
	if !o.index {
		c.bulk(common)
		return
	}
	kept := runs[:0]
	for _, run := range runs {
		if int64(run.aTo-run.aFrom+1) >= o.minLength {
			kept = append(kept, run)
		}
	}
	c.mapOf(2)
	c.bulkString("matches")
	c.array(len(kept))
	for _, run := range kept {
		c.matchReply(run, o.withLength)
	}
	c.bulkString("len")
	c.int(int64(s.length))
}

func (c *client) matchReply(run match, withLength bool) {
	if !c.room(64) {
		return
	}
	if withLength {
		c.array(3)
	} else {
		c.array(2)
	}
	for _, ends := range [][2]int{{run.aFrom, run.aTo}, {run.bFrom, run.bTo}} {
		c.array(2)
		c.int(int64(ends[0]))
		c.int(int64(ends[1]))
	}
	if withLength {
		c.int(int64(run.aTo - run.aFrom + 1))
	}
}

// sameBytes says whether writing val over old would change nothing.
func sameBytes(old, val []byte, there bool) bool { return there && bytes.Equal(old, val) }

package resp

import (
	"bytes"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
)

// A region's cursor is a hash of 64 bits. Clients get its upper 53, since some of them hold a cursor in a
// floating-point number. A walk that resumes there may deliver the few names below its cursor again, which
// SCAN allows.
const (
	cursorShift = 11
	cursorMax   = 1<<(64-cursorShift) - 1
)

// scan is one call of SCAN, SSCAN or HSCAN.
type scan struct {
	cursor  uint64 // of the region
	count   int
	pattern string // empty: every name
	kind    []byte // SCAN alone: TYPE's argument
}

// scanCountDefault is how much one call looks at unless COUNT says otherwise, as in Redis.
const scanCountDefault = 10

// scanCountMax bounds what one call looks at, whatever COUNT says, so that no call holds the region long.
const scanCountMax = 100_000

func (s scan) matches(name string) bool { return s.pattern == "" || globMatch(s.pattern, name, false) }

func (s scan) wants(kind crdt.Kind) bool {
	return s.kind == nil || bytes.EqualFold(s.kind, []byte(kind.String()))
}

// cursorAt reads the cursor in the argument at i, or answers that it is none. One that no walk gave out
// ends the walk.
func (c *client) cursorAt(i int) (cursor uint64, ok bool) {
	n, ok := parseCursor(c.args[i])
	if !ok {
		c.fail("ERR invalid cursor")
	}
	return min(n, cursorMax) << cursorShift, ok
}

// walk takes one step and returns the cursor to give out. A step that would not move that cursor, because
// more names than COUNT share it, is taken again with a larger count.
func (s scan) walk(step func(s scan) (next uint64, found []string)) (cursor uint64, found []string) {
	for {
		next, found := step(s)
		if next == 0 || next>>cursorShift > s.cursor>>cursorShift {
			return next >> cursorShift, found
		}
		s.count *= 2
	}
}

// scanOptions reads the options from args[from:] on, or answers what is wrong with them.
func (c *client) scanOptions(from int, withType bool) (s scan, ok bool) {
	s.count = scanCountDefault
	for i := from; i < len(c.args); i += 2 {
		word, more := lowerWord(c.args[i]), i+1 < len(c.args)
		switch {
		case word == "count" && more:
			n, ok := c.integer(i + 1)
			if !ok {
				return s, false
			}
			if n < 1 {
				c.fail(errSyntax)
				return s, false
			}
			s.count = int(min(n, scanCountMax))
		case word == "match" && more:
			if s.pattern = view(c.args[i+1]); s.pattern == "*" {
				s.pattern = ""
			}
		case word == "type" && more && withType:
			s.kind = c.args[i+1]
		default:
			c.fail(errSyntax)
			return s, false
		}
	}
	return s, true
}

func scanKeys(c *client, v *crdt.View) {
	cursor, ok := c.cursorAt(1)
	if !ok {
		return
	}
	s, ok := c.scanOptions(2, true)
	if !ok {
		return
	}
	s.cursor = cursor
	c.scanReply(s.walk(func(s scan) (next uint64, found []string) {
		next = v.Scan(s.cursor, s.count, func(key string, kind crdt.Kind) {
			if s.wants(kind) && s.matches(key) {
				found = append(found, key)
			}
		})
		return next, found
	}))
}

// scanParts answers SSCAN and HSCAN: step delivers the names, and values, from the cursor on.
func (c *client) scanParts(v *crdt.View, key string, kind crdt.Kind, step func(s scan) (next uint64, found []string)) {
	cursor, ok := c.cursorAt(2)
	if !ok {
		return
	}
	switch have := v.Kind(key); {
	case have == crdt.KindNone:
		c.scanReply(0, nil)
		return
	case have != kind:
		c.fail(errWrongType)
		return
	}
	s, ok := c.scanOptions(3, false)
	if !ok {
		return
	}
	s.cursor = cursor
	c.scanReply(s.walk(step))
}

func (c *client) scanReply(next uint64, found []string) {
	var digits [20]byte
	c.array(2)
	c.bulk(strconv.AppendUint(digits[:0], next, 10))
	c.bulks(found)
}

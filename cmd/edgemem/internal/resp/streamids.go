package resp

import (
	"bytes"
	"math"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
)

const (
	errStreamID = "ERR Invalid stream ID specified as stream command argument"
	// streamIDBytesMax bounds an id, as in Redis.
	streamIDBytesMax = 127
)

// parseStreamNumber reads one of the two numbers of an id, as strtoull does, on which Redis relies here: blanks before it, a plus sign
// and leading zeros are accepted.
func parseStreamNumber(b []byte) (uint64, bool) {
	b = bytes.TrimLeft(b, " \t\n\v\f\r")
	if len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 || b[0] < '0' || b[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(view(b), 10, 64)
	return n, err == nil
}

// parseStreamID reads ms-seq, ms alone with the seq that is missing, or ms-* where auto says that it was that.
func parseStreamID(arg []byte, missing uint64) (id crdt.StreamID, auto, ok bool) {
	if len(arg) > streamIDBytesMax {
		return id, false, false
	}
	if i := bytes.IndexByte(arg, 0); i >= 0 { // Redis reads C's strings
		arg = arg[:i]
	}
	ms, seq, hasSeq := bytes.Cut(arg, []byte("-"))
	if id.MS, ok = parseStreamNumber(ms); !ok {
		return id, false, false
	}
	switch id.Seq = missing; {
	case hasSeq && len(seq) == 1 && seq[0] == '*':
		id.Seq, auto = 0, true
	case hasSeq:
		id.Seq, ok = parseStreamNumber(seq)
	}
	return id, auto, ok
}

// streamID reads an id of a command, or answers that it is none.
func (c *client) streamID(arg []byte, missing uint64) (crdt.StreamID, bool) {
	id, auto, ok := parseStreamID(arg, missing)
	if !ok || auto {
		c.fail(errStreamID)
	}
	return id, ok && !auto
}

// entryID reads an id that XADD takes.
func (c *client) entryID(arg []byte) (e entryID, ok bool) {
	id, auto, ok := parseStreamID(arg, 0)
	if !ok {
		c.fail(errStreamID)
	}
	return entryID{id, true, !auto}, ok
}

// rangeEnd reads an end of a range: an id, one behind a parenthesis, which is left out, - or +.
func (c *client) rangeEnd(arg []byte, high bool) (id crdt.StreamID, ok bool) {
	missing := uint64(0)
	if high {
		missing = math.MaxUint64
	}
	switch {
	case len(arg) == 1 && arg[0] == '-':
		return crdt.StreamID{}, true
	case len(arg) == 1 && arg[0] == '+':
		return crdt.StreamIDMax, true
	case len(arg) < 2 || arg[0] != '(':
		return c.streamID(arg, missing)
	}
	if id, ok = c.streamID(arg[1:], missing); !ok {
		return id, false
	}
	if high {
		if id, ok = id.Prev(); !ok {
			c.fail("ERR invalid end ID for the interval")
		}
		return id, ok
	}
	if id, ok = id.Next(); !ok {
		c.fail("ERR invalid start ID for the interval")
	}
	return id, ok
}

package resp

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/redcon"
)

// writer builds replies in the protocol that the connection speaks, RESP2 until HELLO 3. One reply may
// not pass limitBytes: what is written beyond it is dropped, and overflowed tells.
type writer struct {
	buf        []byte
	start      int // where the reply under way begins
	limitBytes int
	overflowed bool
	resp3      bool
}

// begin marks the start of a reply.
func (w *writer) begin() { w.start, w.overflowed = len(w.buf), false }

// undo takes back what the reply under way has written.
func (w *writer) undo() { w.buf = w.buf[:w.start] }

// room says whether n more bytes fit the reply, and notes it when they do not.
func (w *writer) room(n int) bool {
	if len(w.buf)-w.start+n > w.limitBytes {
		w.overflowed = true
	}
	return !w.overflowed
}

func (w *writer) ok()             { w.buf = redcon.AppendOK(w.buf) }
func (w *writer) status(s string) { w.buf = redcon.AppendString(w.buf, s) }
func (w *writer) int(n int64)     { w.buf = redcon.AppendInt(w.buf, n) }
func (w *writer) array(n int)     { w.buf = redcon.AppendArray(w.buf, n) }
func (w *writer) bulkInt(n int64) { w.buf = redcon.AppendBulkInt(w.buf, n) }
func (w *writer) raw(text string) { w.buf = append(w.buf, text...) }

// fail writes an error line: a code in capitals, a space, the text. Line breaks at its end go and others
// become blanks, as in Redis, so that text from a client cannot end the line.
func (w *writer) fail(text string) {
	text = strings.TrimRight(text, "\r\n")
	w.buf = append(w.buf, '-')
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		w.buf = append(w.buf, c)
	}
	w.buf = append(w.buf, '\r', '\n')
}

func (w *writer) failf(format string, args ...any) { w.fail(fmt.Sprintf(format, args...)) }

func (w *writer) bulk(b []byte) {
	if w.room(len(b)) {
		w.buf = redcon.AppendBulk(w.buf, b)
	}
}

func (w *writer) bulkString(s string) {
	if w.room(len(s)) {
		w.buf = redcon.AppendBulkString(w.buf, s)
	}
}

// bool01 writes the 0 or 1 by which Redis's commands say no and yes in both protocols.
func (w *writer) bool01(yes bool) {
	if yes {
		w.raw(":1\r\n")
		return
	}
	w.raw(":0\r\n")
}

// null is the absent value.
func (w *writer) null() {
	if w.resp3 {
		w.raw("_\r\n")
		return
	}
	w.raw("$-1\r\n")
}

// nullArray is the absent array, which RESP3 does not tell from any other null.
func (w *writer) nullArray() {
	if w.resp3 {
		w.raw("_\r\n")
		return
	}
	w.raw("*-1\r\n")
}

// mapOf opens a map of n pairs; RESP2 has it as an array of 2n.
func (w *writer) mapOf(n int) {
	if w.resp3 {
		w.header('%', n)
		return
	}
	w.array(2 * n)
}

// setOf opens a set of n members; RESP2 has it as an array.
func (w *writer) setOf(n int) {
	if w.resp3 {
		w.header('~', n)
		return
	}
	w.array(n)
}

// openHeader begins an array or a set of which the number of elements is not known yet.
func (w *writer) openHeader() (at int) { return len(w.buf) }

// closeArray puts the header in front of the n elements that were written since openHeader.
func (w *writer) closeArray(at, n int) { w.closeHeader(at, '*', n) }

// closeSet is closeArray for a set.
func (w *writer) closeSet(at, n int) {
	if w.resp3 {
		w.closeHeader(at, '~', n)
		return
	}
	w.closeArray(at, n)
}

func (w *writer) closeHeader(at int, kind byte, n int) {
	var room [24]byte
	head := append(strconv.AppendInt(append(room[:0], kind), int64(n), 10), '\r', '\n')
	w.buf = slices.Insert(w.buf, at, head...)
}

// pushOf opens a message of n parts that nobody asked for; RESP2 has it as an array.
func (w *writer) pushOf(n int) {
	if w.resp3 {
		w.header('>', n)
		return
	}
	w.array(n)
}

func (w *writer) header(kind byte, n int) {
	w.buf = append(w.buf, kind)
	w.buf = strconv.AppendInt(w.buf, int64(n), 10)
	w.buf = append(w.buf, '\r', '\n')
}

// verbatim is text for people. RESP2 has it as a bulk string.
func (w *writer) verbatim(text string) {
	if !w.resp3 {
		w.bulkString(text)
		return
	}
	if w.room(len(text)) {
		w.header('=', len("txt:")+len(text))
		w.raw("txt:")
		w.raw(text)
		w.raw("\r\n")
	}
}

// double is a number with a fraction; RESP2 has it as a bulk string.
func (w *writer) double(f float64) {
	var room [32]byte
	w.typedLine(',', appendDouble(room[:0], f))
}

// appendDouble writes a number as C's %.17g does.
func appendDouble(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	case math.IsNaN(f):
		return append(b, "nan"...)
	}
	return strconv.AppendFloat(b, f, 'g', 17, 64)
}

// boolean is RESP3's true or false; RESP2 has it as an integer.
func (w *writer) boolean(yes bool) {
	if !w.resp3 {
		w.bool01(yes)
		return
	}
	if yes {
		w.raw("#t\r\n")
		return
	}
	w.raw("#f\r\n")
}

// bigNumber is an integer of any length, in decimal; RESP2 has it as a bulk string.
func (w *writer) bigNumber(decimal string) { w.typedLine('(', []byte(decimal)) }

func (w *writer) typedLine(kind byte, text []byte) {
	if !w.resp3 {
		w.bulk(text)
		return
	}
	w.buf = append(w.buf, kind)
	w.buf = append(w.buf, text...)
	w.buf = append(w.buf, '\r', '\n')
}

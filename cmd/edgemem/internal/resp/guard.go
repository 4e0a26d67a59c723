package resp

import (
	"bytes"
	"fmt"
)

// guard finds where the commands in a connection's query buffer end, and refuses what would cost too
// much before any of it is stored: announced lengths, argument counts and line lengths. It keeps its
// place between reads, so a command that arrives one byte at a time is looked at once, not once per read.
//
// redcon's own reader cannot be used on hostile input: it believes an announced bulk of 512 MB, calls
// itself once per read until its stack is full, and slices by a negative length. It only ever sees
// frames that the guard has passed.
type guard struct {
	limits *Limits
	form   form
	at     int // bytes of the head command that have been looked at
	left   int // arguments of the head command still to come
	args   int // arguments that the head command announced
}

// form says how the command at the head of the buffer is written.
type form uint8

const (
	formUnknown form = iota // no byte of it seen yet
	formArray               // *2\r\n$3\r\nGET\r\n…
	formInline              // GET key\r\n
)

// What Redis allows a client that has not authenticated yet.
const (
	openArgsMax = 10
	openBulkMax = 16 << 10
)

// inlineBytesMax bounds an inline command, as in Redis.
const inlineBytesMax = 64 << 10

// lengthBytesMax bounds the digits of "*3" or "$12" with room for every valid length.
const lengthBytesMax = 32

// protocolError is a fault of framing. The client is told, and the connection closed, because what
// follows cannot be understood.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

// next looks at buf, whose first byte is the first of a command, and returns how many bytes that
// command takes, or 0 when more must be read. open says that the client has not authenticated.
func (g *guard) next(buf []byte, open bool) (sizeBytes int, err error) {
	if len(buf) == 0 {
		return 0, nil
	}
	if g.form == formUnknown {
		g.form = formInline
		if buf[0] == '*' {
			g.form = formArray
		}
	}
	if g.form == formInline {
		return g.nextInline(buf)
	}
	return g.nextArray(buf, open)
}

// reset forgets the command at the head, which its caller has taken out of the buffer.
func (g *guard) reset() { *g = guard{limits: g.limits} }

func (g *guard) nextInline(buf []byte) (int, error) {
	end := bytes.IndexByte(buf[g.at:], '\n')
	if end < 0 {
		g.at = len(buf)
		if g.at > inlineBytesMax {
			return 0, protocolError("too big inline request")
		}
		return 0, nil
	}
	size := g.at + end + 1
	if size > inlineBytesMax {
		return 0, protocolError("too big inline request")
	}
	return size, nil
}

func (g *guard) nextArray(buf []byte, open bool) (int, error) {
	if g.at == 0 {
		if done, err := g.header(buf, open); !done {
			return 0, err
		}
	}
	for g.left > 0 {
		end, err := g.argument(buf, open)
		if end == 0 {
			return 0, err
		}
		g.at = end
		g.left--
	}
	return g.at, nil
}

// header reads "*3\r\n". A count of zero or less is a command of no arguments, which Redis skips.
func (g *guard) header(buf []byte, open bool) (done bool, err error) {
	count, end, err := lengthLine(buf, 1, "too big mbulk count string", "invalid multibulk length")
	if end == 0 {
		return false, err
	}
	switch {
	case count > int64(g.limits.Args):
		return false, protocolError("invalid multibulk length")
	case open && count > openArgsMax:
		return false, protocolError("unauthenticated multibulk length")
	}
	g.at, g.args = end, int(max(count, 0))
	g.left = g.args
	return true, nil
}

// argument reads "$3\r\nGET\r\n" at g.at and returns where it ends, or 0.
func (g *guard) argument(buf []byte, open bool) (end int, err error) {
	if g.at >= len(buf) {
		return 0, nil
	}
	if buf[g.at] != '$' {
		return 0, protocolError(fmt.Sprintf("expected '$', got '%c'", printable(buf[g.at])))
	}
	size, body, err := lengthLine(buf, g.at+1, "too big bulk count string", "invalid bulk length")
	if body == 0 {
		return 0, err
	}
	switch {
	case size < 0 || size > int64(g.limits.BulkBytes):
		return 0, protocolError("invalid bulk length")
	case open && size > openBulkMax:
		return 0, protocolError("unauthenticated bulk length")
	}
	end = body + int(size) + len("\r\n")
	if end > g.limits.CommandBytes {
		return 0, protocolError(fmt.Sprintf("command of more than %d bytes", g.limits.CommandBytes))
	}
	if end > len(buf) {
		return 0, nil
	}
	if buf[end-2] != '\r' || buf[end-1] != '\n' {
		return 0, protocolError("expected CRLF after a bulk string")
	}
	return end, nil
}

// lengthLine reads the decimal number of a line that starts at buf[from:] and returns where the line
// ends, or 0 when it is not whole yet.
func lengthLine(buf []byte, from int, tooBig, invalid protocolError) (n int64, end int, err error) {
	line := buf[from:]
	if len(line) > lengthBytesMax {
		line = line[:lengthBytesMax]
	}
	cr := bytes.IndexByte(line, '\r')
	if cr < 0 {
		if len(line) == lengthBytesMax {
			return 0, 0, tooBig
		}
		return 0, 0, nil
	}
	if cr+1 == len(line) {
		if len(line) == lengthBytesMax {
			return 0, 0, tooBig
		}
		return 0, 0, nil
	}
	n, ok := parseInt(line[:cr])
	if !ok || line[cr+1] != '\n' {
		return 0, 0, invalid
	}
	return n, from + cr + len("\r\n"), nil
}

// printable keeps a stray control byte out of an error line.
func printable(b byte) byte {
	if b < ' ' || b > '~' {
		return '?'
	}
	return b
}

// Package respclient speaks RESP2 as a client, as far as the demo and the tests need it: one
// connection, pipelines, replies as plain Go values. A Conn is for one goroutine at a time, except that
// one may send while another receives.
package respclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

const (
	bufferBytes = 64 << 10
	// maxBulkBytes and maxArray bound what a reply may claim before any of it has arrived.
	maxBulkBytes = 64 << 20
	maxArray     = 16 << 20
	maxDepth     = 8
)

// Error is an error reply, such as "ERR unknown command".
type Error string

func (e Error) Error() string { return string(e) }

// ErrProtocol means that the bytes were no RESP2.
var ErrProtocol = errors.New("respclient: bad reply")

// Conn is one connection.
type Conn struct {
	net net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
}

// Dial connects to host:port or unix:PATH.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("respclient: %w", err)
	}
	return &Conn{c, bufio.NewReaderSize(c, bufferBytes), bufio.NewWriterSize(c, bufferBytes)}, nil
}

// Close ends the connection; pending calls fail.
func (c *Conn) Close() error { return c.net.Close() }

// Do sends one command and gives its reply: string, int64, nil, []any of these, or an Error as err.
func (c *Conn) Do(args ...string) (any, error) {
	if err := c.Send(args...); err != nil {
		return nil, err
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	return c.Receive()
}

// Send buffers one command.
func (c *Conn) Send(args ...string) error {
	c.header('*', len(args))
	for _, a := range args {
		c.header('$', len(a))
		c.w.WriteString(a)
		c.w.WriteString("\r\n")
	}
	_, err := c.w.Write(nil) // bufio keeps the first error
	return err
}

func (c *Conn) header(kind byte, n int) {
	b := append(c.w.AvailableBuffer(), kind)
	b = strconv.AppendInt(b, int64(n), 10)
	c.w.Write(append(b, '\r', '\n'))
}

// Flush sends what is buffered.
func (c *Conn) Flush() error { return c.w.Flush() }

// Receive reads the next reply.
func (c *Conn) Receive() (any, error) {
	reply, err := c.read(0)
	if err != nil {
		return nil, err
	}
	if e, ok := reply.(Error); ok {
		return nil, e
	}
	return reply, nil
}

func (c *Conn) read(depth int) (any, error) {
	kind, text, err := c.line()
	if err != nil {
		return nil, err
	}
	switch kind {
	case '+':
		return text, nil
	case '-':
		return Error(text), nil
	case ':':
		return c.integer(text)
	case '$':
		return c.bulk(text)
	case '*':
		return c.array(text, depth)
	}
	return nil, fmt.Errorf("%w: begins with %q", ErrProtocol, kind)
}

func (c *Conn) line() (kind byte, rest string, err error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return 0, "", err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, "", fmt.Errorf("%w: line %q", ErrProtocol, line)
	}
	return line[0], line[1 : len(line)-2], nil
}

func (c *Conn) integer(text string) (any, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: integer %q", ErrProtocol, text)
	}
	return n, nil
}

func (c *Conn) bulk(text string) (any, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 || n > maxBulkBytes {
		return nil, fmt.Errorf("%w: length %q", ErrProtocol, text)
	}
	if n == -1 {
		return nil, nil
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return nil, err
	}
	return string(b[:n]), nil
}

func (c *Conn) array(text string, depth int) (any, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 || n > maxArray || depth == maxDepth {
		return nil, fmt.Errorf("%w: array %q", ErrProtocol, text)
	}
	if n == -1 {
		return nil, nil
	}
	list := make([]any, 0, min(n, 1024))
	for range n {
		item, err := c.read(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

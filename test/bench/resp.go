package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// A respConn is just enough of a Redis client to load data and to see that a server is there.
type respConn struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

// respCallMax bounds one call or one batch of a pipeline.
const respCallMax = 60 * time.Second

func dialRESP(addr string) (*respConn, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return nil, err
	}
	return &respConn{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 256<<10)}, nil
}

func (c *respConn) close() { _ = c.conn.Close() }

func (c *respConn) send(args ...string) {
	fmt.Fprintf(c.w, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c.w, "$%d\r\n", len(a))
		_, _ = c.w.WriteString(a) // the error stays with the writer until Flush
		_, _ = c.w.WriteString("\r\n")
	}
}

func (c *respConn) flush() error {
	if err := c.conn.SetDeadline(time.Now().Add(respCallMax)); err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *respConn) do(args ...string) (string, error) {
	c.send(args...)
	if err := c.flush(); err != nil {
		return "", err
	}
	return c.reply()
}

// reply reads a simple string, an error, an integer or a bulk string.
func (c *respConn) reply() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	if len(line) < 3 {
		return "", fmt.Errorf("malformed reply %q", line)
	}
	kind, rest := line[0], line[1:len(line)-2]
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", err
		}
		body := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, body); err != nil {
			return "", err
		}
		return string(body[:n]), nil
	}
	return "", fmt.Errorf("reply of unknown kind %q", line)
}

// respBatch is how many commands of a load are under way at once.
const respBatch = 1000

// pipeline sends n commands, batch by batch, and fails on the first error reply.
func (c *respConn) pipeline(n int, command func(i int) []string) error {
	for start := 0; start < n; start += respBatch {
		end := min(start+respBatch, n)
		for i := start; i < end; i++ {
			c.send(command(i)...)
		}
		if err := c.flush(); err != nil {
			return err
		}
		for i := start; i < end; i++ {
			if _, err := c.reply(); err != nil {
				return fmt.Errorf("command %d: %w", i, err)
			}
		}
	}
	return nil
}

// fill writes n entries of 16-byte keys and 100-byte values into a database of the server at addr.
func fill(addr string, database, n int) error {
	c, err := dialRESP(addr)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.do("SELECT", strconv.Itoa(database)); err != nil {
		return err
	}
	next := valueSource(1)
	return c.pipeline(n, func(i int) []string { return []string{"SET", key(i), string(next())} })
}

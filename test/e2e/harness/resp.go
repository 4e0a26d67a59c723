package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Conn is a client of the Redis protocol, RESP2, for one goroutine. Its replies are string, int64, nil,
// []any of these, or Failure.
type Conn struct {
	net net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
}

// Failure is an error reply.
type Failure string

func (f Failure) Error() string { return string(f) }

// replyTimeout ends a connection to a daemon that hangs.
const replyTimeout = 30 * time.Second

// Dial connects to an address as the status names it: host:port or unix:PATH.
func Dial(addr string) (*Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	c, err := net.DialTimeout(network, addr, replyTimeout)
	if err != nil {
		return nil, err
	}
	return &Conn{c, bufio.NewReader(c), bufio.NewWriter(c)}, nil
}

// Close ends the connection.
func (c *Conn) Close() { c.net.Close() }

// Do sends one command and gives its reply; a Failure is returned as error.
func (c *Conn) Do(args ...string) (any, error) {
	replies, err := c.Pipeline([][]string{args})
	if err != nil {
		return nil, err
	}
	if f, ok := replies[0].(Failure); ok {
		return nil, f
	}
	return replies[0], nil
}

// Pipeline sends commands at once and gives their replies, as many as came before the error.
func (c *Conn) Pipeline(cmds [][]string) ([]any, error) {
	c.net.SetDeadline(time.Now().Add(replyTimeout))
	for _, args := range cmds {
		fmt.Fprintf(c.w, "*%d\r\n", len(args))
		for _, a := range args {
			fmt.Fprintf(c.w, "$%d\r\n%s\r\n", len(a), a)
		}
	}
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	replies := make([]any, 0, len(cmds))
	for range cmds {
		r, err := c.read()
		if err != nil {
			return replies, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

// Receive gives what comes without being asked for: a message.
func (c *Conn) Receive() (any, error) {
	c.net.SetDeadline(time.Now().Add(replyTimeout))
	return c.read()
}

func (c *Conn) read() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("harness: empty reply line")
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return rest, nil
	case '-':
		return Failure(rest), nil
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '$':
		return c.bulk(rest)
	case '*':
		return c.array(rest)
	}
	return nil, fmt.Errorf("harness: reply %q", line)
}

func (c *Conn) bulk(length string) (any, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return nil, err
	}
	b := make([]byte, n+2)
	_, err = io.ReadFull(c.r, b)
	return string(b[:n]), err
}

func (c *Conn) array(length string) (any, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = c.read(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

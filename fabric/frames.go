package fabric

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// conn frames a stream: length, kind, payload.
type conn struct {
	s      io.ReadWriteCloser
	ctx    context.Context // ends waits for limits
	limIn  buckets
	limOut buckets
	asked  int // what the other side asked for, see heed
	r      *bufio.Reader
	w      *bufio.Writer
	in     uint64
	out    uint64
	pace   pace // of what comes
	buf    []byte
	reused []byte

	// The frame whose beginning was read.
	pending bool
	kind    byte
	size    int

	waiting bool // for the other side's turn
	duplex  bool // one goroutine reads while another writes: each has a time limit of its own
}

// Larger reads and writes go past the buffers, and a stream that waits costs little.
const (
	readBuffer  = 4 << 10
	writeBuffer = 8 << 10
)

func newConn(ctx context.Context, s io.ReadWriteCloser, l limits) *conn {
	c := &conn{s: s, ctx: ctx, limIn: buckets{l.in}, limOut: buckets{l.out}}
	c.r, c.w = bufio.NewReaderSize(attentive{c}, readBuffer), bufio.NewWriterSize(attentive{c}, writeBuffer)
	return c
}

// patience sets how long the next read or write may take.
func (c *conn) patience(d time.Duration) {
	if s, ok := c.s.(interface{ SetDeadline(time.Time) error }); ok {
		_ = s.SetDeadline(time.Now().Add(d))
	}
}

// step sets how long the next read, or write, may take.
func (c *conn) step(reads bool) {
	s, ok := c.s.(interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	})
	switch {
	case !c.duplex:
		c.patience(stallTimeout)
	case ok && reads:
		_ = s.SetReadDeadline(time.Now().Add(stallTimeout))
	case ok:
		_ = s.SetWriteDeadline(time.Now().Add(stallTimeout))
	}
}

// attentive gives every step of a stream stallTimeout, so that a link is cut off for standing still, and not for
// being slow.
type attentive struct{ c *conn }

// writeStep is what a link must take within stallTimeout: a link of 1 kB/s is fast enough.
const writeStep = 16 << 10

func (a attentive) Read(b []byte) (int, error) {
	if !a.c.waiting {
		a.c.step(true)
	}
	n, err := a.c.s.Read(b[:a.c.limIn.step(len(b))])
	a.c.pace.add(n)
	if err == nil {
		err = a.c.limIn.wait(a.c.ctx, n)
	}
	return n, err
}

func (a attentive) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		step := a.c.limOut.step(min(len(b)-n, writeStep))
		if err = a.c.limOut.wait(a.c.ctx, step); err != nil {
			break
		}
		a.c.step(false)
		var k int
		k, err = a.c.s.Write(b[n : n+step])
		n += k
	}
	return n, err
}

// heed keeps what is sent to a limit that the other side asked for, bytes a second: it could only let the stream run full,
// and then we would seem to stand still.
func (c *conn) heed(limit int) {
	if limit != c.asked {
		c.asked = limit
		c.limOut = append(c.limOut[:1:1], newLimiter(limit))
	}
}

func (c *conn) send(kind byte, payload []byte) error {
	head := binary.AppendUvarint(c.reused[:0], uint64(len(payload))+1)
	c.reused = append(head, kind)
	c.out += uint64(len(c.reused) + len(payload))
	if _, err := c.w.Write(c.reused); err != nil {
		return err
	}
	_, err := c.w.Write(payload)
	return err
}

func (c *conn) flush() error { return c.w.Flush() }

// begun waits until the other side says something: it may have to wait for a pull of its own that is slow.
func (c *conn) begun() error {
	c.patience(2 * stallTimeout)
	c.waiting = true
	_, err := c.r.Peek(1)
	c.waiting = false
	return err
}

// idle waits until the other side says something, for as long as the link lives.
func (c *conn) idle() error {
	if s, ok := c.s.(interface{ SetReadDeadline(time.Time) error }); ok && c.duplex {
		_ = s.SetReadDeadline(time.Time{})
	} else if s, ok := c.s.(interface{ SetDeadline(time.Time) error }); ok && !c.duplex {
		_ = s.SetDeadline(time.Time{})
	}
	c.waiting = true
	_, err := c.r.Peek(1)
	c.waiting = false
	return err
}

// read gives the next frame; the payload is valid until the next read.
func (c *conn) read() (kind byte, payload []byte, err error) {
	if kind, err = c.next(); err != nil {
		return 0, nil, err
	}
	payload, err = c.payload()
	return kind, payload, err
}

// next gives the kind of the next frame, whose payload, or skip, must follow. Called again, it gives the same.
func (c *conn) next() (kind byte, err error) {
	if c.pending {
		return c.kind, nil
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, err
	}
	if n == 0 || n > frameMax {
		return 0, fmt.Errorf("%w: a frame of %d bytes, limit %d", errProtocol, n, frameMax)
	}
	if kind, err = c.r.ReadByte(); err != nil {
		return 0, err
	}
	if n > smallMax && kind != frameChunk && kind != frameZstd {
		return 0, fmt.Errorf("%w: a frame of kind %d and %d bytes", errProtocol, kind, n)
	}
	c.in += n + 2
	c.kind, c.size, c.pending = kind, int(n-1), true
	return kind, nil
}

// payload reads the frame that next announced. Memory grows with what comes, not with what is announced.
func (c *conn) payload() ([]byte, error) {
	c.pending = false
	return c.fill(c.size)
}

// skip passes over the frame that next announced.
func (c *conn) skip() error {
	c.pending = false
	_, err := c.r.Discard(c.size)
	return err
}

func (c *conn) fill(n int) ([]byte, error) {
	if cap(c.buf) > 4*chunkBytes && n < chunkBytes {
		c.buf = nil
	}
	b := c.buf[:0]
	for len(b) < n {
		step := min(n-len(b), 256<<10)
		at := len(b)
		if cap(b)-at < step {
			b = append(b, make([]byte, step)...)[:at]
		}
		k, err := io.ReadFull(c.r, b[at:at+step])
		b = b[:at+k]
		if err != nil {
			return nil, err
		}
	}
	c.buf = b
	return b, nil
}

// close ends the stream; abort tells the other side that the session failed.
func (c *conn) close(err error) {
	if err != nil {
		if a, ok := c.s.(interface{ Reset() error }); ok {
			_ = a.Reset()
			return
		}
	}
	_ = c.s.Close()
}

// watchContext resets the stream when ctx ends, so that no read or write outlives it.
func (c *conn) watchContext(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.close(ctx.Err()) })
}

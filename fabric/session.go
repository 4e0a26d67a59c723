package fabric

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A pull is one exchange on one stream. The puller speaks first:
//
//	puller → CHECK fingerprint of all regions
//	         ASK   region, fingerprint, …          (all regions that hold something)
//	         HELLO what was seen of one region, …  (up to inlineHellos of them)
//	         OVER
//	peer   → NAME region, name; CHUNK …            (for each region of which it has more)
//	         WANT  region, …                       (its fingerprint differs and no HELLO came: again from HELLO)
//	         END   region, fingerprint, …          (what the peer has of the regions that differed)
//
// So a pull takes one round trip whatever was missed, two where more than inlineHellos regions changed. A
// periodic pull with many regions sends CHECK alone first, and gets SAME or DIFFER.
const (
	frameCheck  = 1
	frameAsk    = 2
	frameHello  = 3
	frameOver   = 4
	frameName   = 5
	frameChunk  = 6
	frameWant   = 7
	frameEnd    = 8
	frameSame   = 9
	frameDiffer = 10
)

const (
	frameMax     = 32 << 20 // one cell may hold some concurrent values of 1 MiB
	smallMax     = 8 << 20  // frames other than chunks
	chunkBytes   = 256 << 10
	inlineHellos = 64
	// stallTimeout ends a session in which nothing came or went for that long. What was merged stays.
	stallTimeout = 15 * time.Second
)

var errProtocol = errors.New("fabric: peer breaks the sync protocol")

// conn frames a stream: length, kind, payload.
type conn struct {
	s      io.ReadWriteCloser
	r      *bufio.Reader
	w      *bufio.Writer
	in     uint64
	out    uint64
	buf    []byte
	reused []byte

	waiting bool // for the other side's turn
}

func newConn(s io.ReadWriteCloser) *conn {
	c := &conn{s: s}
	c.r, c.w = bufio.NewReaderSize(attentive{c}, 32<<10), bufio.NewWriterSize(attentive{c}, 32<<10)
	return c
}

// patience sets how long the next read or write may take.
func (c *conn) patience(d time.Duration) {
	if s, ok := c.s.(interface{ SetDeadline(time.Time) error }); ok {
		_ = s.SetDeadline(time.Now().Add(d))
	}
}

// attentive gives every step of a stream stallTimeout, so that a link is cut off for standing still, and not for
// being slow.
type attentive struct{ c *conn }

// writeStep is what a link must take within stallTimeout: a link of 1 kB/s is fast enough.
const writeStep = 16 << 10

func (a attentive) Read(b []byte) (int, error) {
	if !a.c.waiting {
		a.c.patience(stallTimeout)
	}
	return a.c.s.Read(b)
}

func (a attentive) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		a.c.patience(stallTimeout)
		var k int
		k, err = a.c.s.Write(b[n:min(len(b), n+writeStep)])
		n += k
	}
	return n, err
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

// read gives the next frame; the payload is valid until the next read. Memory grows with what comes, not
// with what is announced.
func (c *conn) read() (kind byte, payload []byte, err error) {
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	if n == 0 || n > frameMax {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes, limit %d", errProtocol, n, frameMax)
	}
	if kind, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	if n > smallMax && kind != frameChunk {
		return 0, nil, fmt.Errorf("%w: a frame of kind %d and %d bytes", errProtocol, kind, n)
	}
	c.in += n + 2
	payload, err = c.fill(int(n - 1))
	return kind, payload, err
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

// summary is a list of regions with the fingerprints of their contexts.
type summary struct {
	id   crdt.RegionID
	hash uint64
}

// state is what was seen of a region when a session began.
type state struct {
	r *Region
	*seen
}

func appendSummary(b []byte, s []state) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, x := range s {
		b = append(b, x.r.id[:]...)
		b = binary.BigEndian.AppendUint64(b, x.hash)
	}
	return b
}

func decodeSummary(b []byte) ([]summary, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n != uint64(len(b)-k)/24 || (len(b)-k)%24 != 0 {
		return nil, fmt.Errorf("%w: a list of regions of %d bytes", errProtocol, len(b))
	}
	out := make([]summary, n)
	for i := range out {
		x := b[k+24*i:]
		out[i] = summary{crdt.RegionID(x[:16]), binary.BigEndian.Uint64(x[16:24])}
	}
	return out, nil
}

func decodeIDs(b []byte) ([]crdt.RegionID, error) {
	if len(b)%16 != 0 {
		return nil, fmt.Errorf("%w: a list of regions of %d bytes", errProtocol, len(b))
	}
	out := make([]crdt.RegionID, len(b)/16)
	for i := range out {
		out[i] = crdt.RegionID(b[16*i : 16*i+16])
	}
	return out, nil
}

// summaries lists the regions that have seen something, and fingerprints them all.
func (f *Fabric) summaries() (list []state, all uint64) {
	for _, r := range f.all() {
		if s := r.seen(); s.hash != 0 {
			list = append(list, state{r, s})
			all ^= fingerprint(r.id, s.hash)
		}
	}
	return list, all
}

func fingerprint(id crdt.RegionID, h uint64) uint64 {
	x := binary.BigEndian.Uint64(id[:8]) ^ h*0x9e3779b97f4a7c15
	x ^= x >> 32
	return x * 0xd6e8feb86659fd93
}

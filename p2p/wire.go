package p2p

import (
	"encoding/binary"
	"errors"
	"io"
)

// errTruncated and errTrailing are what the decoders of this package find wrong with the shape of their
// input; errTooLong with its size.
var (
	errTruncated = errors.New("truncated")
	errTrailing  = errors.New("bytes after the end")
	errTooLong   = errors.New("too long")
	errVersion   = errors.New("unknown version")
)

// decoder reads a bounded byte string field by field. After the first error every read gives zero values,
// so that a caller checks once, at the end, with done. Slices it returns alias the input.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}

// take returns the next n bytes.
func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.rest) {
		d.fail(errTruncated)
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	b := d.take(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number of things to follow, at most limit.
func (d *decoder) count(limit int) int {
	n := d.uvarint()
	if n > uint64(limit) {
		d.fail(errTooLong)
		return 0
	}
	return int(n)
}

// bytes reads a byte string with its length before it, at most limit long.
func (d *decoder) bytes(limit int) []byte { return d.take(d.count(limit)) }

func (d *decoder) done() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = errTrailing
	}
	return d.err
}

func appendBytes(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

func appendString(b []byte, field string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// A frame on a stream is a kind, the length of the payload as a uvarint, and the payload.

// writeFrame sends one frame in one Write, so that it costs one packet.
func writeFrame(w io.Writer, kind byte, payload []byte) error {
	_, err := w.Write(appendFrame(nil, kind, payload))
	return err
}

func appendFrame(b []byte, kind byte, payload []byte) []byte {
	return appendBytes(append(b, kind), payload)
}

// readFrame receives one frame whose payload is at most limit long. r must be unbuffered or kept by the
// caller: nothing is read beyond the frame.
func readFrame(r io.Reader, limit int) (kind byte, payload []byte, err error) {
	br := oneByteReader{r: r}
	if kind, err = br.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(&br)
	if err != nil {
		return 0, nil, err
	}
	if size > uint64(limit) {
		return 0, nil, errTooLong
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	return kind, payload, err
}

type oneByteReader struct {
	r   io.Reader
	buf [1]byte
}

func (o *oneByteReader) ReadByte() (byte, error) {
	_, err := io.ReadFull(o.r, o.buf[:])
	return o.buf[0], err
}

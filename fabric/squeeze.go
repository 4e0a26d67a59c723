package fabric

import (
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Chunks travel compressed where that pays: where the link takes longer for what compression saves than compression itself
// takes. Each session finds that out by itself, and tries again now and then.
const (
	squeezeMin    = 1 << 10 // a smaller chunk is sent as it is
	squeezeGain   = 0.03    // the least share that compression must save
	squeezeWindow = 1 << 20 // bytes of chunks over which a session judges, so that the link's buffers run full
	squeezeRest   = 8 << 20 // bytes of chunks that are sent as they are before it tries again
)

// squeezer compresses one session's chunks.
type squeezer struct {
	codecs *codecs
	enc    *zstd.Encoder // while the session lasts; nil before the first chunk

	rest     int // bytes to send as they are
	in, out  int // of this window
	took     time.Duration
	linkTook time.Duration
	buf      []byte
}

// codecs are a node's compressors, about 1 MB each. They go when nobody pulls.
type codecs struct{ encoders, decoders sync.Pool }

func (c *codecs) encoder() *zstd.Encoder {
	if e, ok := c.encoders.Get().(*zstd.Encoder); ok {
		return e
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(chunkBytes), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are wrong
	}
	return e
}

func (c *codecs) decoder() *zstd.Decoder {
	if d, ok := c.decoders.Get().(*zstd.Decoder); ok {
		return d
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(frameMax))
	if err != nil {
		panic(err)
	}
	return d
}

// squeeze gives the chunk compressed, or nil if it is to be sent as it is.
func (s *squeezer) squeeze(chunk []byte) []byte {
	if s.rest -= len(chunk); s.rest > 0 || len(chunk) < squeezeMin {
		return nil
	}
	if s.enc == nil {
		s.enc = s.codecs.encoder()
	}
	start := time.Now()
	s.buf = s.enc.EncodeAll(chunk, s.buf[:0])
	s.took += time.Since(start)
	s.in, s.out = s.in+len(chunk), s.out+len(s.buf)
	if float64(len(s.buf)) > float64(len(chunk))*(1-squeezeGain) {
		s.stop()
		return nil
	}
	return s.buf
}

// sent tells how long the link took for what squeeze gave.
func (s *squeezer) sent(took time.Duration) {
	s.linkTook += took
	if s.in < squeezeWindow {
		return
	}
	saved := float64(s.linkTook) * float64(s.in-s.out) / float64(s.out)
	if saved < float64(s.took) {
		s.stop()
	}
	s.in, s.out, s.took, s.linkTook = 0, 0, 0, 0
}

func (s *squeezer) stop() {
	s.rest = squeezeRest
	s.in, s.out, s.took, s.linkTook = 0, 0, 0, 0
}

// end gives back what the session held.
func (s *squeezer) end() {
	if s.enc != nil {
		s.codecs.encoders.Put(s.enc)
		s.enc = nil
	}
}

// unsqueeze gives a chunk back, at most frameMax bytes. buf is reused.
func (c *codecs) unsqueeze(b, buf []byte) ([]byte, error) {
	d := c.decoder()
	defer c.decoders.Put(d)
	out, err := d.DecodeAll(b, buf[:0])
	if err != nil {
		return nil, fmt.Errorf("%w: a compressed chunk of %d bytes: %w", errProtocol, len(b), err)
	}
	return out, nil
}

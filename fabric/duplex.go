package fabric

import (
	"context"
	"fmt"
	"sync"
)

// duplex is a stream of requests, or of answers to them: one goroutine writes what is put into its queue, another reads.
type duplex struct {
	c      *conn
	ctx    context.Context // ends with the stream
	cancel context.CancelCauseFunc
	wake   chan struct{} // capacity 1: one signal stands for any number
	room   signal

	mu     sync.Mutex // a leaf
	frames []duplexFrame
	bytes  int
}

type duplexFrame struct {
	kind byte
	b    []byte
}

// duplexBytesMax is how much waits to be written; who puts more waits. One frame more than the longest fits.
const duplexBytesMax = 1 << 20

func newDuplex(ctx context.Context, c *conn) *duplex {
	l := &duplex{c: c, wake: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	return l
}

// put queues a frame, whose bytes it takes over. It waits while too much is queued, until ctx or the stream ends.
func (l *duplex) put(ctx context.Context, kind byte, b []byte) error {
	for {
		room := l.room.next()
		if l.tryPut(kind, b, false) {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
}

// say queues a short frame however much there is: there is at most one of a kind for each request under way.
func (l *duplex) say(kind byte, b []byte) { l.tryPut(kind, b, true) }

func (l *duplex) tryPut(kind byte, b []byte, always bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil || l.bytes >= duplexBytesMax && !always {
		return false
	}
	l.frames = append(l.frames, duplexFrame{kind, b})
	l.bytes += len(b)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// write writes what is queued until the stream ends, which it does when a write fails.
func (l *duplex) write() {
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		l.mu.Lock()
		frames := l.frames
		l.frames = nil
		l.mu.Unlock()
		for _, f := range frames {
			if err := l.c.send(f.kind, f.b); err != nil {
				l.cancel(err)
				return
			}
			l.mu.Lock()
			l.bytes -= len(f.b)
			l.mu.Unlock()
			l.room.raise()
		}
		if err := l.c.flush(); err != nil {
			l.cancel(err)
			return
		}
	}
}

// read gives every frame to fn, whose bytes are valid until it returns, until the stream ends. Kinds that fn does not know it passes over.
func (l *duplex) read(fn func(kind byte, b []byte) error) (err error) {
	defer func() { l.cancel(err) }()
	for {
		if err := l.c.idle(); err != nil {
			return err
		}
		kind, err := l.c.next()
		if err != nil {
			return err
		}
		if l.c.size > remoteFrameLimit(kind) {
			return fmt.Errorf("%w: a frame of kind %d and %d bytes", errProtocol, kind, l.c.size)
		}
		b, err := l.c.payload()
		if err != nil {
			return err
		}
		if err := fn(kind, b); err != nil {
			return err
		}
	}
}

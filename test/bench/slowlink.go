package main

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// A slowLink makes every byte that its transports send arrive late, and counts them. It stands for the
// wire: streams open without a round trip of their own, as they do over libp2p to a known peer.
type slowLink struct {
	delay atomic.Int64 // one way, in nanoseconds
	bytes atomic.Int64 // both ways, streams and gossip
	trips atomic.Int64 // most round trips that one stream took
}

// turned notes that who opened a stream has heard an answer for the nth time.
func (l *slowLink) turned(n int64) {
	for most := l.trips.Load(); n > most && !l.trips.CompareAndSwap(most, n); most = l.trips.Load() {
	}
}

func (l *slowLink) set(oneWay time.Duration) { l.delay.Store(int64(oneWay)) }

func (l *slowLink) due(n int) time.Time {
	l.bytes.Add(int64(n))
	return time.Now().Add(time.Duration(l.delay.Load()))
}

// over wraps the transport of one end.
func (l *slowLink) over(t fabric.Transport) fabric.Transport { return &slowTransport{t, l} }

type slowTransport struct {
	fabric.Transport
	link *slowLink
}

func (t *slowTransport) Serve(onPeer func(crdt.NodeID, string, string, bool), onGossip func(crdt.NodeID, []byte),
	onStream func(crdt.NodeID, io.ReadWriteCloser)) error {
	return t.Transport.Serve(onPeer, onGossip, func(peer crdt.NodeID, s io.ReadWriteCloser) {
		onStream(peer, t.link.stream(s))
	})
}

func (t *slowTransport) OpenStream(ctx context.Context, peer crdt.NodeID) (io.ReadWriteCloser, error) {
	s, err := t.Transport.OpenStream(ctx, peer)
	if err != nil {
		return nil, err
	}
	return &askingStream{slowStream: t.link.stream(s)}, nil
}

// An askingStream is the end that opened a stream. Each time that it reads after it has written, a round trip is over.
type askingStream struct {
	*slowStream
	asked atomic.Bool
	trips atomic.Int64
}

func (s *askingStream) Write(p []byte) (int, error) {
	s.asked.Store(true)
	return s.slowStream.Write(p)
}

func (s *askingStream) Read(p []byte) (int, error) {
	n, err := s.slowStream.Read(p)
	if n > 0 && s.asked.Swap(false) {
		s.link.turned(s.trips.Add(1))
	}
	return n, err
}

func (t *slowTransport) Publish(ctx context.Context, frame []byte) error {
	held := append([]byte(nil), frame...)
	time.AfterFunc(time.Until(t.link.due(len(frame))), func() {
		_ = t.Transport.Publish(context.WithoutCancel(ctx), held) // gossip makes no promise
	})
	return nil
}

// slowChunksMax bounds what one direction of a stream holds back; when it is full, Write waits.
const slowChunksMax = 1024

// stream holds back what is written. What is read was held back by the other end.
func (l *slowLink) stream(s io.ReadWriteCloser) *slowStream {
	out := &slowStream{ReadWriteCloser: s, link: l, held: make(chan heldChunk, slowChunksMax), broken: make(chan struct{})}
	go out.release() // ends when the stream is closed, as every stream is
	return out
}

type slowStream struct {
	io.ReadWriteCloser
	link *slowLink

	held   chan heldChunk
	broken chan struct{} // closed when the other end is gone
	once   sync.Once
	mu     sync.Mutex // orders Write and Close
	closed bool
}

func (s *slowStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	c := heldChunk{s.link.due(len(p)), append([]byte(nil), p...)}
	select {
	case s.held <- c:
		return len(p), nil
	case <-s.broken:
		return 0, io.ErrClosedPipe
	}
}

// Close ends the stream once what was written has been delivered.
func (s *slowStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.held)
	}
	return nil
}

// Reset ends the stream at once.
func (s *slowStream) Reset() error {
	_ = s.Close() // cannot fail
	return s.ReadWriteCloser.Close()
}

func (s *slowStream) release() {
	defer s.ReadWriteCloser.Close()
	for c := range s.held {
		if wait := time.Until(c.due); wait > 0 {
			time.Sleep(wait)
		}
		if _, err := s.ReadWriteCloser.Write(c.data); err != nil {
			s.once.Do(func() { close(s.broken) })
		}
	}
}

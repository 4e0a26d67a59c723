package p2p

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
)

// syncProtocol carries the pull protocol of DESIGN §4.
const syncProtocol protocol.ID = "/edgemem/sync/1"

// Stream is what OpenStream returns and onStream receives, besides Read, Write and Close.
type Stream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	CloseWrite() error
	Reset() error
}

// OpenStream opens a sync stream to a connected peer. It does not wait for the other side: an answer that
// the peer does not speak the protocol comes with the first Read. The error is ErrNotConnected, with the
// peer's name, if there is no proven connection.
func (h *Host) OpenStream(ctx context.Context, to crdt.NodeID) (io.ReadWriteCloser, error) {
	id, err := peer.Decode(string(to))
	if err != nil {
		return nil, fmt.Errorf("p2p: open stream to %q: not a peer id: %w", to, err)
	}
	conn := h.spans.conn(id)
	if conn == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotConnected, h.members.describe(id))
	}
	s, err := openStream(ctx, conn, syncProtocol)
	if err != nil {
		return nil, fmt.Errorf("p2p: open stream to %s: %w", h.members.describe(id), err)
	}
	return s, nil
}

// openStream opens a stream for one of our own protocols, over a circuit as over a direct connection.
func openStream(ctx context.Context, c network.Conn, id protocol.ID) (network.Stream, error) {
	return openStreamOn(network.WithAllowLimitedConn(ctx, "edgemem"), c, id)
}

// openStreamOn opens a stream for one protocol that the other side is known to speak: the agreement on it
// travels with the first bytes written, and costs no round trip.
func openStreamOn(ctx context.Context, c network.Conn, id protocol.ID) (network.Stream, error) {
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.SetProtocol(id); err != nil {
		s.Reset()
		return nil, err
	}
	return &lazyStream{Stream: s, rw: multistream.NewMSSelect(s, id)}, nil
}

// lazyStream is a stream whose protocol is agreed on along with its first bytes.
type lazyStream struct {
	network.Stream
	rw multistream.LazyConn
}

func (s *lazyStream) Read(p []byte) (int, error)  { return s.rw.Read(p) }
func (s *lazyStream) Write(p []byte) (int, error) { return s.rw.Write(p) }

// Close waits for the other side's agreement, if it is not there yet, but not for long.
func (s *lazyStream) Close() error {
	s.SetReadDeadline(time.Now().Add(negotiationTimeout))
	return s.rw.Close()
}

// CloseWrite sends the proposal first if nothing was written: else the other side would wait for it.
func (s *lazyStream) CloseWrite() error {
	if f, ok := s.rw.(interface{ Flush() error }); ok {
		f.Flush() // an error comes back from the next Read or Write
	}
	return s.Stream.CloseWrite()
}

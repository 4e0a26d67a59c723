package p2p

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"
)

// standing is what a connection's other side may do.
type standing int32

const (
	stranger standing = iota // nothing but prove membership, or join
	admitted                 // it has proven itself and may open streams; it has not yet agreed to ours
	proven                   // both have
)

const (
	negotiationTimeout = 5 * time.Second
	// foreignStreamsMax is how many streams of other protocols a stranger may try before it is cut off.
	foreignStreamsMax = 8
	// glareWindow is how young a connection is that may have been dialled at the same moment as another.
	glareWindow = dialTimeout
	// glareDial is how long an attempt of ours at a peer makes the peer's own a glare: several round trips.
	glareDial = 2 * time.Second
	// refusalLinger leaves the other side time to read why it was refused.
	refusalLinger = 500 * time.Millisecond
)

// link is one connection: its standing, its proof, and, once proven, its control stream.
type link struct {
	h        *Host
	conn     network.Conn
	peer     peer.ID
	outbound bool
	ip       string

	standing atomic.Int32
	foreign  atomic.Int32
	counted  atomic.Bool         // among the gate's unproven connections
	joining  atomic.Bool         // a join is being answered on it
	joined   atomic.Bool         // a join was granted on it
	incoming chan network.Stream // the dialler's proof stream; room for one, a second is reset
	verdict  chan struct{}       // closed when the proof is over, either way
	ended    chan struct{}       // closed when the connection has ended
	err      error               // why it failed; set before verdict is closed
	cert     *Certificate        // set before standing leaves stranger
	control  *control            // set before standing becomes proven
	since    time.Time
	hush     hush        // of maintain alone
	relays   atomic.Bool // the peer has said that it is a relay
	serves   atomic.Bool // and that it takes part in the directory
	// When the peer last asked to be dialled, and for members, counted from since; of the control stream's reader alone.
	dialMe, sought time.Duration
	gossips        chan struct{} // closed when gossipsub has its stream on this connection
	gone           bool          // the connection has ended; guarded by spans.mu
	managed        bool          // the connection manager knows it; guarded by spans.mu
}

// links knows every connection of the swarm.
type links struct {
	h  *Host
	mu sync.Mutex
	m  map[network.Conn]*link
}

var _ network.Notifiee = (*links)(nil)

// Listen implements network.Notifiee.
func (ls *links) Listen(network.Network, ma.Multiaddr) {}

// ListenClose implements network.Notifiee.
func (ls *links) ListenClose(network.Network, ma.Multiaddr) {}

// Connected implements network.Notifiee. The swarm accepts streams of c only after it returned, so that
// every stream finds its link.
func (ls *links) Connected(_ network.Network, c network.Conn) {
	if ls.h.gate.is(modeJoining) {
		return // join.go drives this connection itself, and closes it
	}
	l := &link{
		h: ls.h, conn: c, peer: c.RemotePeer(), ip: ipOf(c), since: time.Now(),
		outbound: c.Stat().Direction == network.DirOutbound,
		incoming: make(chan network.Stream, 1),
		verdict:  make(chan struct{}),
		ended:    make(chan struct{}),
		gossips:  make(chan struct{}),
	}
	ls.mu.Lock()
	ls.m[c] = l
	ls.mu.Unlock()
	l.counted.Store(true)
	ls.h.gate.enter(l.ip)
	if !ls.h.goes.run(l.run) || !ls.h.gate.is(modeOpen) {
		c.Close()
	}
}

// Disconnected implements network.Notifiee; it comes after Connected returned.
func (ls *links) Disconnected(_ network.Network, c network.Conn) {
	ls.mu.Lock()
	l := ls.m[c]
	delete(ls.m, c)
	ls.mu.Unlock()
	if l == nil {
		return
	}
	close(l.ended)
	l.uncount()
	l.h.countQUIC(c)
	l.h.spans.drop(l)
	l.h.neighbours.leave(l)
	if l.is(proven) {
		l.h.services.down(l)
	}
	l.h.reserve.kick()
}

func (ls *links) of(c network.Conn) *link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.m[c]
}

func (ls *links) all() []*link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	all := make([]*link, 0, len(ls.m))
	for _, l := range ls.m {
		all = append(all, l)
	}
	return all
}

// proving are the peers of connections that are proven or about to be.
func (ls *links) proving() map[peer.ID]bool {
	peers := map[peer.ID]bool{}
	for _, l := range ls.all() {
		if !l.is(stranger) {
			peers[l.peer] = true
		}
	}
	return peers
}

func (l *link) isOver() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

func (l *link) is(s standing) bool { return standing(l.standing.Load()) == s }

// run is the life of the connection on our side: proof, then control stream until either side ends it.
func (l *link) run() {
	defer l.conn.Close()
	s, rtt, err := l.prove()
	if err != nil {
		l.fail(err)
		return
	}
	s.SetDeadline(time.Time{})
	l.control = newControl(l, s, rtt)
	l.standing.Store(int32(proven))
	close(l.verdict)
	if !l.h.spans.add(l) {
		return // closed meanwhile
	}
	l.h.onProven(l)
	l.control.run()
}

// errEndedUnproven is the normal end of a connection that was made to redeem a ticket, and of one that lost
// against another when the peer dialled several addresses.
var errEndedUnproven = errors.New("the other side ended the connection without a proof")

func (l *link) fail(err error) {
	l.err = err
	close(l.verdict)
	if l.joined.Load() || errors.Is(err, errDuplicate) || errors.Is(err, errEndedUnproven) || l.h.ctx.Err() != nil {
		return
	}
	l.h.metrics.proofsFailed.Inc()
	if !l.outbound && errors.Is(err, ErrCertificate) {
		l.h.gate.punish(l.peer)
	}
	l.h.log.Info("p2p: connection without membership closed", "peer", l.peer, "addr", l.conn.RemoteMultiaddr(), "dialled", l.outbound, "err", err)
}

// prove runs the proof within proofTimeout. On failure it leaves the other side a moment to read the reason.
func (l *link) prove() (network.Stream, time.Duration, error) {
	deadline := l.since.Add(l.h.cfg.proofTimeout)
	s, err := l.proofStream(deadline)
	if err != nil {
		return nil, 0, err
	}
	s.SetDeadline(deadline)
	p := prover{fabric: l.h.fabric, hello: l.h.helloFrame(), now: l.h.cfg.Now, accept: l.admit}
	var rtt time.Duration
	if l.outbound {
		s, rtt, err = l.proveAsDialler(&p, s, deadline)
	} else {
		rtt, err = p.listen(s, l.peer)
	}
	if err != nil {
		linger(s)
		return nil, 0, err
	}
	return s, rtt, nil
}

// proveAsDialler speaks first. Both ends of a connection through a punched hole have dialled: then the one with the
// larger id gives its own stream up for the other's, and answers on that.
func (l *link) proveAsDialler(p *prover, s network.Stream, deadline time.Time) (network.Stream, time.Duration, error) {
	theirs := make(chan network.Stream, 1)
	done := make(chan struct{})
	var wg sync.WaitGroup
	if l.h.id > l.peer {
		wg.Go(func() {
			select {
			case in := <-l.incoming:
				theirs <- in
				s.Reset()
			case <-done:
			}
		})
	}
	rtt, err := p.dial(s, l.peer)
	close(done)
	wg.Wait()
	if len(theirs) == 0 {
		return s, rtt, err
	}
	s = <-theirs
	s.SetDeadline(deadline)
	rtt, err = p.listen(s, l.peer)
	return s, rtt, err
}

// admit lets a member in, unless its connection is one too many.
func (l *link) admit(h hello) error {
	if !l.outbound && l.glare() || l.detour() {
		return errDuplicate
	}
	l.cert = h.cert
	l.h.members.learn(h.cert, h.contact, true)
	l.standing.Store(int32(admitted))
	l.uncount()
	return nil
}

// glare tells whether this node and the peer dialled each other at the same moment, and ours is to be kept. A direct
// connection is no match for a circuit of ours: it takes its place.
func (l *link) glare() bool {
	if l.h.id > l.peer {
		return false
	}
	now, since, ok := l.h.spans.current(l.peer)
	if ok && isCircuit(now.conn.RemoteMultiaddr()) && !isCircuit(l.conn.RemoteMultiaddr()) {
		ok = false
	}
	return l.h.keeper.isDialling(l.peer) || ok && now.outbound && time.Since(since) < glareWindow
}

// detour tells whether this is a circuit to a peer that has just been reached directly.
func (l *link) detour() bool {
	if !isCircuit(l.conn.RemoteMultiaddr()) {
		return false
	}
	now, since, ok := l.h.spans.current(l.peer)
	return ok && !isCircuit(now.conn.RemoteMultiaddr()) && time.Since(since) < glareWindow
}

func (l *link) uncount() {
	if l.counted.CompareAndSwap(true, false) {
		l.h.gate.leave(l.ip)
	}
}

// linger ends our side of the stream and waits until the other side has ended its own.
func linger(s network.Stream) {
	s.CloseWrite()
	s.SetReadDeadline(time.Now().Add(refusalLinger))
	io.Copy(io.Discard, io.LimitReader(s, proofFrameMax))
	s.Reset()
}

// proofStream opens the stream if we dialled, and waits for it if we were dialled.
func (l *link) proofStream(deadline time.Time) (network.Stream, error) {
	if l.outbound {
		return openStream(l.h.ctx, l.conn, memberProtocol)
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		select {
		case s := <-l.incoming:
			return s, nil
		case <-l.ended:
			return nil, errEndedUnproven
		case <-timer.C:
			if !l.joining.Load() {
				return nil, fmt.Errorf("no proof of membership within %v", l.h.cfg.proofTimeout)
			}
			timer.Reset(l.h.cfg.proofTimeout) // bounded by the join's own deadline
		}
	}
}

// onStream is the second door: every stream that another side opens comes through here. It is called in a
// goroutine of its own.
func (ls *links) onStream(s network.Stream) {
	l := ls.of(s.Conn())
	if l == nil || s.SetDeadline(time.Now().Add(negotiationTimeout)) != nil {
		s.Reset()
		return
	}
	if l.is(stranger) {
		l.admitStream(s)
		return
	}
	id, handle, err := l.h.mux.Negotiate(s)
	if err != nil || s.SetProtocol(id) != nil {
		s.Reset()
		return
	}
	s.SetDeadline(time.Time{})
	handle(id, s)
}

// admitStream serves what a stranger may ask for. Anything else is reset at the first word, so that a
// stranger does not even learn which protocols there are.
func (l *link) admitStream(s network.Stream) {
	id, err := readProtocol(s)
	if err != nil || (id != memberProtocol && id != joinProtocol) || s.SetProtocol(id) != nil {
		l.turnAway(s)
		return
	}
	if _, err := s.Write(protocolHeader(id)); err != nil {
		s.Reset()
		return
	}
	if id == joinProtocol {
		l.joining.Store(true)
		defer l.joining.Store(false)
		l.joined.Store(l.h.serveJoin(s))
		return
	}
	select {
	case l.incoming <- s:
	default:
		l.turnAway(s)
	}
}

func (l *link) turnAway(s network.Stream) {
	s.Reset()
	if l.foreign.Add(1) > foreignStreamsMax {
		l.conn.Close()
	}
}

// quicConn is the QUIC connection under c, nil if it runs over TCP.
func quicConn(c network.Conn) *quic.Conn {
	var q *quic.Conn
	if !c.As(&q) {
		return nil
	}
	return q
}

// protocolHeader is what either side of multistream-select writes to agree on one protocol.
func protocolHeader(id protocol.ID) []byte {
	b := appendString(nil, multistream.ProtocolID+"\n")
	return appendString(b, string(id)+"\n")
}

// readProtocol reads what the opening side wrote: the version of multistream-select and the one protocol
// that it wants.
func readProtocol(r io.Reader) (protocol.ID, error) {
	version, err := multistream.ReadNextToken[string](r)
	if err != nil {
		return "", err
	}
	if version != multistream.ProtocolID {
		return "", errVersion
	}
	return multistream.ReadNextToken[protocol.ID](r)
}

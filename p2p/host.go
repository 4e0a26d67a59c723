package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
)

// closeTimeout is how long Close waits for callbacks that are under way.
const closeTimeout = 2 * time.Second

// Host is a node's place in the mesh. All methods may be called at any time from any goroutine.
type Host struct {
	cfg    Config
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	goes   *goes

	id      peer.ID
	fabric  FabricID
	member  *membership
	invites *invites // nil unless this node holds the authority

	gate       *gate
	traffic    *traffic
	quic       counter // QUIC connections that have ended
	metrics    *hostMetrics
	book       *book
	net        *fabricNet
	conns      *connmgr.BasicConnMgr
	mux        *multistream.MultistreamMuxer[protocol.ID]
	links      *links
	spans      *spans
	members    *members
	keeper     *keeper
	neighbours *neighbours
	view       *gossipView
	services   *memberHost
	reachable  *reachability
	reserve    *reservations
	seeker     *seeker
	directory  *directory         // nil unless this node takes part in it
	relay      *relay.Relay       // nil unless this node is a relay
	punch      *holepunch.Service // nil until there is an address to punch for; guarded by mu
	dialBacks  chan struct{}      // one token for each neighbour that is being dialled back
	gossip     *gossip
	direct     *direct

	hello   atomic.Pointer[[]byte] // what we show in a proof
	contact contact                // guarded by mu

	mu      sync.Mutex
	serving bool
	closed  bool
	offline bool
	probed  time.Time      // when peers were last asked for a sign of life
	ways    []ma.Multiaddr // our own addresses, when last looked at
	mdns    io.Closer      // nil while off
	stop    sync.Once
	stopErr error
}

// Open makes this node a member and opens its listeners. A node without membership joins the fabric of
// Config.Ticket, or founds one if there is no ticket. Nobody connects, either way, before Serve.
//
// The error is one of the sentinels of this package, with the field, file, address or peer that it is about.
func Open(ctx context.Context, c Config) (*Host, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	h := &Host{cfg: c, log: c.Logger, gate: newGate(), traffic: newTraffic(), mux: multistream.NewMultistreamMuxer[protocol.ID]()}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.goes = &goes{}
	h.metrics = newHostMetrics(h)
	pushes, more := newPushMetrics(h.metrics.gossipDropped)
	h.direct = newDirect(h, pushes)
	h.metrics.all = append(append(h.metrics.all, more...), h.direct.gauges()...)
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Host) open(ctx context.Context) (err error) {
	var t *ticket
	if h.cfg.Ticket != "" {
		parsed, err := parseTicket(h.cfg.Ticket)
		if err != nil {
			return err
		}
		t = &parsed
	}
	if h.member, err = loadMembership(filepath.Join(h.cfg.Dir, folderName)); err != nil {
		return err
	}
	h.id = h.member.id
	if err := h.openNet(); err != nil {
		return err
	}
	if err := h.becomeMember(ctx, t); err != nil {
		return err
	}
	h.fabric = h.member.fabric()
	h.warnOfExpiry()
	if err := h.openProtocols(); err != nil {
		return err
	}
	h.offline, err = h.loadOffline()
	return errors.Join(err, h.metrics.register(h.cfg.Registerer))
}

// openNet opens the peerstore and the listeners, behind a closed gate.
func (h *Host) openNet() (err error) {
	if h.book, err = openBook(h.ctx, h.member.path(peersFolder), h.log); err != nil {
		return err
	}
	key, err := libp2pKey(h.member.key)
	if err != nil {
		return err
	}
	h.net, err = newNet(netParts{key: key, id: h.id, book: h.book, gate: h.gate, traffic: h.traffic, peersHigh: h.cfg.PeersHigh})
	if err != nil {
		return fmt.Errorf("p2p: start libp2p: %w", err)
	}
	h.spans, h.members, h.keeper, h.neighbours = newSpans(h), newMembers(h), newKeeper(h), newNeighbours(h)
	h.gate.self, h.dialBacks = h.id, make(chan struct{}, dialMeAtOnce)
	h.reachable, h.reserve = newReachability(h), newReservations(h)
	h.seeker = newSeeker(h)
	h.keeper.urgent, h.keeper.seek = h.reserve.urgent, h.seeker.want
	if h.services, err = newMemberHost(h); err != nil {
		return err
	}
	h.links = &links{h: h, m: map[network.Conn]*link{}}
	h.conns, err = connmgr.NewConnManager(h.cfg.PeersLow, h.cfg.PeersHigh, connmgr.WithGracePeriod(dialTimeout))
	if err != nil {
		return err
	}
	h.net.Notify(h.links)
	h.net.SetStreamHandler(h.links.onStream)
	if err := h.openCircuits(); err != nil {
		return fmt.Errorf("p2p: open the transport over relays: %w", err)
	}
	return h.net.listen(h.cfg.listen, len(h.cfg.Listen) == 0)
}

// becomeMember founds or joins a fabric, unless the node belongs to one already.
func (h *Host) becomeMember(ctx context.Context, t *ticket) error {
	m := h.member
	if err := m.compatible(t); err != nil {
		return err
	}
	switch {
	case m.cert != nil && t != nil:
		h.log.Info("p2p: this node is a member of the fabric already; the ticket is not needed", "fabric", t.fabric)
	case m.cert == nil && t != nil:
		if err := h.join(ctx, *t); err != nil {
			return err
		}
		h.log.Info("p2p: joined the fabric", "fabric", t.fabric, "through", t.issuer)
	case m.cert == nil:
		if err := m.found(h.cfg.Name, h.cfg.Tier, h.cfg.Now()); err != nil {
			return err
		}
		h.log.Info("p2p: founded a fabric; this node holds its authority", "fabric", m.fabric())
	}
	if m.authority == nil {
		return nil
	}
	var err error
	h.invites, err = loadInvites(m, h.cfg.Now, h.log)
	return err
}

// certificateWarning is how long before its end a certificate is warned of.
const certificateWarning = 30 * 24 * time.Hour

func (h *Host) warnOfExpiry() {
	left := h.member.cert.Expiry.Sub(h.cfg.Now())
	switch {
	case left <= 0:
		h.log.Error("p2p: this node's certificate has expired, or its clock is wrong: no member will accept it; join again with a new ticket", "expired", h.member.cert.Expiry)
	case left < certificateWarning:
		h.log.Warn("p2p: this node's certificate expires soon; join again with a new ticket", "expires", h.member.cert.Expiry)
	}
}

// openProtocols starts what runs over proven connections.
func (h *Host) openProtocols() (err error) {
	if h.view, err = newGossipView(h); err != nil {
		return err
	}
	if h.gossip, err = newGossip(h.ctx, h, h.view); err != nil {
		return err
	}
	h.hasMoved()
	if err := h.startDirectory(); err != nil {
		return err
	}
	if err := h.startRelay(); err != nil {
		return err
	}
	h.refreshContact()
	if err := h.members.load(); err != nil {
		h.log.Warn("p2p: cannot read the known members; they will be learned anew", "err", err)
	}
	h.addSeeds()
	return nil
}

// addSeeds are the peers known by configuration: static addresses, and the issuer of our certificate.
func (h *Host) addSeeds() {
	for _, seed := range append(h.cfg.static, h.member.issuer) {
		if seed.ID != "" && seed.ID != h.id {
			h.book.Peerstore.AddAddrs(seed.ID, seed.Addrs, peerstore.PermanentAddrTTL)
			h.keeper.watch(seed.ID, time.Time{})
		}
	}
	for _, static := range h.cfg.static {
		h.conns.Protect(static.ID, "static")
		h.keeper.stick(static.ID)
	}
}

// Self is this node's id: the text of its libp2p peer id.
func (h *Host) Self() crdt.NodeID { return nodeID(h.id) }

// Name and Tier are what the certificate says: what Config said when the node became a member.
func (h *Host) Name() string { return h.member.cert.Name }

// Tier is the tier in the certificate.
func (h *Host) Tier() string { return h.member.cert.Tier }

// FabricID names the fabric that this node is a member of.
func (h *Host) FabricID() FabricID { return h.fabric }

// Serve installs the callbacks and opens the gate: from now on this node dials, and is dialled. It may be
// called once. No callback is called after Close has returned.
//
// onPeer comes once for the beginning and once for the end of a peer's span, in order, from one goroutine; up
// only after the peer has proven membership. onGossip receives frames from members, one at a time, from
// several goroutines; from is the neighbour that handed the frame on, which has the data, not its author. The frame
// is the callee's. A frame can come shortly before its neighbour's onPeer, or after its end. onStream is
// called in a goroutine of its own for every sync stream that a member opens; the callee closes it. Its
// concrete type satisfies Stream.
func (h *Host) Serve(
	onPeer func(peer crdt.NodeID, name, tier string, up bool),
	onGossip func(from crdt.NodeID, frame []byte),
	onStream func(peer crdt.NodeID, s io.ReadWriteCloser),
) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if h.serving {
		return ErrServing
	}
	h.direct.onGossip = onGossip
	if err := h.gossip.join(); err != nil {
		return err
	}
	h.serving = true
	h.mux.AddHandler(syncProtocol, func(_ protocol.ID, rw io.ReadWriteCloser) error {
		s := rw.(network.Stream)
		if !h.goes.run(func() { onStream(h.spans.node(s.Conn().RemotePeer()), s) }) {
			return s.Reset()
		}
		return nil
	})
	h.mux.AddHandler(pushProtocol, func(_ protocol.ID, rw io.ReadWriteCloser) error {
		return h.direct.onPush(rw.(network.Stream))
	})
	h.goes.run(func() { h.spans.deliver(onPeer) })
	h.goes.run(h.gossip.attend)
	h.goes.run(h.keeper.loop)
	h.goes.run(h.maintain)
	h.goes.run(h.reserve.loop)
	if h.directory != nil {
		h.goes.run(h.directory.loop)
	}
	if h.offline {
		h.gate.set(modeOffline)
		return nil
	}
	h.goOnline()
	return nil
}

// Publish sends a frame of at most MaxFrameBytes to the whole fabric, by the way that costs least: see the package
// documentation. It returns once the frame is queued, and waits for no peer; frames may be lost. Off line it goes
// nowhere, without an error. The frame may be reused.
func (h *Host) Publish(ctx context.Context, frame []byte) error {
	if h.ctx.Err() != nil {
		return ErrClosed
	}
	return h.direct.publish(ctx, frame)
}

// PublishTo is Publish of a frame that only some members want. Where every neighbour is sent a frame of its own the others are spared it; by the
// topic, and from device to feeder, it goes to all.
func (h *Host) PublishTo(ctx context.Context, frame []byte, wanted func(crdt.NodeID) bool) error {
	if h.ctx.Err() != nil {
		return ErrClosed
	}
	return h.direct.publishTo(ctx, frame, wanted)
}

// OnMissed installs a callback for word that a peer could not send us all of its frames: whoever needs what they held
// pulls from that peer. At most about once a second and peer; it may come from several goroutines, and is to return
// soon. It is installed before Serve; the default does nothing.
func (h *Host) OnMissed(missed func(peer crdt.NodeID)) { h.direct.onMissed = missed }

// Invite makes a ticket with which other nodes can join, one line of lower-case letters and digits. It is
// valid as soon as Invite returns, over restarts of this node, until it is used up or expires. Who has it
// can join: it is to be treated as a password. ErrNotAuthority names the node to ask instead.
func (h *Host) Invite(o InviteOptions) (string, error) {
	if err := o.validate(); err != nil {
		return "", err
	}
	if h.invites == nil {
		return "", fmt.Errorf("%w; ask %s, which does", ErrNotAuthority, h.members.describe(h.member.issuer.ID))
	}
	s, expiry, err := h.invites.add(o)
	if err != nil {
		return "", err
	}
	t := ticket{fabric: h.fabric, issuer: h.id, addrs: h.directAddrs(), secret: s, expiry: expiry}
	return t.String(), nil
}

// Close says goodbye to every peer, ends all connections and waits for what runs. Within about two seconds,
// unless a callback does not return; then the error says so. It may be called again.
func (h *Host) Close() error {
	h.stop.Do(func() { h.stopErr = h.shutDown() })
	return h.stopErr
}

func (h *Host) shutDown() error {
	h.mu.Lock()
	h.closed = true
	h.stopMDNS()
	punch := h.punch
	h.mu.Unlock()
	h.gate.set(modeClosed)
	if h.spans != nil {
		h.farewell(leaving)
	}
	h.goes.refuse()
	h.cancel()
	h.metrics.unregister(h.cfg.Registerer)
	var err error
	if punch != nil {
		err = punch.Close()
	}
	if h.directory != nil {
		err = errors.Join(err, h.directory.dht.Close())
	}
	if h.relay != nil {
		err = errors.Join(err, h.relay.Close())
	}
	if h.net != nil {
		err = errors.Join(err, h.net.Close())
	}
	if h.services != nil {
		err = errors.Join(err, h.services.Close())
	}
	if h.conns != nil {
		err = errors.Join(err, h.conns.Close())
	}
	err = errors.Join(err, h.waitForGoroutines())
	if h.book != nil {
		err = errors.Join(err, h.book.Close())
	}
	return err
}

func (h *Host) waitForGoroutines() error {
	done := make(chan struct{})
	go func() {
		h.goes.wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(closeTimeout):
		return fmt.Errorf("p2p: close: a callback has not returned within %v", closeTimeout)
	}
}

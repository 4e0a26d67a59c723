package p2p

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// Joining, protocol /edgemem/join/1, is one question and one answer:
//
//	joiner → issuer   ask{fabric, secret, name, tier}
//	issuer → joiner   grant{certificate}     or   refusal{reason}
//
// The connection is bound to the issuer's peer id, which the ticket names, so the secret reaches nobody
// else; and to the joiner's, which the certificate then names, so the certificate serves nobody else.
const (
	joinProtocol protocol.ID = "/edgemem/join/1"

	joinVersion       = 1
	joinFrameMax      = 1 << 10
	joinAnswerTimeout = 5 * time.Second
	tierBytesMax      = 16
)

// Frames of joining.
const (
	frameAsk       byte = 32
	frameGrant     byte = 33
	frameJoinError byte = 34
)

// joinErrors are the reasons for refusing a ticket, by their code on the wire.
var joinErrors = [...]error{
	1: ErrTicketRefused,
	2: ErrTicketExpired,
	3: ErrTicketUsed,
	4: ErrNotAuthority,
	5: ErrOtherFabric,
}

func joinCode(err error) byte {
	for code, known := range joinErrors {
		if known != nil && errors.Is(err, known) {
			return byte(code)
		}
	}
	return 1
}

type joinAsk struct {
	fabric FabricID
	secret secret
	name   string
	tier   string
}

func (a joinAsk) encode() []byte {
	b := append([]byte{joinVersion}, a.fabric[:]...)
	b = append(b, a.secret[:]...)
	return appendString(appendString(b, a.name), a.tier)
}

// decodeJoinAsk: a later version may append fields.
func decodeJoinAsk(data []byte) (a joinAsk, err error) {
	d := decoder{rest: data}
	if v := d.byte(); d.err == nil && v < joinVersion {
		return a, errVersion
	}
	copy(a.fabric[:], d.take(len(a.fabric)))
	copy(a.secret[:], d.take(len(a.secret)))
	a.name, a.tier = string(d.bytes(nameBytesMax)), string(d.bytes(tierBytesMax))
	if d.err != nil {
		return a, d.err
	}
	return a, errors.Join(checkName(a.name), checkTier(a.tier))
}

// serveJoin answers one joiner; true if it was granted a certificate.
func (h *Host) serveJoin(s network.Stream) (granted bool) {
	s.SetDeadline(time.Now().Add(joinAnswerTimeout))
	cert, err := h.answerJoin(s)
	if err != nil {
		h.log.Warn("p2p: join refused", "peer", s.Conn().RemotePeer(), "addr", s.Conn().RemoteMultiaddr(), "err", err)
		writeFrame(s, frameJoinError, []byte{joinCode(err)})
	} else {
		h.log.Info("p2p: node joined the fabric", "peer", cert.Peer, "name", cert.Name, "tier", cert.Tier)
		granted = writeFrame(s, frameGrant, cert.marshal()) == nil
	}
	linger(s)
	return granted
}

func (h *Host) answerJoin(s network.Stream) (*Certificate, error) {
	kind, payload, err := readFrame(s, joinFrameMax)
	if err != nil {
		return nil, err
	}
	if kind != frameAsk {
		return nil, fmt.Errorf("%w: unexpected frame %d", ErrTicketRefused, kind)
	}
	ask, err := decodeJoinAsk(payload)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrTicketRefused, err)
	case ask.fabric != h.fabric:
		return nil, ErrOtherFabric
	case h.invites == nil:
		return nil, ErrNotAuthority
	}
	return h.invites.redeem(ask.secret, s.Conn().RemotePeer(), ask.name, ask.tier)
}

// join redeems a ticket: it dials the issuer, asks, checks the certificate and stores it. The host is not
// open to anybody else meanwhile.
func (h *Host) join(ctx context.Context, t ticket) error {
	h.gate.joinThrough(t.issuer)
	defer h.gate.set(modeClosed)
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	h.book.AddAddrs(t.issuer, t.addrs, peerstore.TempAddrTTL)
	conn, err := h.net.DialPeer(ctx, t.issuer)
	if err != nil {
		return unreachable(t, err)
	}
	defer conn.Close()
	cert, err := h.askFor(ctx, conn, t)
	if err != nil {
		return fmt.Errorf("join fabric %v through %v: %w%s", t.fabric, t.issuer, err, joinHint(err))
	}
	return h.member.adopt(cert, t.issuer, t.addrs)
}

func (h *Host) askFor(ctx context.Context, conn network.Conn, t ticket) (*Certificate, error) {
	s, err := openStream(ctx, conn, joinProtocol)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTicketRefused, err)
	}
	defer s.Reset()
	deadline, _ := ctx.Deadline()
	s.SetDeadline(deadline)
	ask := joinAsk{t.fabric, t.secret, h.cfg.Name, h.cfg.Tier}
	if err := writeFrame(s, frameAsk, ask.encode()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTicketRefused, err)
	}
	kind, payload, err := readFrame(s, joinFrameMax)
	if err != nil {
		return nil, fmt.Errorf("%w: the issuer ended the connection: %w", ErrTicketRefused, err)
	}
	cert, err := h.readGrant(kind, payload, t)
	if err == nil {
		s.CloseWrite() // the issuer waits for it
	}
	return cert, err
}

func (h *Host) readGrant(kind byte, payload []byte, t ticket) (*Certificate, error) {
	if kind == frameJoinError && len(payload) == 1 {
		if code := int(payload[0]); code > 0 && code < len(joinErrors) {
			return nil, joinErrors[code]
		}
		return nil, fmt.Errorf("%w: reason %d", ErrTicketRefused, payload[0])
	}
	if kind != frameGrant {
		return nil, fmt.Errorf("%w: unexpected frame %d", ErrTicketRefused, kind)
	}
	cert, err := parseCertificate(payload)
	if err == nil {
		err = cert.verify(t.fabric, h.id, h.cfg.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the issuer answered with a bad certificate: %w", ErrTicketRefused, err)
	}
	return cert, nil
}

// joinHint says what to do about a refusal.
func joinHint(err error) string {
	switch {
	case errors.Is(err, ErrTicketExpired), errors.Is(err, ErrTicketUsed):
		return "; ask for a new one with 'edgemem invite'"
	case errors.Is(err, ErrTicketRefused):
		return "; the issuer does not know it: ask for a new one with 'edgemem invite'"
	}
	return ""
}

// unreachable says which addresses were tried and what each answered.
func unreachable(t ticket, err error) error {
	var dial *swarm.DialError
	causes := map[string]string{}
	if errors.As(err, &dial) {
		for _, d := range dial.DialErrors {
			causes[d.Address.String()] = d.Cause.Error()
		}
	}
	tried := make([]string, 0, len(t.addrs))
	for _, a := range t.addrs {
		text := a.String()
		if cause, ok := causes[text]; ok {
			text += " (" + cause + ")"
		}
		tried = append(tried, text)
	}
	if len(tried) == 0 {
		tried = append(tried, "no address: the issuer listened on none when it made the ticket")
	}
	return fmt.Errorf("%w: %v, tried %s", ErrUnreachable, t.issuer, strings.Join(tried, ", "))
}

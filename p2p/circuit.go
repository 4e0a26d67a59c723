package p2p

import (
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"
)

// A circuit is a connection that a relay, a member that both ends can dial, passes on byte by byte (libp2p's circuit
// relay, version 2). It is encrypted from end to end and proven like any other, so the relay learns who talks to whom
// and how much, no more. In a signed list of addresses it is written
//
//	/p2p/RELAY/p2p-circuit
//
// without the relay's own addresses: whoever wants to use it knows the relay as a member, or can look it up, and the
// list stays true when the relay moves.

// circuitAddr is the address of a node through a relay.
func circuitAddr(relay peer.ID) ma.Multiaddr {
	p2p, err := ma.NewComponent("p2p", relay.String())
	if err != nil {
		return nil // not an id, which no member has
	}
	return ma.Join(p2p.Multiaddr(), circuitPart)
}

var circuitPart = ma.StringCast("/p2p-circuit")

// relayOf is the relay in a circuit address of that form; false for anything else.
func relayOf(a ma.Multiaddr) (peer.ID, bool) {
	if len(a) != 2 || a[0].Protocol().Code != ma.P_P2P || a[1].Protocol().Code != ma.P_CIRCUIT {
		return "", false
	}
	id, err := peer.IDFromBytes(a[0].RawValue())
	return id, err == nil
}

// isCircuit tells whether an address, or the remote end of a connection, is behind a relay.
func isCircuit(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// through is the relay that a connection goes through, "" if it is direct.
func through(remote ma.Multiaddr) peer.ID {
	if !isCircuit(remote) {
		return ""
	}
	text, err := remote.ValueForProtocol(ma.P_P2P)
	if err != nil {
		return ""
	}
	id, _ := peer.Decode(text)
	return id
}

// dialledAs tells whether an address is one that this node can dial.
func dialledAs(a ma.Multiaddr) bool {
	if transportOf(a) != "" {
		return true
	}
	_, ok := relayOf(a)
	return ok
}

// openCircuits adds the transport over relays: it dials circuits, and accepts them from the relays that have a
// reservation of ours. What it moves is counted once, on the relay's connection.
func (h *Host) openCircuits() error {
	key, err := libp2pKey(h.member.key)
	if err != nil {
		return err
	}
	secs, muxers, err := securities(key, new(counter))
	if err != nil {
		return err
	}
	up, err := upgrader.New(secs, muxers, nil, h.net.rcmgr, h.gate)
	if err != nil {
		return err
	}
	c, err := client.New(h.services, up)
	if err != nil {
		return err
	}
	if err := errors.Join(h.net.AddTransport(c), h.net.Listen(circuitPart)); err != nil {
		return err
	}
	c.Start()
	return nil
}

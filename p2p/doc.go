// Package p2p connects the nodes of a fabric: identity, membership, discovery, gossip and sync streams over
// libp2p, TCP and QUIC alike. Its Host satisfies fabric.Transport.
package p2p

package p2p

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// startMDNS begins to announce and to look for members on the local network. Its failure is noted: many
// networks carry no multicast. Called with mu held.
//
// Who listens on the local network sees this node's peer id, its addresses and the fabric's short id.
func (h *Host) startMDNS() {
	if !h.cfg.MDNS || h.mdns != nil {
		return
	}
	s := mdns.NewMdnsService(h.view, "_edgemem-"+h.fabric.short()+"._udp", (*found)(h))
	if err := s.Start(); err != nil {
		h.log.Warn("p2p: no discovery on the local network", "err", err)
		s.Close()
		return
	}
	h.mdns = s
}

// stopMDNS is called with mu held.
func (h *Host) stopMDNS() {
	if h.mdns == nil {
		return
	}
	if err := h.mdns.Close(); err != nil {
		h.log.Warn("p2p: stop discovery on the local network", "err", err)
	}
	h.mdns = nil
}

// found takes what mDNS finds. Anyone on the local network can claim anything there, so it is a candidate: an
// address to try, for a while.
type found Host

// HandlePeerFound implements mdns.Notifee.
func (f *found) HandlePeerFound(p peer.AddrInfo) {
	h := (*Host)(f)
	h.book.AddAddrs(p.ID, p.Addrs[:min(len(p.Addrs), addrsMax)], peerstore.TempAddrTTL)
	h.keeper.sighted(p.ID)
}

package p2p

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
)

// fixedKey is an authority or node key that is the same in every run.
func fixedKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func fixedID(t testing.TB, n byte) peer.ID {
	t.Helper()
	key, err := libp2pKey(fixedKey(n))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func fixedCertificate(t testing.TB) *Certificate {
	t.Helper()
	authority := fixedKey(1)
	c := &Certificate{
		Authority: authority.Public().(ed25519.PublicKey), Serial: 42, Peer: fixedID(t, 2), Name: "küche-7", Tier: "edge",
		NotBefore: time.Unix(1_800_000_000, 0), Expiry: time.Unix(2_100_000_000, 0),
	}
	c.Signature = ed25519.Sign(authority, c.signed())
	return c
}

// The wire form of version 1 stays as it is: nodes in the field hold such certificates for ten years.
const goldenCertificate = "018a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000000000002a80a4a7da0680eaade9072600240801122081" +
	"39770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394086bc3bc6368652d3701"

func TestCertificateWireForm(t *testing.T) {
	t.Parallel()
	c := fixedCertificate(t)
	if got := hex.EncodeToString(c.body()); got != goldenCertificate {
		t.Errorf("body\n got %s\nwant %s", got, goldenCertificate)
	}
	back, err := parseCertificate(c.marshal())
	if err != nil {
		t.Fatal(err)
	}
	if err := back.verify(c.Fabric(), c.Peer, c.NotBefore); err != nil {
		t.Error(err)
	}
	if back.Name != c.Name || back.Tier != c.Tier || back.Serial != c.Serial || !back.Expiry.Equal(c.Expiry) || !back.NotBefore.Equal(c.NotBefore) {
		t.Errorf("got %+v, want %+v", back, c)
	}
	if n := len(c.marshal()); n > 200 {
		t.Errorf("%d bytes", n)
	}
}

// Every bit of a certificate is under the signature or is the signature.
func TestCertificateIsSignedWhole(t *testing.T) {
	t.Parallel()
	c := fixedCertificate(t)
	whole := c.marshal()
	for i := range 8 * len(whole) {
		b := slices.Clone(whole)
		b[i/8] ^= 1 << (i % 8)
		back, err := parseCertificate(b)
		if err == nil {
			err = back.verify(c.Fabric(), c.Peer, c.NotBefore)
		}
		if !errors.Is(err, ErrCertificate) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
	}
}

func TestCertificateExpires(t *testing.T) {
	t.Parallel()
	c := fixedCertificate(t)
	if err := c.verify(c.Fabric(), c.Peer, c.Expiry.Add(-time.Second)); err != nil {
		t.Errorf("a second before: %v", err)
	}
	if err := c.verify(c.Fabric(), c.Peer, c.Expiry); !errors.Is(err, errExpired) {
		t.Errorf("at its expiry: %v", err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "edge-1", "küche", "机器", "a.b_c", string(bytes.Repeat([]byte("x"), nameBytesMax))} {
		if err := checkName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a b", "a\n", "\x1b[31mred", "a\u200b", "\xff", string(bytes.Repeat([]byte("x"), nameBytesMax+1))} {
		if checkName(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func fixedTicket(t testing.TB) ticket {
	tk := ticket{fabric: fabricOf(fixedKey(1).Public().(ed25519.PublicKey)), issuer: fixedID(t, 1), expiry: time.Unix(1_800_000_000, 0)}
	copy(tk.secret[:], bytes.Repeat([]byte{7}, secretLen))
	for _, text := range []string{"/ip4/192.0.2.1/tcp/7381", "/ip6/2001:db8::1/udp/7381/quic-v1"} {
		a, err := ma.NewMultiaddr(text)
		if err != nil {
			t.Fatal(err)
		}
		tk.addrs = append(tk.addrs, a)
	}
	return tk
}

func TestTicketRoundTrip(t *testing.T) {
	t.Parallel()
	tk := fixedTicket(t)
	back, err := parseTicket(tk.String())
	if err != nil {
		t.Fatal(err)
	}
	if back.fabric != tk.fabric || back.issuer != tk.issuer || back.secret != tk.secret || !back.expiry.Equal(tk.expiry) || !sameAddrs(back.addrs, tk.addrs) {
		t.Errorf("got %+v, want %+v", back, tk)
	}
	for len(tk.addrs) <= ticketAddrsMax {
		tk.addrs = append(tk.addrs, tk.addrs[0])
	}
	if back, err := parseTicket(tk.String()); err != nil || len(back.addrs) != ticketAddrsMax {
		t.Errorf("with %d addresses: %d kept, %v", len(tk.addrs), len(back.addrs), err)
	}
}

// A decoder must not panic, whatever it is fed, and what it accepts it must write back the same.

func FuzzCertificate(f *testing.F) {
	f.Add(fixedCertificate(f).marshal())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseCertificate(data)
		if err != nil {
			return
		}
		again, err := parseCertificate(c.marshal())
		if err != nil || again.Peer != c.Peer || again.Name != c.Name || again.Serial != c.Serial {
			t.Errorf("%x: %+v became %+v, %v", data, c, again, err)
		}
		c.verify(c.Fabric(), c.Peer, time.Unix(0, 0))
	})
}

func FuzzTicket(f *testing.F) {
	tk := fixedTicket(f)
	f.Add(tk.String())
	f.Add(ticketPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		tk, err := parseTicket(text)
		if err != nil {
			if !errors.Is(err, ErrTicketMalformed) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if again, err := parseTicket(tk.String()); err != nil || again.secret != tk.secret {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// FuzzTicketBody gets past the checksum, which the fuzzer cannot guess.
func FuzzTicketBody(f *testing.F) {
	f.Add([]byte{ticketVersion})
	f.Fuzz(func(t *testing.T, body []byte) { decodeTicket(body) })
}

func FuzzHello(f *testing.F) {
	c := fixedCertificate(f)
	f.Add(encodeHello(c.marshal(), nil))
	f.Add(encodeHello(c.marshal(), sealedContact(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := decodeHello(data, c.Peer)
		if err == nil && (h.cert == nil || len(h.contact.addrs) > addrsMax) {
			t.Errorf("%x: accepted %+v", data, h)
		}
	})
}

// sealedContact is a signed address record of the fixed certificate's peer.
func sealedContact(t testing.TB) []byte {
	t.Helper()
	return sealedBy(t, 2)
}

func sealedBy(t testing.TB, n byte) []byte {
	t.Helper()
	h := &Host{member: &membership{key: fixedKey(n)}}
	envelope, err := h.seal(&peer.PeerRecord{PeerID: fixedID(t, n), Seq: 1, Addrs: fixedTicket(t).addrs})
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func FuzzMemberList(f *testing.F) {
	c := fixedCertificate(f)
	f.Add(appendEntry([]byte{1}, c.marshal(), nil))
	f.Add(appendEntry([]byte{1}, c.marshal(), sealedContact(f)))
	f.Add(appendEntry(appendEntry([]byte{2}, c.marshal(), nil), c.marshal(), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := tableOnly(t, c.Fabric())
		if err := h.members.receive(data, tableLink(h, c.Peer)); err != nil {
			return
		}
		for _, p := range h.Peers() {
			if p.ID == "" || p.Name == "" || len(p.Addrs) > addrsMax {
				t.Errorf("%x: learned %+v", data, p)
			}
		}
	})
}

// tableOnly is a host with a member table and a book in memory, and nothing that runs.
func tableOnly(t testing.TB, fabric FabricID) *Host {
	t.Helper()
	c := Config{Dir: "x", Name: "table", Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	h := &Host{cfg: c, log: c.Logger, fabric: fabric, id: fixedID(t, 9), book: memoryBook(t)}
	h.spans, h.members, h.keeper = newSpans(h), newMembers(h), newKeeper(h)
	h.seeker, h.reachable, h.reserve = newSeeker(h), newReachability(h), newReservations(h)
	h.gate, h.goes, h.dialBacks = newGate(), &goes{stop: true}, make(chan struct{}, dialMeAtOnce)
	return h
}

// tableLink is a neighbour of such a host whose frames go nowhere.
func tableLink(h *Host, id peer.ID) *link {
	l := &link{h: h, peer: id, conn: fakeConn{id: id}, since: time.Now()}
	l.control = newControl(l, nil, 0)
	return l
}

// What neighbours ask, and say of our addresses, is bounded and of the right form, or an error.
func FuzzAsked(f *testing.F) {
	id, addr := fixedID(f, 2), ma.StringCast("/ip4/10.0.0.1/udp/7381/quic-v1")
	f.Add(frameAbout, append([]byte{aboutRelays | aboutDirectory}, addr.Bytes()...))
	f.Add(frameDialMe, encodeAddrs([]ma.Multiaddr{addr}))
	f.Add(frameDialled, encodeAddrs([]ma.Multiaddr{addr}))
	f.Add(frameSeek, encodeSeek([]peer.ID{id}))
	f.Add(frameSeek, append([]byte{seekAfter}, id...))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		h := tableOnly(t, FabricID{})
		h.services, h.cfg.public = &memberHost{h: h}, func(ma.Multiaddr) bool { return false }
		h.net = &fabricNet{Swarm: new(swarm.Swarm)}
		h.punch = new(holepunch.Service)
		if err := h.onAsked(tableLink(h, id), kind, data); err != nil {
			return
		}
		for _, a := range h.reachable.mapped() {
			if transportOf(a) != "quic" {
				t.Errorf("%x: took %v", data, a)
			}
		}
	})
}

// A record in the directory is taken only if all of it is signed, and then reads back as it was.
func FuzzDirectoryRecord(f *testing.F) {
	c := fixedCertificate(f)
	f.Add(directoryKey(c.Peer), appendEntry(nil, c.marshal(), sealedContact(f)))
	f.Add(directoryKey("x"), []byte{})
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		r := memberRecords{tableOnly(t, c.Fabric())}
		cert, contact, err := r.decode(key, data)
		if err == nil && (directoryKey(cert.Peer) != key || contact.id != cert.Peer) {
			t.Errorf("%q %x: took %v", key, data, cert.Peer)
		}
	})
}

func FuzzJoinAsk(f *testing.F) {
	f.Add(joinAsk{name: "beta", tier: "edge"}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := decodeJoinAsk(data)
		if err == nil && (checkName(a.name) != nil || checkTier(a.tier) != nil) {
			t.Errorf("%x: accepted %+v", data, a)
		}
	})
}

func FuzzMembershipFile(f *testing.F) {
	m := &membership{id: fixedID(f, 2), cert: fixedCertificate(f), issuer: peer.AddrInfo{ID: fixedID(f, 1), Addrs: fixedTicket(f).addrs}}
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		back := &membership{id: m.id}
		if err := back.decode(data); err == nil && back.cert == nil {
			t.Errorf("%x: a membership without a certificate", data)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(nil, frameHello, []byte("hello")))
	f.Add([]byte{frameHello, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			if _, payload, err := readFrame(r, 64); err != nil {
				return
			} else if len(payload) > 64 {
				t.Fatalf("%d bytes", len(payload))
			}
		}
	})
}

func FuzzStamp(f *testing.F) {
	f.Add((&gossip{}).stamp([]byte("frame")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if frame, ok := unstamp(data); ok && len(frame) > len(data) {
			t.Error("grew")
		}
		if back, ok := unstamp((&gossip{}).stamp(data)); !ok || !bytes.Equal(back, data) {
			t.Errorf("%x became %x, %v", data, back, ok)
		}
	})
}

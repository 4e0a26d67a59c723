package p2p

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// stray makes a member of a fabric that nobody runs: a certificate, and addresses that it signed.
func stray(t testing.TB, authority *Host, name string, seq uint64, addr string) (*Certificate, contact) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return strayWithKey(t, authority, key, name, seq, addr)
}

func strayWithKey(t testing.TB, authority *Host, key ed25519.PrivateKey, name string, seq uint64, addr string) (*Certificate, contact) {
	t.Helper()
	priv, err := libp2pKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := issueCertificate(authority.member.authority, id, name, "edge", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{member: &membership{key: key}}
	a, err := ma.NewMultiaddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := h.seal(&peer.PeerRecord{PeerID: id, Seq: seq, Addrs: []ma.Multiaddr{a}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseContact(envelope, id)
	if err != nil {
		t.Fatal(err)
	}
	return cert, c
}

func serverConfig(t *testing.T, name string) Config {
	c := testConfig(t, name)
	c.Tier = "cloud"
	return c
}

// What one server puts into the directory, another finds, though no neighbour told it; and a device hears it from its
// neighbour.
func TestDirectory(t *testing.T) {
	t.Parallel()
	a := start(t, serverConfig(t, "alpha"))
	b, c := a.joined(serverConfig(t, "beta")), a.joined(serverConfig(t, "gamma"))
	for _, n := range []*node{a, b, c} {
		if n.directory.inUse() {
			t.Error("a directory of three is used")
		}
		n.directory.worth = 0
		waitUntil(t, n.Name()+" has met the others in the directory", func() bool { return n.directory.dht.RoutingTable().Size() == 2 })
	}
	cert, where := stray(t, a.Host, "away", 7, "/ip4/127.0.0.1/tcp/9")
	if err := a.directory.putRecord(cert.Peer, member{cert: cert, contact: where}); err != nil {
		t.Fatal(err)
	}
	if err := c.directory.find(within(t), cert.Peer); err != nil {
		t.Fatal(err)
	}
	if m, _ := c.members.get(cert.Peer); m.contact.seq != 7 || m.cert.Name != "away" {
		t.Errorf("found %+v", m)
	}
	if err := c.directory.find(within(t), fixedID(t, 3)); err == nil {
		t.Error("found a member that does not exist")
	}
	if a.directory.putDue(time.Now()) == 0 {
		t.Error("put no record of its own")
	}
	waitUntil(t, "there is nothing new to put", func() bool { return a.directory.putDue(time.Now()) == 0 })
	d := testConfig(t, "delta")
	d.Tier, d.PeersLow, d.PeersHigh = "device", 1, 2
	device := b.Host.joinedBy(t, a, d)
	device.members.forgetAll(cert.Peer)
	device.seeker.want(cert.Peer)
	device.seeker.ask()
	waitUntil(t, "the device knows where the member is", func() bool {
		m, ok := device.members.get(cert.Peer)
		return ok && m.contact.seq == 7
	})
}

// More servers than a bucket of the directory takes leave each other in peace: once they have met, nothing moves.
func TestDirectoryIsQuiet(t *testing.T) {
	t.Parallel()
	nodes := []*node{}
	for i := range 7 {
		c := serverConfig(t, fmt.Sprintf("s%d", i))
		c.bucket = 1
		if i == 0 {
			nodes = append(nodes, start(t, c))
			continue
		}
		nodes = append(nodes, nodes[0].joined(c))
	}
	for _, n := range nodes {
		waitUntil(t, n.Name()+" has met somebody", func() bool { return n.spans.count() == 6 && n.directory.dht.RoutingTable().Size() > 0 })
	}
	moved := func() (sum int64) {
		for _, n := range nodes {
			sum += n.traffic.of(n.directoryProtocol()).bytes().Out
		}
		return sum
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := moved()
	waitUntil(t, "a second passes in which nothing moves", func() bool {
		<-tick.C
		was := before
		before = moved()
		return before == was
	})
}

// joinedBy starts a node with a ticket of the authority.
func (h *Host) joinedBy(t *testing.T, authority *node, c Config) *node {
	t.Helper()
	n := authority.joined(c)
	waitUntil(t, "a neighbour", func() bool { return n.spans.count() > 0 })
	return n
}

func (ms *members) forgetAll(ids ...peer.ID) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, id := range ids {
		delete(ms.m, id)
	}
}

// Nobody can put into the directory what a member has not said, and of what it said the newest holds.
func TestDirectoryRecords(t *testing.T) {
	t.Parallel()
	a, foreign := open(t, serverConfig(t, "alpha")), open(t, serverConfig(t, "other"))
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	cert, old := strayWithKey(t, a.Host, key, "m", 1, "/ip4/10.0.0.1/tcp/1")
	_, newer := strayWithKey(t, a.Host, key, "m", 2, "/ip4/10.0.0.2/tcp/1")
	other, where := stray(t, a.Host, "n", 9, "/ip4/10.0.0.3/tcp/1")
	strange, _ := strayWithKey(t, foreign.Host, key, "m", 1, "/ip4/10.0.0.1/tcp/1")
	r := memberRecords{a.Host}
	value := func(c *Certificate, w contact) []byte { return appendEntry(nil, c.marshal(), w.envelope) }
	at := directoryKey(cert.Peer)
	for name, bad := range map[string]struct {
		key   string
		value []byte
	}{
		"empty":                   {at, nil},
		"another namespace":       {"/pk/" + string(cert.Peer), value(cert, old)},
		"another member's key":    {directoryKey(other.Peer), value(cert, old)},
		"another's addresses":     {at, value(cert, where)},
		"another's certificate":   {at, value(other, old)},
		"another fabric's":        {at, value(strange, old)},
		"something after the end": {at, append(value(cert, old), 0)},
	} {
		if r.Validate(bad.key, bad.value) == nil {
			t.Errorf("%s passes", name)
		}
	}
	if err := r.Validate(at, value(cert, old)); err != nil {
		t.Error(err)
	}
	if i, err := r.Select(at, [][]byte{value(cert, old), value(other, where), value(cert, newer), nil}); i != 2 || err != nil {
		t.Errorf("selected %d, %v", i, err)
	}
	if _, err := r.Select(at, [][]byte{nil}); !errors.Is(err, errNoMember) {
		t.Errorf("selected of nothing: %v", err)
	}
}

// A server that joins a fabric of a thousand reads the whole table of the only member that it knows, page by page; a
// device is content with a part.
func TestLargeTableIsReadInPages(t *testing.T) {
	t.Parallel()
	ca := serverConfig(t, "alpha")
	ca.seekEvery = time.Nanosecond
	a := start(t, ca)
	const n = 1000
	for i := range n {
		cert, where := stray(t, a.Host, fmt.Sprintf("m%d", i), 1, "/ip4/127.0.0.1/tcp/9")
		a.members.mu.Lock()
		a.members.m[cert.Peer] = &member{cert: cert, contact: where}
		a.members.mu.Unlock()
	}
	b := a.joined(homely(serverConfig(t, "beta")))
	d := homely(testConfig(t, "delta"))
	d.Tier = "device"
	device := a.joined(d)
	waitUntil(t, "the whole table", func() bool {
		b.seeker.turn()
		return len(b.members.ids()) >= n+1
	})
	waitUntil(t, "the device's part", func() bool { return len(device.members.ids()) >= memberListMax/2 })
	device.seeker.turn()
	if got := len(device.members.ids()); got > memberListMax+2 {
		t.Errorf("a device knows %d members, one list has %d", got, memberListMax)
	}
}

// homely keeps a node from dialling members that do not exist.
func homely(c Config) Config {
	c.PeersLow, c.PeersHigh = 1, 8
	return c
}

// The directory is for members.
func TestStrangerCannotUseTheDirectory(t *testing.T) {
	t.Parallel()
	a := start(t, serverConfig(t, "alpha"))
	raw := rawHost(t)
	if err := raw.Connect(within(t), a.addrInfo()); err != nil {
		t.Fatal(err)
	}
	if got := tryStream(t, raw, a.id, a.directoryProtocol()); got != nil {
		t.Errorf("a stranger got %v, want a reset", got)
	}
}

//go:build linux

package p2p

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	ma "github.com/multiformats/go-multiaddr"
)

// Tests in network namespaces: nodes are processes of this test binary (see runChild), each in a namespace of its
// own, on one bridge or behind routers that translate addresses. They need root, and say so where they have it not.

// site is a network made for one test: a bridge, and what hangs on it.
type site struct {
	t    *testing.T
	name string
}

var sites atomic.Int32

func newSite(t *testing.T) *site {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: no %s on this machine", tool)
		}
	}
	if testing.Short() {
		t.Skip("SKIPPED: takes real time")
	}
	s := &site{t, fmt.Sprintf("em%x-%d", os.Getpid(), sites.Add(1))}
	s.space("sw")
	s.in("sw", "ip link add br0 type bridge && ip link set br0 up")
	return s
}

// run is a line of shell; it fails the test if the line fails.
func (s *site) run(line string) {
	s.t.Helper()
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// in runs a line in a namespace of the site.
func (s *site) in(space, line string) {
	s.t.Helper()
	s.run(fmt.Sprintf("ip netns exec %s sh -c '%s'", s.ns(space), line))
}

func (s *site) ns(space string) string { return s.name + space }

func (s *site) space(name string) {
	s.t.Helper()
	s.run("ip netns add " + s.ns(name))
	s.t.Cleanup(func() { exec.Command("ip", "netns", "del", s.ns(name)).Run() })
	s.in(name, "ip link set lo up")
}

// plug gives a namespace an interface on the bridge: eth0 there, named after the namespace at the bridge.
func (s *site) plug(space, cidr string) {
	s.t.Helper()
	s.run(fmt.Sprintf("ip link add eth0 netns %s type veth peer name p%s netns %s", s.ns(space), space, s.ns("sw")))
	s.in("sw", fmt.Sprintf("ip link set dev p%s up master br0", space))
	s.in(space, fmt.Sprintf("ip addr add %s dev eth0 && ip link set eth0 up", cidr))
}

// cut pulls a namespace's cable in silence: both ends still have a carrier.
func (s *site) cut(space string)  { s.in("sw", "ip link set dev p"+space+" nomaster") }
func (s *site) mend(space string) { s.in("sw", "ip link set dev p"+space+" master br0") }

// host makes a namespace on the bridge.
func (s *site) host(space, cidr string) {
	s.t.Helper()
	s.space(space)
	s.plug(space, cidr)
}

// behind makes a namespace behind a router of its own that translates addresses, as one in a home does. wan is the
// router's address on the bridge.
func (s *site) behind(space, wan string) {
	s.t.Helper()
	router := space + "r"
	s.host(router, wan)
	s.space(space)
	s.run(fmt.Sprintf("ip link add eth0 netns %s type veth peer name lan netns %s", s.ns(space), s.ns(router)))
	s.in(router, "ip addr add 192.168.1.1/24 dev lan && ip link set lan up && echo 1 > /proc/sys/net/ipv4/ip_forward")
	s.in(router, `nft add table ip nat && nft "add chain ip nat post { type nat hook postrouting priority 100 ; }" && nft add rule ip nat post oifname eth0 masquerade`)
	s.in(router, `nft add table ip f && nft "add chain ip f pass { type filter hook forward priority 0 ; policy drop ; }" && nft add rule ip f pass iifname lan accept && nft add rule ip f pass ct state established,related accept`)
	s.in(router, `nft "add chain ip f in { type filter hook input priority 0 ; }" && nft add rule ip f in iifname eth0 ct state new drop`)
	s.in(space, "ip addr add 192.168.1.2/24 dev eth0 && ip link set eth0 up && ip route add default via 192.168.1.1")
}

// childConfig is what a node in a process of its own is told.
type childConfig struct {
	Dir, Name, Tier, Ticket string
	Listen, Peers           []string
	PingInterval            time.Duration
	Public                  string // the prefix of IP addresses that mean the same everywhere; "" for none
}

const childEnv = "EDGEMEM_P2P_TEST_CHILD"

// child is a node in a process of its own.
type child struct {
	t     *testing.T
	name  string
	in    io.WriteCloser
	lines chan string // what it says, bounded: a test reads all of it
	id    crdt.NodeID
}

// start runs a node in a namespace.
func (s *site) start(space string, c childConfig) *child {
	s.t.Helper()
	if c.Name == "" {
		c.Name = space
	}
	if c.Dir == "" {
		c.Dir = s.t.TempDir()
	}
	raw, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", s.ns(space), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	out, err1 := cmd.StdoutPipe()
	in, err2 := cmd.StdinPipe()
	cmd.Stderr = s.t.Output()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		s.t.Fatal("cannot start a node", err1, err2)
	}
	n := &child{t: s.t, name: c.Name, in: in, lines: make(chan string, 4096)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			n.lines <- sc.Text()
		}
	}()
	s.t.Cleanup(func() {
		in.Close() // the node ends by it
		<-done
		cmd.Wait()
	})
	n.id = crdt.NodeID(n.await("ready "))
	return n
}

// await reads lines until one begins with prefix, and returns the rest of it.
func (n *child) await(prefix string) string {
	n.t.Helper()
	rest, _ := n.awaitWithin(prefix, 2*patience)
	return rest
}

func (n *child) awaitWithin(prefix string, most time.Duration) (rest string, took time.Duration) {
	n.t.Helper()
	start := time.Now()
	limit := time.NewTimer(most)
	defer limit.Stop()
	for {
		select {
		case line := <-n.lines:
			n.t.Logf("%s: %s", n.name, line)
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest, time.Since(start)
			}
		case <-limit.C:
			n.t.Fatalf("%s did not say %q within %v", n.name, prefix, most)
		}
	}
}

func (n *child) ask(line, prefix string) string {
	n.t.Helper()
	fmt.Fprintln(n.in, line)
	return n.await(prefix)
}

func (n *child) ticket() string { n.t.Helper(); return n.ask("ticket", "ticket ") }

// status is what the node says of another one.
func (n *child) status(of *child) (p PeerStatus) {
	n.t.Helper()
	if err := json.Unmarshal([]byte(n.ask("peer "+string(of.id), "peer ")), &p); err != nil {
		n.t.Fatal(err)
	}
	return p
}

// runChild is a node that obeys its standard input, until that ends.
func runChild(config string) error {
	var cc childConfig
	if err := json.Unmarshal([]byte(config), &cc); err != nil {
		return err
	}
	c := Config{Dir: cc.Dir, Name: cc.Name, Tier: cc.Tier, Ticket: cc.Ticket, Listen: cc.Listen, Peers: cc.Peers, PingInterval: cc.PingInterval}
	if cc.Public != "" {
		c.public = func(a ma.Multiaddr) bool { return strings.HasPrefix(a.String(), "/ip4/"+cc.Public) }
	}
	if os.Getenv("EDGEMEM_P2P_TEST_DEBUG") != "" {
		c.Logger = debugLogger(os.Stderr, cc.Name)
	}
	h, err := Open(context.Background(), c)
	if err != nil {
		return err
	}
	say := make(chan string, 4096) // one writer, whole lines
	go func() {
		for line := range say {
			fmt.Println(line)
		}
	}()
	err = h.Serve(
		func(p crdt.NodeID, name, tier string, up bool) {
			s, _ := h.peer(p)
			say <- fmt.Sprintf("%s %s %s", map[bool]string{true: "up", false: "down"}[up], name, s.Addr)
		},
		func(from crdt.NodeID, frame []byte) { say <- "gossip " + string(frame) },
		func(p crdt.NodeID, s io.ReadWriteCloser) { io.Copy(s, s); s.Close() },
	)
	if err != nil {
		return err
	}
	say <- "ready " + string(h.Self())
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		verb, rest, _ := strings.Cut(sc.Text(), " ")
		say <- verb + " " + obey(h, verb, rest)
	}
	return h.Close()
}

func obey(h *Host, verb, rest string) string {
	switch verb {
	case "ticket":
		t, err := h.Invite(InviteOptions{Uses: 64})
		if err != nil {
			return err.Error()
		}
		return t
	case "peer":
		p, _ := h.peer(crdt.NodeID(rest))
		raw, _ := json.Marshal(p)
		return string(raw)
	case "echo":
		return echoThrough(h, crdt.NodeID(rest))
	case "relayed":
		return fmt.Sprint(h.relay != nil, h.metrics.relay.reservations.Load(), h.metrics.relay.circuits.Load())
	case "known":
		return fmt.Sprint(h.reachable.public())
	case "addrs":
		return strings.Join(h.Addrs(), " ")
	}
	return "?"
}

// echoThrough sends a sync stream to a peer that sends it back.
func echoThrough(h *Host, to crdt.NodeID) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := h.OpenStream(ctx, to)
	if err != nil {
		return err.Error()
	}
	defer s.Close()
	io.WriteString(s, "hello")
	s.(Stream).CloseWrite()
	heard, err := io.ReadAll(s)
	if err != nil {
		return err.Error()
	}
	return string(heard)
}

// peer is the status of one member.
func (h *Host) peer(id crdt.NodeID) (PeerStatus, bool) {
	for _, p := range h.Peers() {
		if p.ID == id {
			return p, true
		}
	}
	return PeerStatus{}, false
}

func debugLogger(w io.Writer, name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", name)
}

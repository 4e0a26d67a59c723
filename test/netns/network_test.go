package netns

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

const prefix = "emt-"

var networks atomic.Uint32

// network is a switch and the hosts at it, each a namespace.
type network struct {
	t     *testing.T
	name  string
	hosts map[string]*host
}

// host is one namespace with one link to the switch.
type host struct {
	net   *network
	space string // name of the namespace
	port  string // the switch's end of the link
	ip    string
}

// newNetwork makes a switch, or skips the test where that is not possible.
func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: network namespaces need root: sudo go test ./test/netns -v")
	}
	harness.Need(t, "ip", "iproute2")
	harness.Need(t, "nft", "nftables")
	n := &network{t: t, name: fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), networks.Add(1)), hosts: map[string]*host{}}
	if out, err := exec.Command("ip", "netns", "add", n.space("switch")).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: this machine has no network namespaces: %v: %s", err, out)
	}
	t.Cleanup(func() { n.remove("switch") })
	n.in("switch", "ip", "link", "add", "br0", "type", "bridge")
	n.in("switch", "ip", "link", "set", "br0", "up")
	return n
}

func (n *network) space(name string) string { return n.name + "-" + name }

// in runs a command inside one of the namespaces.
func (n *network) in(space string, line ...string) {
	n.t.Helper()
	args := append([]string{"netns", "exec", n.space(space)}, line...)
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %q: %v: %s", space, line, err, out)
	}
}

func (n *network) remove(space string) {
	if out, err := exec.Command("ip", "netns", "del", n.space(space)).CombinedOutput(); err != nil {
		n.t.Errorf("remove %s: %v: %s", space, err, out)
	}
}

// add makes a host, connected to all others.
func (n *network) add(name string) *host {
	n.t.Helper()
	number := len(n.hosts) + 1
	h := &host{net: n, space: name, port: fmt.Sprintf("p%d", number), ip: fmt.Sprintf("10.77.0.%d", number)}
	n.hosts[name] = h
	if out, err := exec.Command("ip", "netns", "add", n.space(name)).CombinedOutput(); err != nil {
		n.t.Fatalf("%v: %s", err, out)
	}
	n.t.Cleanup(func() { n.remove(name) })
	n.in("switch", "ip", "link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", n.space(name))
	n.in("switch", "ip", "link", "set", h.port, "master", "br0", "up")
	h.do("ip", "link", "set", "lo", "up")
	h.do("ip", "addr", "add", h.ip+"/24", "dev", "eth0")
	h.do("ip", "link", "set", "eth0", "up")
	h.do("nft", "add table inet cut; add set inet cut from { type ipv4_addr; }; "+
		"add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in ip saddr @from drop")
	return h
}

func (h *host) do(line ...string) {
	h.net.t.Helper()
	h.net.in(h.space, line...)
}

// unplug takes the host's link down at the switch; plug brings it back.
func (h *host) unplug() { h.net.in("switch", "ip", "link", "set", h.port, "down") }
func (h *host) plug()   { h.net.in("switch", "ip", "link", "set", h.port, "up") }

// deafen drops all that comes to this host from the others, without a word.
func (h *host) deafen(others ...*host) {
	h.net.t.Helper()
	for _, o := range others {
		h.do("nft", "add element inet cut from { "+o.ip+" }")
	}
}

// hear lets everything through again.
func (h *host) hear() { h.do("nft", "flush set inet cut from") }

// cut parts two groups, in both directions.
func cut(a, b []*host) {
	for _, h := range a {
		h.deafen(b...)
	}
	for _, h := range b {
		h.deafen(a...)
	}
}

// heal lets everyone hear everyone.
func (n *network) heal() {
	for _, h := range n.hosts {
		h.hear()
	}
}

// sweep removes the namespaces of test processes that were killed.
func sweep() {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return // newNetwork will say what is missing
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours {
			continue
		}
		owner, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = exec.Command("ip", "netns", "del", name).Run() // another test may be quicker
		}
	}
}

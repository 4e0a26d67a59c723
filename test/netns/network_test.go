package netns

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/wire"
)

const prefix = "emt-"

var networks atomic.Uint32

// network is a switch in this program and the hosts at it, each a namespace.
type network struct {
	t     *testing.T
	name  string
	wires *wire.Switch
	hosts map[string]*host
}

// host is one namespace with one card, whose cable ends in the switch.
type host struct {
	net   *network
	name  string // of its port at the switch
	space string // name of the namespace
	ip    string
	card  *wire.TAP
	cuts  map[string]int // by the receiver: how many cuts there are

	classes []string // with -netem: the receivers that have a class, in its order
}

// newNetwork makes a switch, or skips the test where that is not possible.
func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: network namespaces need root: sudo go test ./test/netns -v")
	}
	harness.Need(t, "ip", "iproute2")
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("SKIPPED: this machine has no TAP devices: %v", err)
	}
	t.Logf("-seed %#x -weather %q", *seed, sky)
	n := &network{t: t, name: fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), networks.Add(1)), wires: wire.New(*seed), hosts: map[string]*host{}}
	t.Cleanup(func() {
		if err := n.wires.Close(); err != nil {
			t.Errorf("the switch: %v", err)
		}
	})
	return n
}

// add makes a host, connected to all others.
func (n *network) add(name string) *host {
	n.t.Helper()
	number := len(n.hosts) + 1
	h := &host{net: n, name: name, space: n.name + "-" + name, ip: fmt.Sprintf("10.77.0.%d", number), cuts: map[string]int{}}
	if out, err := exec.Command("ip", "netns", "add", h.space).CombinedOutput(); err != nil {
		n.t.Skipf("SKIPPED: this machine has no network namespaces: %v: %s", err, out)
	}
	n.t.Cleanup(h.remove)
	n.hosts[name] = h
	var err error
	if h.card, err = wire.OpenTAP("/run/netns/"+h.space, "eth0"); err != nil {
		n.t.Fatal(err)
	}
	if err := n.wires.Attach(name, h.card); err != nil {
		n.t.Fatal(err)
	}
	h.do("ip", "link", "set", "lo", "up")
	h.do("ip", "link", "set", "eth0", "address", fmt.Sprintf("02:77:00:00:00:%02x", number))
	h.do("ip", "addr", "add", h.ip+"/24", "dev", "eth0")
	h.do("ip", "link", "set", "eth0", "up")
	return h
}

// do runs a command inside the host.
func (h *host) do(line ...string) {
	h.net.t.Helper()
	if out, err := h.try(line...); err != nil {
		h.net.t.Fatalf("%s: %q: %v: %s", h.space, line, err, out)
	}
}

func (h *host) try(line ...string) ([]byte, error) {
	return exec.Command("ip", append([]string{"netns", "exec", h.space}, line...)...).CombinedOutput()
}

func (h *host) remove() {
	if out, err := exec.Command("ip", "netns", "del", h.space).CombinedOutput(); err != nil {
		h.net.t.Errorf("remove %s: %v: %s", h.space, err, out)
	}
}

// unplug pulls the cable out of the host's card, which the host notices; the returned function puts it back.
func (h *host) unplug() (plug func()) {
	h.net.t.Helper()
	h.carrier(false)
	others := h.net.others(h)
	heal := h.net.part([]*host{h}, others)
	return func() {
		heal()
		h.carrier(true)
	}
}

func (h *host) carrier(up bool) {
	h.net.t.Helper()
	if err := h.card.Carrier(up); err != nil {
		h.net.t.Fatalf("%s: carrier: %v", h.space, err)
	}
}

func (n *network) others(h *host) (others []*host) {
	for _, o := range n.hosts {
		if o != h {
			others = append(others, o)
		}
	}
	return others
}

// part cuts two groups from each other in both directions, without a word to either; the returned function takes these cuts back.
func (n *network) part(a, b []*host) (heal func()) {
	n.t.Helper()
	one, other := n.mute(a, b), n.mute(b, a)
	return func() { one(); other() }
}

// mute drops all that goes from one group to another; the returned function lets it through again. A link that was
// cut several times passes frames when all cuts were taken back.
func (n *network) mute(from, to []*host) (hear func()) {
	n.t.Helper()
	n.cut(from, to, 1)
	return sync.OnceFunc(func() { n.cut(from, to, -1) })
}

func (n *network) cut(from, to []*host, more int) {
	n.t.Helper()
	for _, a := range from {
		for _, b := range to {
			a.cuts[b.name] += more
			if err := n.wires.Cut(a.name, b.name, a.cuts[b.name] > 0); err != nil {
				n.t.Fatal(err)
			}
		}
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

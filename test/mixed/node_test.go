package mixed

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// A version is a program that a node runs.
type version struct {
	name    string
	program string // "": the one of this tree
}

var today = version{name: "today"}

// both gives the two versions, with the one that founds the fabric first.
func both(t *testing.T, run func(t *testing.T, founder, other version)) {
	t.Helper()
	past := version{"yesterday", old.program(t)}
	for _, order := range [][2]version{{past, today}, {today, past}} {
		t.Run(order[0].name+" founds", func(t *testing.T) {
			t.Parallel()
			run(t, order[0], order[1])
		})
	}
}

// A node is a daemon of one version.
type node struct {
	*harness.Node
	t *testing.T
	v version
	o harness.Options
}

// runOther is a shell line that runs $0 with the arguments of the program in $1.
const runOther = `program=$0; shift; exec "$program" "$@"`

// newNode prepares a daemon. Its address stays the same over restarts.
func (v version) newNode(t *testing.T, o harness.Options) *node {
	t.Helper()
	if len(o.Listen) == 0 {
		o.Listen = harness.OwnAddress()
	}
	if o.Wrap = nil; v.program != "" {
		o.Wrap = []string{"sh", "-c", runOther, v.program}
	}
	n := harness.NewNode(t, o)
	o.Dir = n.Dir
	return &node{n, t, v, o}
}

func (v version) start(t *testing.T, o harness.Options) *node {
	t.Helper()
	n := v.newNode(t, o)
	n.Start()
	return n
}

// as gives the node with another version of the program; it is not running yet.
func (n *node) as(v version) *node {
	n.t.Helper()
	return v.newNode(n.t, n.o)
}

// own runs a command of the node's own version against it, and gives what it printed.
func (n *node) own(args ...string) string {
	n.t.Helper()
	program := n.v.program
	if program == "" {
		program = harness.Binary
	}
	r := harness.Run(n.t, "", append(append([]string{program}, args...), "--data-dir", n.Dir)...)
	if r.Code != 0 {
		n.t.Fatalf("%s: edgemem %q of %s: exit code %d\n%s%s", n.Name, args, n.v.name, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

func (n *node) ticket() string {
	n.t.Helper()
	return strings.TrimSpace(n.own("invite"))
}

// fabric starts a node that founds a fabric and others that join it.
func fabric(t *testing.T, founder *node, others ...func(ticket string) *node) []*node {
	t.Helper()
	founder.Start()
	nodes := []*node{founder}
	for _, join := range others {
		n := join(founder.ticket())
		n.Start()
		nodes = append(nodes, n)
	}
	harness.Connected(t, harness.Patience, len(others), plain(nodes)...)
	return nodes
}

// pair starts a fabric of two nodes.
func pair(t *testing.T, founder, other version, args ...string) (a, b *node) {
	t.Helper()
	nodes := fabric(t, founder.newNode(t, harness.Options{Name: founder.name, Tier: "cloud", Args: args}), func(ticket string) *node {
		return other.newNode(t, harness.Options{Name: other.name, Tier: "edge", Join: ticket, Args: args})
	})
	return nodes[0], nodes[1]
}

func plain(nodes []*node) (out []*harness.Node) {
	for _, n := range nodes {
		out = append(out, n.Node)
	}
	return out
}

func converge(t *testing.T, nodes ...*node) {
	t.Helper()
	harness.Converge(t, harness.Patience, "default", plain(nodes)...)
}

// counter reads one of the counts that INFO crdt gives for the region default.
func (n *node) counter(name string) int {
	n.t.Helper()
	info := n.Do("INFO", "crdt").(string)
	found := regexp.MustCompile(`merges_default:.*\b` + name + `=(\d+)`).FindStringSubmatch(info)
	if found == nil {
		n.t.Fatalf("%s: INFO crdt has no %s:\n%s", n.Name, name, info)
	}
	count, err := strconv.Atoi(found[1])
	if err != nil {
		n.t.Fatal(err)
	}
	return count
}

// bigPull gives the pull that brought so many writes after since. Replicas are equal a little before it is over.
func (n *node) bigPull(since time.Time, writes uint64) (pull harness.Pull) {
	n.t.Helper()
	harness.Eventually(n.t, harness.Patience, "the pull that brought what was missed", func() error {
		last := n.MustStatus().Node.Sync.LastPull
		if last == nil || last.News < writes || last.At.Before(since) {
			return fmt.Errorf("%s: the last one is %+v, want %d writes", n.Name, last, writes)
		}
		pull = *last
		return nil
	})
	return pull
}

// pipeline sends commands and wants each to succeed.
func (n *node) pipeline(cmds [][]string) {
	n.t.Helper()
	c, err := harness.Dial(n.RESP())
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	defer c.Close()
	replies, err := c.Pipeline(cmds)
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	for i, r := range replies {
		if f, ok := r.(harness.Failure); ok {
			n.t.Fatalf("%s: %.3q: %v", n.Name, cmds[i], f)
		}
	}
}

// fill writes n keys PREFIX:0 … whose value is value.
func (n *node) fill(prefix, value string, keys int) {
	n.t.Helper()
	cmds := make([][]string, keys)
	for i := range cmds {
		cmds[i] = []string{"SET", fmt.Sprintf("%s:%d", prefix, i), value}
	}
	n.pipeline(cmds)
}

// remove deletes the keys that fill wrote, one write each.
func (n *node) remove(prefix string, keys int) {
	n.t.Helper()
	cmds := make([][]string, keys)
	for i := range cmds {
		cmds[i] = []string{"DEL", fmt.Sprintf("%s:%d", prefix, i)}
	}
	n.pipeline(cmds)
}

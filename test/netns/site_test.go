package netns

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// site is a fabric whose nodes are hosts of a network of their own, and the writers at them.
type site struct {
	t      *testing.T
	net    *network
	nodes  []*harness.Node // the first founded the fabric
	ledger *harness.Ledger
	stop   func() // the writers; nil while there are none
	runs   uint64
}

const region = "default"

// newSite starts a cloud and other nodes, named for their tiers, and waits until all are connected to all.
func newSite(t *testing.T, others ...string) *site {
	t.Helper()
	s := &site{t: t, net: newNetwork(t), ledger: harness.NewLedger()}
	dir := harness.ShortDir(t)
	for i, name := range append([]string{"cloud"}, others...) {
		h := s.net.add(name)
		o := harness.Options{
			Name: name, Tier: name, Dir: filepath.Join(dir, name), RESP: "unix:" + filepath.Join(dir, name+".resp"),
			Listen: []string{"/ip4/" + h.ip + "/tcp/7381", "/ip4/" + h.ip + "/udp/7381/quic-v1"},
			Wrap:   []string{"ip", "netns", "exec", s.net.space(name)},
		}
		if i > 0 {
			o.Join = s.nodes[0].Ticket()
		}
		s.nodes = append(s.nodes, harness.Start(t, o))
	}
	harness.Connected(t, harness.Patience, len(others), s.nodes...)
	return s
}

func (s *site) node(name string) *harness.Node {
	return s.nodes[slices.IndexFunc(s.nodes, func(n *harness.Node) bool { return n.Name == name })]
}

func (s *site) host(name string) *host { return s.net.hosts[name] }

func (s *site) hosts(names ...string) (hosts []*host) {
	for _, name := range names {
		hosts = append(hosts, s.host(name))
	}
	return hosts
}

func (s *site) group(names ...string) (nodes []*harness.Node) {
	for _, name := range names {
		nodes = append(nodes, s.node(name))
	}
	return nodes
}

// write starts two writers at each of the nodes; rest stops them. None of them may ever be answered with an
// error: writing never depends on the network.
func (s *site) write(nodes ...*harness.Node) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	s.runs++
	for _, n := range nodes {
		for i := range 2 {
			w := &harness.Writer{
				Node: n, Region: region, ID: fmt.Sprintf("%d.%s.%d", s.runs, n.Name, i), Ledger: s.ledger,
				Seed: s.runs<<8 | uint64(i), Pause: 5 * time.Millisecond,
			}
			wg.Go(func() {
				if err := w.Run(ctx); err != nil {
					s.t.Error(err)
				}
			})
		}
	}
	s.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	s.t.Cleanup(s.stop)
}

func (s *site) rest() { s.stop() }

// written waits until so many more writes are acknowledged.
func (s *site) written(more uint64) {
	s.t.Helper()
	want := s.ledger.Acknowledged() + more
	harness.Eventually(s.t, harness.Patience, "acknowledged writes", func() error {
		if got := s.ledger.Acknowledged(); got < want {
			return fmt.Errorf("%d of %d", got, want)
		}
		return nil
	})
}

// converge waits until the nodes hold the same, and says how long that took.
func (s *site) converge(after string, nodes ...*harness.Node) {
	s.t.Helper()
	took := harness.Converge(s.t, *healed, region, nodes...)
	s.t.Logf("equal digests %v after %s, %d writes acknowledged so far", took.Round(time.Millisecond), after, s.ledger.Acknowledged())
}

// check holds every node to the ledger. Nothing was ever refused, so counters must be exact.
func (s *site) check(nodes ...*harness.Node) {
	s.t.Helper()
	const shown = 10
	for _, n := range nodes {
		wrong, err := s.ledger.Check(n.Dial())
		if err != nil {
			s.t.Fatalf("%s: %v", n.Name, err)
		}
		wrong = append(wrong, s.ledger.CheckContext(n.MustRegion(region).Context)...)
		if len(wrong) > 0 {
			s.t.Errorf("%s: %d things are wrong, such as\n%s", n.Name, len(wrong), strings.Join(wrong[:min(shown, len(wrong))], "\n"))
		}
	}
}

// last makes the partition last, while the writers write.
func last(d time.Duration) { <-time.After(d) }

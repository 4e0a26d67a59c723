package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/history"
)

// site is a fabric whose nodes are hosts of a network of their own, the clients at them, and the history of it all.
type site struct {
	t     *testing.T
	net   *network
	dir   string
	nodes []*member // the first founded the fabric
	log   *history.Log
	stop  func() // the clients; nil while there are none
	runs  int
	kills int
	pool  pool
	born  map[string]string // every origin that ever was, and whose it was

	regions  []string      // that clients write to
	expected []string      // kinds of alarms that this test gives reason for
	patience time.Duration // how long nodes may take to agree
}

// The regions that clients write to: one answers from memory, one from disk.
const (
	region = "default"
	safe   = "safe"
)

// promises is what edgemem's documentation says: "on disk within a second". The two seconds that come on top are what a
// busy machine may take for two fsyncs, one under way and one after it. Clocks are those of one machine.
var promises = history.Settings{OnDiskAfter: 3 * time.Second, DiskRegions: []string{safe}, Skew: 50 * time.Millisecond}

// member is a node, over all of its lives.
type member struct {
	*harness.Node
	host *host
	site *site

	mu    sync.Mutex
	life  history.Life
	alive bool
}

// newSite starts a cloud and other nodes, each named after its tier and what follows it, and waits until all are connected to all.
func newSite(t *testing.T, others ...string) *site {
	t.Helper()
	s := &site{t: t, net: newNetwork(t), dir: harness.ShortDir(t), log: history.New(promises), born: map[string]string{},
		regions: []string{region, safe}, patience: *healed}
	s.found("cloud")
	for _, name := range others {
		s.join(name)
	}
	s.start(s.nodes[1:]...)
	harness.Connected(t, harness.Patience, len(others), s.daemons(s.nodes...)...)
	s.nodes[0].CLI("region", "create", safe, "--ack", "disk")
	harness.Eventually(t, harness.Patience, "region "+safe+" is known everywhere", func() error {
		for _, m := range s.nodes {
			if r, ok := m.MustStatus().Region(safe); !ok || r.Ack != "disk" {
				return fmt.Errorf("%s has %+v", m.Name, r)
			}
		}
		return nil
	})
	return s
}

func (s *site) found(name string) {
	s.t.Helper()
	s.prepare(name, harness.Options{})
	s.start(s.nodes[0])
}

func (s *site) join(name string) {
	s.t.Helper()
	s.prepare(name, harness.Options{Join: s.nodes[0].Ticket()})
}

// prepare makes a host and a node for it, under the weather.
func (s *site) prepare(name string, o harness.Options) *member {
	s.t.Helper()
	h := s.net.add(name)
	s.net.expose(h)
	o.Name, o.Dir, o.RESP = name, filepath.Join(s.dir, name), "unix:"+filepath.Join(s.dir, name+".resp")
	if o.Tier == "" {
		o.Tier, _, _ = strings.Cut(name, "-")
	}
	o.Listen = []string{"/ip4/" + h.ip + "/tcp/7381", "/ip4/" + h.ip + "/udp/7381/quic-v1"}
	o.Wrap = []string{"ip", "netns", "exec", h.space}
	m := &member{Node: harness.NewNode(s.t, o), host: h, site: s, life: history.Life{Node: name, N: -1}}
	s.nodes = append(s.nodes, m)
	return m
}

// start starts nodes at the same time, each for a new life.
func (s *site) start(members ...*member) {
	s.t.Helper()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { errs[i] = m.TryStart() })
	}
	wg.Wait()
	for i, m := range members {
		if errs[i] != nil {
			s.t.Fatalf("start %s: %v\n%s", m.Name, errs[i], m.Log())
		}
		origin := m.Started().Node.Origin
		if who, used := s.born[origin]; used {
			s.t.Errorf("%s started as origin %s, which %s was before", m.Name, origin, who)
		}
		s.born[origin] = m.Name
		m.mu.Lock()
		m.life.N++
		m.alive = true
		m.mu.Unlock()
	}
}

// kill is kill -9, or a power cut.
func (s *site) kill(members ...*member) {
	for _, m := range members {
		s.log.Killed(m.end(), s.log.Now())
		m.Kill()
		s.kills++
	}
}

// halt is SIGTERM.
func (s *site) halt(m *member) {
	s.t.Helper()
	m.end()
	m.Stop()
}

// end ends a life in the books, just before it ends.
func (m *member) end() history.Life {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alive = false
	return m.life
}

// now is the life that the node has, if it has one.
func (m *member) now() (life history.Life, alive bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life, m.alive
}

func (s *site) node(name string) *member {
	return s.nodes[slices.IndexFunc(s.nodes, func(m *member) bool { return m.Name == name })]
}

func (s *site) host(name string) *host { return s.node(name).host }

func (s *site) group(names ...string) (members []*member) {
	for _, name := range names {
		members = append(members, s.node(name))
	}
	return members
}

// without gives all nodes but these.
func (s *site) without(members ...*member) (others []*member) {
	for _, m := range s.nodes {
		if !slices.Contains(members, m) {
			others = append(others, m)
		}
	}
	return others
}

func (s *site) daemons(members ...*member) (nodes []*harness.Node) {
	for _, m := range members {
		nodes = append(nodes, m.Node)
	}
	return nodes
}

func names(members []*member) (out []string) {
	for _, m := range members {
		out = append(out, m.Name)
	}
	return out
}

func hosts(members []*member) (out []*host) {
	for _, m := range members {
		out = append(out, m.host)
	}
	return out
}

// part cuts some from all others, in both directions; the returned function heals the cut. The history is told, which is why nobody
// may stand between the two sides.
func (s *site) part(side ...*member) (heal func()) {
	rest := s.without(side...)
	return s.apart(s.net.part(hosts(side), hosts(rest)), side, rest)
}

// unplug pulls the cable of a node; the returned function puts it back.
func (s *site) unplug(m *member) (plug func()) {
	return s.apart(m.host.unplug(), []*member{m}, s.without(m))
}

// apart notes a cut that was just made, until it is healed.
func (s *site) apart(heal func(), a, b []*member) func() {
	from := s.log.Now()
	return sync.OnceFunc(func() {
		s.log.Apart(from, s.log.Now(), names(a), names(b))
		heal()
	})
}

// converge waits until the nodes hold the same, and says how long that took.
func (s *site) converge(after string, members ...*member) time.Duration {
	s.t.Helper()
	began := time.Now()
	for _, r := range []string{region, safe} {
		if _, err := harness.Agree(s.patience, r, s.daemons(members...)...); err != nil {
			s.t.Errorf("after %s: %v", after, err)
			s.check(0, members...) // says what differs
			s.t.FailNow()
		}
	}
	took := time.Since(began).Round(time.Millisecond)
	var lives []history.Life
	for _, m := range members {
		life, _ := m.now()
		lives = append(lives, life)
	}
	s.log.Agreed(s.log.Now(), lives...)
	s.t.Logf("equal digests %v after %s, %d writes acknowledged so far", took, after, s.log.Answered())
	return took
}

// check holds every node, and every read that was answered, to the history since a time.
func (s *site) check(since time.Duration, members ...*member) {
	s.t.Helper()
	wrong := s.wrong(since, members...)
	const shown = 10
	for _, v := range wrong[:min(shown, len(wrong))] {
		s.t.Error(v)
	}
	if len(wrong) > shown {
		s.t.Errorf("and %d more violations", len(wrong)-shown)
	}
	if len(wrong) > 0 {
		s.keepEvidence()
	}
	s.quiet(members...)
}

// quiet wants no alarm that the test gives no reason for: people learn to pass over alarms that cry wolf.
func (s *site) quiet(members ...*member) {
	s.t.Helper()
	for _, m := range members {
		for _, a := range m.MustStatus().Alarms {
			if !slices.Contains(s.expected, a.Kind) {
				s.t.Errorf("%s has an alarm without a reason: %+v", m.Name, a)
			}
		}
	}
}

func (s *site) wrong(since time.Duration, members ...*member) []history.Violation {
	s.t.Helper()
	at := s.log.Now()
	for began := time.Now(); ; last(time.Second) {
		var states []history.State
		for _, m := range members {
			states = append(states, m.state())
		}
		if !collapsing(states) || time.Since(began) > s.patience+time.Minute { // quiet nodes ask each other every half minute
			return s.log.Check(since, at, states...)
		}
	}
}

// collapsing reports whether the nodes hold the same and name differently what they have seen: one of them has collapsed its
// earlier starts since they agreed, and the others take that over with their next pull.
func collapsing(states []history.State) bool {
	differ := false
	for _, s := range states {
		if s.Digest != states[0].Digest {
			return false
		}
		differ = differ || s.Context != states[0].Context
	}
	return differ
}

// keepEvidence says what a violation can be looked at with, since the data is removed with the test.
func (s *site) keepEvidence() {
	s.t.Logf("replay with -seed %#x; the daemons' logs follow", *seed)
	for _, m := range s.nodes {
		if _, err := os.Stat(m.Dir); err == nil {
			s.t.Log(m.Log())
		}
	}
}

// last makes a state of things last, while the clients write.
func last(d time.Duration) { <-time.After(d) }

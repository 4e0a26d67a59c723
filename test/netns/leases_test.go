package netns

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// hold is a time in which a client counted on a lease.
type hold struct {
	token       int64
	by          string
	from, until time.Time
}

// leaseholders take one lease at each node, keep it for a while, renew it and give it up, and record when they counted on it.
type leaseholders struct {
	mu      sync.Mutex
	holds   []hold
	refused map[string]int // by node: answers of NOMAJORITY
	wg      sync.WaitGroup
}

func (l *leaseholders) at(ctx context.Context, m *member, rnd *rand.Rand) {
	for ctx.Err() == nil {
		conn, _ := (&client{at: m, region: region, log: m.site.log}).connect(0)
		if conn == nil {
			pause(ctx, 50*time.Millisecond)
			continue
		}
		for ctx.Err() == nil && l.turn(ctx, m, conn, rnd) {
			pause(ctx, time.Duration(rnd.IntN(200))*time.Millisecond)
		}
		conn.Close()
	}
}

// turn is false when the connection is of no more use.
func (l *leaseholders) turn(ctx context.Context, m *member, conn *harness.Conn, rnd *rand.Rand) bool {
	asked := time.Now()
	reply, err := conn.Do("EM.LEASE", "ACQUIRE", "till", strconv.Itoa(500+rnd.IntN(1500)), "OWNER", m.Name)
	if err != nil {
		return l.refuse(m, err)
	}
	got := reply.([]any)
	h := hold{token: got[0].(int64), by: m.Name, from: time.Now(), until: asked.Add(time.Duration(got[1].(int64)) * time.Millisecond)}
	for range rnd.IntN(3) {
		pause(ctx, min(time.Until(h.until), time.Duration(rnd.IntN(400))*time.Millisecond))
		asked := time.Now()
		if reply, err = conn.Do("EM.LEASE", "RENEW", "till", strconv.FormatInt(h.token, 10), "1000"); err != nil {
			break
		}
		h.until = asked.Add(time.Duration(reply.(int64)) * time.Millisecond)
	}
	if now := time.Now(); now.Before(h.until) && rnd.IntN(2) == 0 && err == nil {
		h.until = now
		_, err = conn.Do("EM.LEASE", "RELEASE", "till", strconv.FormatInt(h.token, 10))
	}
	l.mu.Lock()
	l.holds = append(l.holds, h)
	l.mu.Unlock()
	return err == nil || l.refuse(m, err)
}

// refuse counts an answer of the node's; false for what is none.
func (l *leaseholders) refuse(m *member, err error) bool {
	text := err.Error()
	if strings.Contains(text, "NOMAJORITY") {
		l.mu.Lock()
		l.refused[m.Name]++
		l.mu.Unlock()
	}
	return strings.Contains(text, "NOMAJORITY") || strings.Contains(text, "HELD") || strings.Contains(text, "LOST")
}

// granted counts the leases that a node's client had.
func (l *leaseholders) granted(names ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.holds {
		if slices.Contains(names, h.by) {
			n++
		}
	}
	return n
}

func (l *leaseholders) refusals(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused[name]
}

// overlaps tells of holds that are two at once, or out of order.
func overlaps(holds []hold) (out []string) {
	slices.SortFunc(holds, func(a, b hold) int { return cmp.Compare(a.token, b.token) })
	for i := 1; i < len(holds); i++ {
		if a, b := holds[i-1], holds[i]; a.token == b.token || b.from.Before(a.until) {
			out = append(out, fmt.Sprintf("%s had token %d until %v, %s had token %d from %v", a.by, a.token, a.until, b.by, b.token, b.from))
		}
	}
	return out
}

// TestLeases has clients at four nodes take one lease, while the voters are parted, muted, killed and cut from power. At no time do two count on it;
// a minority says that it is one, and the others go on.
func TestLeases(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device", "regional")
	harness.Eventually(t, harness.Patience, "the voters are named", func() error {
		c := s.node("edge").Dial()
		defer c.Close()
		_, err := c.Do("EM.LEASE", "ELECT", "cloud", "edge", "regional")
		return err
	})
	l := &leaseholders{refused: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	stop := sync.OnceFunc(func() { cancel(); l.wg.Wait() })
	t.Cleanup(stop)
	for i, m := range s.nodes {
		l.wg.Go(func() { l.at(ctx, m, rand.New(rand.NewPCG(*seed, uint64(i)))) })
	}
	more := func(what string, names ...string) {
		t.Helper()
		before := l.granted(names...)
		harness.Eventually(t, harness.Patience, what, func() error {
			if got := l.granted(names...) - before; got < 5 {
				return fmt.Errorf("%d leases were granted", got)
			}
			return nil
		})
	}
	more("leases on a whole network", "cloud", "edge", "regional", "device")

	heal := s.part(s.group("edge", "device")...)
	refused := l.refusals("edge") + l.refusals("device")
	more("leases of the majority", "cloud", "regional")
	harness.Eventually(t, harness.Patience, "the minority says that it is one", func() error {
		if got := l.refusals("edge") + l.refusals("device") - refused; got < 2 {
			return fmt.Errorf("%d refusals", got)
		}
		return nil
	})
	heal()
	more("leases after the partition", "edge", "device")

	hear := s.net.mute([]*host{s.host("regional")}, []*host{s.host("cloud"), s.host("edge"), s.host("device")})
	more("leases with one voter muted", "cloud", "edge")
	hear()

	s.kill(s.node("regional"))
	more("leases with one voter killed", "cloud", "edge")
	s.start(s.node("regional"))
	s.kill(s.nodes...)
	s.start(s.nodes...)
	more("leases after a power cut", "cloud", "edge", "regional")
	stop()
	for _, o := range overlaps(l.holds) {
		t.Error(o)
	}
	t.Logf("%d leases, refused by a minority: %v", len(l.holds), l.refused)
}

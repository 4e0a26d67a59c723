package netns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// marks is a set of writes, each of which adds its number to one set.
type marks []uint64

func (m *marks) add(n int) {
	for len(*m) <= n/64 {
		*m = append(*m, 0)
	}
	(*m)[n/64] |= 1 << (n % 64)
}

func (m *marks) join(o marks) {
	for i, w := range o {
		for len(*m) <= i {
			*m = append(*m, 0)
		}
		(*m)[i] |= w
	}
}

// lacks gives a write of o that is not in m, or -1.
func (m marks) lacks(o marks) int {
	for i, w := range o {
		if i < len(m) {
			w &^= m[i]
		}
		for b := range 64 {
			if w&(1<<b) != 0 {
				return i*64 + b
			}
		}
	}
	return -1
}

// hops is what clients saw that hop from node to node, each with the token of its last call.
type hops struct {
	region string
	causal bool

	mu     sync.Mutex
	before []marks // by write: what its session had seen
	reads  int
	stale  int
	moved  int
	wrong  []string
	wg     sync.WaitGroup
}

// hopper is one client.
type hopper struct {
	*hops
	name  string
	nodes []*member
	rnd   *rand.Rand
	token string
	seen  marks
	last  *member
}

func (h *hopper) run(ctx context.Context) {
	for ctx.Err() == nil {
		m := h.nodes[h.rnd.IntN(len(h.nodes))]
		conn, _ := (&client{at: m, region: h.region, log: m.site.log}).connect(0)
		if conn == nil {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		h.stay(m, conn)
		conn.Close()
		pause(ctx, time.Duration(h.rnd.IntN(40))*time.Millisecond)
	}
}

// stay goes on with the session at a node, for a few calls.
func (h *hopper) stay(m *member, conn *harness.Conn) {
	if h.token != "" {
		if _, err := conn.Do("EM.AT", h.token, strconv.Itoa(h.rnd.IntN(500))); err != nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			if strings.Contains(err.Error(), "STALE") {
				h.stale++
			}
			return // it is asked nothing: another node is
		}
	}
	for range 1 + h.rnd.IntN(3) {
		if !h.call(conn) {
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last != nil && h.last != m {
		h.moved++
	}
	h.last = m
}

// call reads or writes, and takes the token of it. What of a call is not known counts as not seen.
func (h *hopper) call(conn *harness.Conn) bool {
	if h.rnd.IntN(2) == 0 {
		reply, err := conn.Do("SMEMBERS", "hops")
		return err == nil && h.read(reply.([]any)) && h.take(conn)
	}
	h.mu.Lock()
	n := len(h.before)
	h.before = append(h.before, append(marks(nil), h.seen...))
	h.mu.Unlock()
	if _, err := conn.Do("SADD", "hops", strconv.Itoa(n)); err != nil {
		return false
	}
	if !h.take(conn) {
		return false
	}
	h.seen.add(n)
	return true
}

func (h *hopper) take(conn *harness.Conn) bool {
	token, err := conn.Do("EM.TOKEN")
	if err != nil {
		return false
	}
	h.token = token.(string)
	return true
}

// read holds what a node shows to what the session saw before, and to what the writers of it had seen.
func (h *hopper) read(members []any) bool {
	var got marks
	for _, m := range members {
		n, err := strconv.Atoi(m.(string))
		if err != nil {
			return false
		}
		got.add(n)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	if n := got.lacks(h.seen); n >= 0 {
		h.wrong = append(h.wrong, fmt.Sprintf("%s had seen or made write %d, and does not see it any more", h.name, n))
	}
	for n, before := range h.before {
		shown := marks{}
		shown.add(n)
		if h.causal && got.lacks(shown) < 0 && got.lacks(before) >= 0 {
			h.wrong = append(h.wrong, fmt.Sprintf("%s sees write %d, and not write %d, which its writer had seen", h.name, n, got.lacks(before)))
		}
	}
	h.seen.join(got)
	return true
}

// TestSessionsHop has clients hop between four nodes with their tokens, while links are cut and nodes killed. They read their own writes
// and nothing older than before; in a causal region a write shows with all that its writer had seen.
func TestSessionsHop(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device", "regional")
	s.nodes[0].CLI("region", "create", "causal", "--consistency", "causal", "--ack", "disk")
	harness.Eventually(t, harness.Patience, "region causal is known everywhere", func() error {
		for _, m := range s.nodes {
			if r, ok := m.MustStatus().Region("causal"); !ok || r.Ack != "disk" {
				return fmt.Errorf("%s has %+v", m.Name, r)
			}
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	both := []*hops{{region: safe}, {region: "causal", causal: true}}
	for i, h := range both {
		for j := range 3 {
			x := &hopper{hops: h, name: fmt.Sprintf("%s/%d", h.region, j), nodes: s.nodes, rnd: rand.New(rand.NewPCG(*seed, uint64(i*8+j)))}
			h.wg.Go(func() { x.run(ctx) })
		}
	}
	stop := sync.OnceFunc(func() {
		cancel()
		for _, h := range both {
			h.wg.Wait()
		}
	})
	t.Cleanup(stop)
	last := func() { time.Sleep(2 * time.Second) } // a fault goes on

	last()
	for _, side := range [][]*member{s.group("edge"), s.group("device", "edge")} {
		heal := s.part(side...)
		last()
		heal()
		last()
	}
	s.kill(s.node("regional"))
	last()
	s.start(s.node("regional"))
	hear := s.net.mute([]*host{s.host("cloud")}, []*host{s.host("device"), s.host("edge")})
	last()
	hear()
	last()
	stop()
	for _, h := range both {
		for i, w := range h.wrong[:min(len(h.wrong), 10)] {
			t.Errorf("region %s, %d of %d: %s", h.region, i+1, len(h.wrong), w)
		}
		if h.reads < 50 || h.moved < 20 || h.stale == 0 {
			t.Errorf("region %s: too little happened", h.region)
		}
		t.Logf("region %s: %d writes, %d reads, %d hops, %d times stale", h.region, len(h.before), h.reads, h.moved, h.stale)
	}
}

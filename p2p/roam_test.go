//go:build linux

package p2p

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A cable that is pulled is missed well under half a minute later, by both sides, and the probes that find it cost
// little.
func TestPulledCable(t *testing.T) {
	for name, listen := range map[string]string{"tcp": "/ip4/0.0.0.0/tcp/7381", "quic": "/ip4/0.0.0.0/udp/7381/quic-v1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.host("a", "10.9.0.1/24")
			s.host("b", "10.9.0.2/24")
			a := s.start("a", childConfig{Tier: "regional", Listen: []string{listen}})
			b := s.start("b", childConfig{Ticket: a.ticket(), Listen: []string{listen}})
			a.await("up b")
			b.await("up a")
			s.awaitIdle("a")
			s.cut("b")
			_, tookA := a.awaitWithin("down b", silenceMax+maintainEvery+5*time.Second)
			_, more := b.awaitWithin("down a", silenceMax+maintainEvery+5*time.Second)
			t.Logf("missed after %v and %v", tookA.Round(time.Second), (tookA + more).Round(time.Second))
			s.mend("b")
			_, back := b.awaitWithin("up a", backoffRecent*3/2+dialTimeout)
			t.Logf("back %v after the cable was", back.Round(100*time.Millisecond))
		})
	}
}

// idleFor is how long idle traffic is measured, several rounds of keep-alives; idleBudget what it may be, everything on
// the wire and both ways; settling how long handshakes, the namespaces' own greetings and QUIC's search for the path's
// packet size may go on.
const (
	idleFor    = 24 * time.Second
	idleBudget = 40.0
	settling   = 2 * time.Minute
)

// awaitIdle waits until an idle link costs no more than it may.
func (s *site) awaitIdle(space string) {
	s.t.Helper()
	began, before := time.Now(), s.wireBytes(space)
	tick := time.NewTicker(idleFor)
	defer tick.Stop()
	for {
		start := time.Now()
		<-tick.C
		now := s.wireBytes(space)
		perSecond := float64(now-before) / time.Since(start).Seconds()
		s.t.Logf("idle: %.1f B/s both ways together, Ethernet and IP headers included", perSecond)
		if perSecond <= idleBudget {
			return
		}
		if before = now; time.Since(began) > settling {
			s.t.Fatalf("an idle link costs %.1f B/s, want at most %v", perSecond, idleBudget)
		}
	}
}

// wireBytes is what a namespace's interface has sent and received.
func (s *site) wireBytes(space string) (sum int64) {
	s.t.Helper()
	for _, way := range []string{"rx", "tx"} {
		out, err := exec.Command("ip", "netns", "exec", s.ns(space), "cat", "/sys/class/net/eth0/statistics/"+way+"_bytes").Output()
		if err != nil {
			s.t.Fatal(err)
		}
		n, _ := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		sum += n
	}
	return sum
}

// A device that changes its address is back within seconds, and the others know where it went.
func TestRoaming(t *testing.T) {
	for name, listen := range map[string]string{"tcp": "/ip4/0.0.0.0/tcp/7381", "quic": "/ip4/0.0.0.0/udp/7381/quic-v1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.host("a", "10.9.0.1/24")
			s.host("b", "10.9.0.2/24")
			s.host("c", "10.9.0.3/24")
			a := s.start("a", childConfig{Tier: "regional", Listen: []string{listen}})
			b := s.start("b", childConfig{Ticket: a.ticket(), Listen: []string{listen}})
			c := s.start("c", childConfig{Ticket: a.ticket(), Listen: []string{listen}})
			b.await("up a")
			c.await("up b")
			start := time.Now()
			s.in("b", "ip addr flush dev eth0 && ip addr add 10.9.0.77/24 dev eth0")
			for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
				p := a.status(b)
				if p.Connected && strings.Contains(strings.Join(p.Addrs, " "), "10.9.0.77") && strings.Contains(p.Addr+b.status(a).Addr, "10.9.0") && a.ask("echo "+string(b.id), "echo ") == "hello" {
					break
				}
				if time.Since(start) > patience {
					t.Fatalf("not back: %+v", p)
				}
			}
			took := time.Since(start)
			t.Logf("back after %v", took.Round(10*time.Millisecond))
			if took > roamedWithin {
				t.Errorf("back after %v, want %v", took, roamedWithin)
			}
			for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
				got := fmt.Sprint(c.status(b).Addrs)
				if strings.Contains(got, "10.9.0.77") {
					break
				}
				if time.Since(start) > patience {
					t.Fatalf("another neighbour knows it at %v", got)
				}
			}
		})
	}
}

const roamedWithin = 8 * time.Second

//go:build linux

package p2p

import (
	"strings"
	"testing"
	"time"
)

const (
	listenTCP  = "/ip4/0.0.0.0/tcp/7381"
	listenQUIC = "/ip4/0.0.0.0/udp/7381/quic-v1"
)

// Two devices, each behind a router that translates addresses and lets nobody in, come together through a relay, and
// from there, over QUIC, directly. Over TCP they stay on the circuit.
func TestBehindTranslators(t *testing.T) {
	for name, listen := range map[string]string{"tcp": listenTCP, "quic": listenQUIC} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.host("r", "10.9.0.1/24")
			s.behind("a", "10.9.0.2/24")
			s.behind("b", "10.9.0.3/24")
			r := s.start("r", childConfig{Tier: "regional", Listen: []string{listen}, Public: "10."})
			ticket := r.ticket()
			a := s.start("a", childConfig{Ticket: ticket, Listen: []string{listen}, Public: "10."})
			b := s.start("b", childConfig{Ticket: ticket, Listen: []string{listen}, Public: "10."})
			start := time.Now()
			a.await("up b")
			t.Logf("a and b are connected after %v", time.Since(start).Round(10*time.Millisecond))
			if got := a.ask("echo "+string(b.id), "echo "); got != "hello" && name == "tcp" {
				t.Errorf("over the circuit: %q", got)
			}
			if name == "tcp" {
				if p := a.status(b); p.Transport != "relay" || p.Relay != r.id || !p.Limited {
					t.Errorf("status %+v", p)
				}
				return
			}
			for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
				if p := a.status(b); p.Transport == "quic" && p.Relay == "" && strings.Contains(p.Addr, "10.9.0.3") {
					break
				}
				if time.Since(start) > 2*patience {
					t.Fatalf("no direct connection: %+v", a.status(b))
				}
			}
			t.Logf("directly after %v", time.Since(start).Round(10*time.Millisecond))
			if got := a.ask("echo "+string(b.id), "echo "); got != "hello" {
				t.Errorf("through the hole: %q", got)
			}
		})
	}
}

// A node with a public address of its own is found to be reachable, and takes no reservation; one behind a router that
// forwards a port as well, under an address that it cannot see itself; one behind a router that does not, relays carry.
func TestReachability(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.host("r", "10.9.0.1/24")
	s.host("open", "10.9.0.2/24")
	s.behind("fwd", "10.9.0.3/24")
	s.in("fwdr", `nft "add chain ip nat pre { type nat hook prerouting priority -100 ; }" && nft add rule ip nat pre iifname eth0 tcp dport 7381 dnat to 192.168.1.2 && nft add rule ip f pass ct status dnat accept`)
	s.behind("shut", "10.9.0.4/24")
	both := []string{listenTCP, listenQUIC}
	r := s.start("r", childConfig{Tier: "regional", Listen: both, Public: "10."})
	ticket := r.ticket()
	for space, want := range map[string]func(addrs string) bool{
		"open": func(addrs string) bool { return !strings.Contains(addrs, "p2p-circuit") },
		"fwd": func(addrs string) bool {
			return strings.Contains(addrs, "/ip4/10.9.0.3/tcp/7381") && !strings.Contains(addrs, "p2p-circuit") && !strings.Contains(addrs, "/ip4/10.9.0.3/udp")
		},
		"shut": func(addrs string) bool {
			return strings.Contains(addrs, "p2p-circuit") && !strings.Contains(addrs, "/ip4/10.9.0.4")
		},
	} {
		n := s.start(space, childConfig{Ticket: ticket, Listen: both, Public: "10."})
		n.await("up r")
		start := time.Now()
		for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
			if strings.HasPrefix(n.ask("known", "known "), "true") == (space != "shut") && want(n.ask("addrs", "addrs ")) {
				break
			}
			if time.Since(start) > patience {
				t.Errorf("%s: addresses %s", space, n.ask("addrs", "addrs "))
				break
			}
		}
	}
}

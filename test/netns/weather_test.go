package netns

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/lab/wire"
)

// expose puts a host under the weather, in both directions with every other host.
func (n *network) expose(h *host) { n.blow(h, sky) }

// blow sets the condition of all links from and to a host.
func (n *network) blow(h *host, c wire.Condition) {
	n.t.Helper()
	for _, o := range n.hosts {
		if o == h {
			continue
		}
		n.set(h, o, c)
		n.set(o, h, c)
	}
}

// set gives one link a condition, and leaves it cut where it was.
func (n *network) set(from, to *host, c wire.Condition) {
	n.t.Helper()
	if *netem {
		from.netem(to, c)
		c = wire.Condition{}
	}
	was, err := n.wires.Condition(from.name, to.name)
	if err == nil {
		c.Cut = was.Cut
		err = n.wires.Set(from.name, to.name, c)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// reportWires sums up what the links did to the traffic.
func (n *network) reportWires() string {
	var sum wire.Stats
	for _, from := range n.hosts {
		for _, to := range n.hosts {
			st, err := n.wires.Stats(from.name, to.name)
			if err != nil {
				continue // to itself
			}
			sum.Sent += st.Sent
			sum.SentBytes += st.SentBytes
			sum.Lost += st.Lost
			sum.Cut += st.Cut
			sum.Dropped += st.Dropped
			sum.Duplicated += st.Duplicated
			sum.Reordered += st.Reordered
		}
	}
	return fmt.Sprintf("%d frames, %.1f MB: %d lost, %d cut, %d dropped by full queues, %d duplicated, %d reordered",
		sum.Sent, float64(sum.SentBytes)/1e6, sum.Lost, sum.Cut, sum.Dropped, sum.Duplicated, sum.Reordered)
}

// TestWeatherIsReal measures with datagrams what the switch was told to do: a laboratory whose links are perfect by mistake
// proves nothing.
func TestWeatherIsReal(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	a, b := n.add("a"), n.add("b")
	out, in := a.socket(), b.socket()
	exchange(t, out, in, 1) // both addresses are learnt
	n.set(a, b, wire.Condition{Delay: 30 * time.Millisecond, Loss: 0.3})
	const sent = 200
	came, quickest := exchange(t, out, in, sent)
	if came < sent/2 || came > sent*9/10 {
		t.Errorf("%d of %d datagrams came over a link that loses 30%%", came, sent)
	}
	if quickest < 30*time.Millisecond {
		t.Errorf("one took %v, on a link with a delay of 30ms", quickest)
	}
	t.Logf("%d of %d datagrams came, the quickest after %v", came, sent, quickest.Round(time.Microsecond))
	back, _ := exchange(t, in, out, sent)
	if back != sent {
		t.Errorf("%d of %d datagrams came the other way, where the link is perfect", back, sent)
	}
	heal := n.mute([]*host{b}, []*host{a})
	if came, _ := exchange(t, in, out, 10); came != 0 {
		t.Errorf("%d datagrams came over a cut link", came)
	}
	heal()
}

// socket opens a UDP socket on the host.
func (h *host) socket() (c *net.UDPConn) {
	h.net.t.Helper()
	err := wire.Inside("/run/netns/"+h.space, func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(h.ip)})
		return err
	})
	if err != nil {
		h.net.t.Fatal(err)
	}
	h.net.t.Cleanup(func() { c.Close() })
	return c
}

// exchange sends numbered datagrams and counts those that come before nothing came for a second.
func exchange(t *testing.T, from, to *net.UDPConn, n int) (came int, quickest time.Duration) {
	t.Helper()
	began := make([]time.Time, n)
	for i := range n {
		began[i] = time.Now()
		if _, err := from.WriteTo([]byte{byte(i)}, to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	quickest = time.Hour
	buf := make([]byte, 1)
	for came < n {
		if err := to.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Read(buf); err != nil {
			break
		}
		came++
		quickest = min(quickest, time.Since(began[buf[0]]))
	}
	return came, quickest
}

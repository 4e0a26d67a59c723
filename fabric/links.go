package fabric

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	policy "github.com/edgemem/edgemem/tiers/place"
)

// What it costs to reach others is in a node's record, as long as there is a region that is not everywhere:
//
//	link   round trip, µs; bytes a second; the upstream: the nearest node that is farther from the consumer, by tier and then by round trip
//
// The round trip of a node that has no upstream is that to the nearest other node. It is written anew when it has doubled or halved. Who has
// such a field takes and gives copies when a holder of the region asks for it.
const fieldLink = "link"

// linkNote is what it says.
type linkNote struct {
	up   crdt.NodeID
	rtt  time.Duration // 0: not known
	rate int64         // bytes/s; 0: not known
}

func (l *linkNote) encode() []byte {
	return fmt.Appendf(nil, "%d %d %s", l.rtt.Microseconds(), l.rate, l.up)
}

// parseLink reads what encode wrote, or nil.
func parseLink(b []byte) *linkNote {
	micros, rest, _ := strings.Cut(string(b), " ")
	rate, up, ok := strings.Cut(rest, " ")
	us, err := strconv.ParseInt(micros, 10, 64)
	n, err2 := strconv.ParseInt(rate, 10, 64)
	if !ok || err != nil || err2 != nil || us < 0 || us > linkRTTMax.Microseconds() || n < 0 || len(up) > nodeIDMax {
		return nil
	}
	return &linkNote{crdt.NodeID(up), time.Duration(us) * time.Microsecond, n}
}

const (
	linkRTTMax   = time.Hour
	linkRTTLeast = 50 * time.Microsecond // what is asked of another process takes that
	linkRTTUsual = 20 * time.Millisecond // where nothing was measured
	linkRate     = 100e6 / 8             // bytes/s, where nothing was measured
	linkAgain    = time.Minute           // between two notes, unless the upstream is another one, or was not measured
	linkFine     = time.Millisecond      // round trips below it are alike
	linkRateFrom = 256 << 10             // bytes of a pull from which its rate is measured

	meteredPrice  = 0.1 // of a GiB, where the label metered says no number
	batteryJoules = 5.0 // for a MiB, where the label battery says none
)

// near says whether l need not be said where m was.
func (l *linkNote) near(m *linkNote) bool {
	close := func(a, b int64) bool { return a <= 2*b && b <= 2*a }
	return m != nil && l.up == m.up && (l.rtt > 0) == (m.rtt > 0) && close(int64(max(l.rtt, linkFine)), int64(max(m.rtt, linkFine))) && close(l.rate, m.rate)
}

// outward looks which way leads outward. Of equal nodes the one that was chosen before stays, unless another is much nearer.
func (f *Fabric) outward(was *linkNote) *linkNote {
	own, _ := tiers.Parse(f.cfg.Tier) // Open has checked it
	var best, near *peer
	var bestTier tiers.Tier
	rtt := func(p *peer) time.Duration {
		d := cmp.Or(time.Duration(p.rtt.Load()), linkRTTUsual)
		if was != nil && p.id == was.up {
			d /= 2
		}
		return d
	}
	for _, p := range f.mesh.connected() {
		if near == nil || rtt(p) < rtt(near) {
			near = p
		}
		t, err := tiers.Parse(p.tier)
		if err != nil || !own.Nearer(t) {
			continue
		}
		if best == nil || t < bestTier || t == bestTier && rtt(p) < rtt(best) {
			best, bestTier = p, t
		}
	}
	l := &linkNote{}
	if best != nil {
		l.up = best.id
	} else {
		best = near
	}
	if best != nil {
		l.rtt, l.rate = time.Duration(best.rtt.Load()), int64(best.rate.Load())
	}
	if limit := int64(f.cfg.LimitRate); limit > 0 && (l.rate == 0 || limit < l.rate) {
		l.rate = limit
	}
	return l
}

// sayLink keeps this node's own note in order.
func (d *decider) sayLink(now time.Time) {
	n := d.f.roster
	n.mu.Lock()
	was := n.own().link
	n.mu.Unlock()
	l := d.f.outward(was)
	if l.near(was) || was != nil && l.up == was.up && was.rtt > 0 && now.Sub(d.saidAt) < linkAgain {
		return
	}
	d.saidAt = now
	_, err := n.update(func(tx *crdt.Tx) error {
		_, err := tx.MapSet(string(d.f.cfg.Node), fieldLink, l.encode())
		return err
	})
	if err != nil && !d.f.closed.Load() {
		d.f.cfg.Logger.Warn("the node's record does not take what its link is", "err", err)
	}
}

// measured notes how fast a pull from the peer was.
func (p *peer) measured(bytes uint64, took time.Duration) {
	if bytes < linkRateFrom || took <= 0 {
		return
	}
	now, was := float64(bytes)/took.Seconds(), float64(p.rate.Load())
	if was > 0 {
		now = was + (now-was)/4
	}
	p.rate.Store(int64(now))
}

// cost gives the link in the terms of the policy. What its use costs is in the labels of the node.
func (l *linkNote) cost(labels map[string]string) policy.Link {
	out := policy.Link{RTT: linkRTTUsual, Bandwidth: linkRate, Money: price(labels["metered"], meteredPrice), Energy: price(labels["battery"], batteryJoules)}
	if l != nil && l.rtt > 0 {
		out.RTT = max(l.rtt, linkRTTLeast)
	}
	if l != nil && l.rate > 0 {
		out.Bandwidth = float64(l.rate)
	}
	return out
}

// price reads a label: a number, no for 0, anything else for the usual.
func price(text string, usual float64) float64 {
	switch x, err := strconv.ParseFloat(text, 64); {
	case text == "" || text == "no" || text == "false":
		return 0
	case err == nil && x >= 0 && x <= 1e9:
		return x
	}
	return usual
}

package place

import "time"

// Link is what lies between a node and its upstream.
type Link struct {
	RTT       time.Duration
	Bandwidth float64 // bytes/s; 0: so much that it costs nothing
	Money     float64 // price of a GiB
	Energy    float64 // joules for a MiB, of the node that pays for them from a battery; else 0
}

// Weights say what the owner of a region cares for. The unit of cost is a second of somebody waiting: a weight says how many of them one
// unit of its kind is worth.
type Weights struct {
	Latency     float64 // for each second that a reader waits
	Bandwidth   float64 // for each second that a link is busy
	Money       float64 // for each unit of price
	Energy      float64 // for each joule
	Reliability float64 // how much a new failure domain counts against a cheaper hop when copies are replaced; 0 to 1
}

// UsualWeights fit interactive programs: a second of waiting is worth as much as a second of a link, and a GiB at 0.1 as much as 10 s.
var UsualWeights = Weights{Latency: 1, Bandwidth: 1, Money: 100, Energy: 0.01, Reliability: 1}

const (
	gib = 1 << 30
	mib = 1 << 20
)

// Transfer is what it costs to carry bytes over a link while nobody waits.
func (w Weights) Transfer(l Link, bytes int64) float64 {
	n := float64(max(0, bytes))
	cost := w.Money*l.Money*n/gib + w.Energy*l.Energy*n/mib
	if l.Bandwidth > 0 {
		cost += w.Bandwidth * n / l.Bandwidth
	}
	return cost
}

// Access is what ops operations cost that wait for bytes over a link, a round trip each.
func (w Weights) Access(l Link, ops, bytes int64) float64 {
	cost := w.Latency*l.RTT.Seconds()*float64(max(0, ops)) + w.Transfer(l, bytes)
	if l.Bandwidth > 0 {
		cost += w.Latency * float64(max(0, bytes)) / l.Bandwidth
	}
	return cost
}

// Move is what a copy of a region costs over a link: a round trip to prove and one to begin, and its bytes. It is never 0.
func (w Weights) Move(l Link, bytes int64) float64 {
	return max(w.Transfer(l, bytes)+2*w.Latency*l.RTT.Seconds(), costMin)
}

// costMin keeps what is divided by apart from 0.
const costMin = 1e-9

// over is a link and then another one, as one.
func (l Link) over(m Link) Link {
	sum := Link{RTT: l.RTT + m.RTT, Money: l.Money + m.Money, Energy: l.Energy + m.Energy}
	switch {
	case l.Bandwidth <= 0:
		sum.Bandwidth = m.Bandwidth
	case m.Bandwidth <= 0:
		sum.Bandwidth = l.Bandwidth
	default:
		sum.Bandwidth = 1 / (1/l.Bandwidth + 1/m.Bandwidth) // both are busy
	}
	return sum
}

package place

import (
	"cmp"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

const (
	devicesMax = 1 << 16 // devices whose moves are kept; further ones are not predicted
	hopsKept   = 64      // moves between two places that are counted of each device; the rarest makes room
	countMax   = 32      // where all counts of a device halve, so that new habits show
	wrongFree  = 4       // warm-ups that may be wrong before the first right one
	lateShare  = 0.75    // of a device's usual stay that passes before a copy is made elsewhere: upkeep for longer is wasted
)

// Mobility predicts the next edge of devices from their past moves: a Markov chain of the first order for each device. It counts how
// often it was right, and warms no more than that earns: at any time, warm-ups that were wrong or are open are at most those that were right
// and wrongFree more.
type Mobility struct {
	devices map[crdt.NodeID]*traveller
	right   int
	wrong   int
	open    int
}

// NewMobility makes one that has seen nothing.
func NewMobility() *Mobility { return &Mobility{devices: map[crdt.NodeID]*traveller{}} }

type traveller struct {
	at     crdt.NodeID
	since  time.Time
	usual  time.Duration // of its stays, decayed
	counts map[trip]int
	warmed []warmed
}

type trip struct{ from, to crdt.NodeID }

type warmed struct {
	region string
	at     crdt.NodeID
}

// Guess is where a device may go next.
type Guess struct {
	Edge   crdt.NodeID
	Chance float64
}

// Moved notes that a device is at an edge now. It gives what became of the copies that were warmed for it, for Policy.Settle: those that it
// came for as promotions, those that nobody came for as demotions.
func (m *Mobility) Moved(device, edge crdt.NodeID, now time.Time) (settled []Decision) {
	t := m.devices[device]
	if t == nil {
		if len(m.devices) >= devicesMax {
			return nil
		}
		t = &traveller{counts: map[trip]int{}}
		m.devices[device] = t
	}
	if t.at == edge {
		return nil
	}
	if t.at != "" {
		t.count(trip{t.at, edge})
		t.stayed(now.Sub(t.since))
	}
	t.at, t.since = edge, now
	for _, w := range t.warmed {
		d := Decision{Kind: Promote, Rule: RuleWarm, Region: w.region, Node: w.at}
		if w.at == edge {
			m.right++
		} else {
			m.wrong++
			d.Kind = Demote
		}
		settled = append(settled, d)
	}
	m.open -= len(t.warmed)
	t.warmed = nil
	return settled
}

func (t *traveller) stayed(d time.Duration) {
	if d = max(0, d); t.usual > 0 {
		d = (3*t.usual + d) / 4
	}
	t.usual = d
}

// count notes a trip. Rare ones make room, and old ones fade.
func (t *traveller) count(x trip) {
	if t.counts[x] == 0 && len(t.counts) >= hopsKept {
		delete(t.counts, t.rarest())
	}
	if t.counts[x]++; t.counts[x] < countMax {
		return
	}
	for y, n := range t.counts { // each by itself, in any order
		if t.counts[y] = n / 2; n/2 == 0 {
			delete(t.counts, y)
		}
	}
}

func (t *traveller) rarest() trip {
	var least trip
	for x, n := range t.counts { // the least is one, whatever the order
		if least == (trip{}) || cmp.Or(cmp.Compare(n, t.counts[least]), cmp.Compare(x.from, least.from), cmp.Compare(x.to, least.to)) < 0 {
			least = x
		}
	}
	return least
}

// Next gives where a device may go from where it is, the likeliest first. Chances leave something for where it never went: of n trips
// from here, one in n+1.
func (m *Mobility) Next(device crdt.NodeID) (out []Guess) {
	t := m.devices[device]
	if t == nil {
		return nil
	}
	total := 1
	for x, n := range t.counts { // a sum, and a list that is sorted below
		if x.from == t.at {
			total += n
			out = append(out, Guess{Edge: x.to, Chance: float64(n)})
		}
	}
	for i := range out {
		out[i].Chance /= float64(total)
	}
	slices.SortFunc(out, func(a, b Guess) int {
		return cmp.Or(cmp.Compare(b.Chance, a.Chance), cmp.Compare(a.Edge, b.Edge))
	})
	return out
}

// Warm decides where to have a copy of the region that a device uses before it is there: late in its stay, and where the chance that it
// comes, times what a stay's reads would cost there without a copy, is more than the move does. The caller makes the moves that it may,
// tells the Policy to Expect them, and to Settle those that Moved gives.
func (m *Mobility) Warm(o Observation, device crdt.NodeID, stay Use, now time.Time) (out []Decision) {
	t := m.devices[device]
	if t == nil || o.Nodes == nil || o.Spec.Placement != OnDemand || float64(now.Sub(t.since)) < lateShare*float64(t.usual) {
		return nil
	}
	s := &step{o: o, holds: map[crdt.NodeID]Holder{}}
	for _, h := range o.Holders {
		s.holds[h.Node] = h
	}
	for _, g := range m.Next(device) {
		n, ok := o.Nodes.Get(g.Edge)
		from, way, reached := o.Nodes.hop(n, func(up Node) bool { return s.has(up.ID) && s.may(up) })
		if !ok || !reached || !s.may(n) || s.has(n.ID) || s.noRoom(n) != "" || slices.Contains(t.warmed, warmed{o.Region, n.ID}) {
			continue
		}
		saving, move := o.Weights.Access(way, stay.Reads, stay.ReadBytes), o.Weights.Move(way, o.Bytes)
		if g.Chance*saving <= move {
			continue
		}
		if m.wrong+m.open >= m.right+wrongFree {
			break
		}
		t.warmed = append(t.warmed, warmed{o.Region, n.ID})
		m.open++
		out = append(out, Decision{Kind: Promote, Rule: RuleWarm, Region: o.Region, Node: n.ID, From: from.ID,
			Numbers: Numbers{Rent: saving, Move: move, Chance: g.Chance, Bytes: o.Bytes, Room: n.Room}})
	}
	return out
}

// Score is how many warm-ups were right and wrong, and how many are open.
func (m *Mobility) Score() (right, wrong, open int) { return m.right, m.wrong, m.open }

package place

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// Rate is a sum that halves with every half-life: what happens often weighs more the later it happened. Its zero value is ready.
type Rate struct {
	sum float64
	at  time.Time
}

// Add counts n at an instant. Instants before the last one count as that.
func (r *Rate) Add(n float64, now time.Time, half time.Duration) {
	r.sum = r.Sum(now, half) + n
	if now.After(r.at) {
		r.at = now
	}
}

// Sum is what is left.
func (r *Rate) Sum(now time.Time, half time.Duration) float64 {
	age := now.Sub(r.at)
	if r.sum == 0 || age <= 0 || half <= 0 {
		return r.sum
	}
	return r.sum * math.Exp2(-float64(age)/float64(half))
}

// PerSecond is the rate that a steady stream with this sum would have.
func (r *Rate) PerSecond(now time.Time, half time.Duration) float64 {
	return r.Sum(now, half) * math.Ln2 / half.Seconds()
}

// consumersMax bounds the consumers that are told apart; the least active one makes room for a new one, and what it did since the last
// Take counts for nobody.
const consumersMax = 64

// Demand gathers the use of one region by consumer. Its zero value is ready.
type Demand struct {
	// Half is the half-life of rates. Default 5 min.
	Half time.Duration
	who  []consumer
	rest Use // of those who made room
}

// consumer is what is known of one.
type consumer struct {
	use    Use // since the last Take
	reads  Rate
	writes Rate
	waited Rate // seconds that its reads waited
}

// Consumer is how much a consumer uses the region of late.
type Consumer struct {
	ID             crdt.NodeID
	Reads, Writes  float64 // a second
	WaitingPercent float64 // of the time, summed over its readers
}

func (d *Demand) half() time.Duration { return cmp.Or(d.Half, 5*time.Minute) }

// Note counts use, and for how long its reads waited.
func (d *Demand) Note(u Use, waited time.Duration, now time.Time) {
	i := slices.IndexFunc(d.who, func(c consumer) bool { return c.use.Consumer == u.Consumer })
	if i < 0 {
		i = d.admit(u.Consumer, now)
	}
	c := &d.who[i]
	c.use.add(u)
	c.reads.Add(float64(u.Reads), now, d.half())
	c.writes.Add(float64(u.Writes), now, d.half())
	c.waited.Add(waited.Seconds(), now, d.half())
}

func (d *Demand) admit(id crdt.NodeID, now time.Time) int {
	if len(d.who) < consumersMax {
		d.who = append(d.who, consumer{use: Use{Consumer: id}})
		return len(d.who) - 1
	}
	least := 0
	for i := range d.who {
		if d.who[i].sum(now, d.half()) < d.who[least].sum(now, d.half()) {
			least = i
		}
	}
	d.rest.add(d.who[least].use)
	d.who[least] = consumer{use: Use{Consumer: id}}
	return least
}

func (c *consumer) sum(now time.Time, half time.Duration) float64 {
	return c.reads.Sum(now, half) + c.writes.Sum(now, half)
}

func (u *Use) add(v Use) {
	u.Reads, u.Writes = u.Reads+v.Reads, u.Writes+v.Writes
	u.ReadBytes, u.Written = u.ReadBytes+v.ReadBytes, u.Written+v.Written
}

// Take gives what was done since the last call, by consumer id, for Observation.Use. That of nobody in particular comes first: it is upkeep
// everywhere, and rent nowhere.
func (d *Demand) Take() (out []Use) {
	for i := range d.who {
		if u := &d.who[i].use; *u != (Use{Consumer: u.Consumer}) {
			out = append(out, *u)
			*u = Use{Consumer: u.Consumer}
		}
	}
	if d.rest != (Use{}) {
		out = append(out, d.rest)
		d.rest = Use{}
	}
	slices.SortFunc(out, func(a, b Use) int { return cmp.Compare(a.Consumer, b.Consumer) })
	return out
}

// Consumers lists who uses the region, the busiest first.
func (d *Demand) Consumers(now time.Time) []Consumer {
	out := make([]Consumer, len(d.who))
	for i := range d.who {
		c := &d.who[i]
		out[i] = Consumer{c.use.Consumer, c.reads.PerSecond(now, d.half()), c.writes.PerSecond(now, d.half()), 100 * c.waited.PerSecond(now, d.half())}
	}
	slices.SortFunc(out, func(a, b Consumer) int {
		return cmp.Or(cmp.Compare(b.Reads+b.Writes, a.Reads+a.Writes), cmp.Compare(a.ID, b.ID))
	})
	return out
}

package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

type message struct {
	from, to int
	body     []byte
	origin   crdt.Origin
}

func (w *world) flushOut(who int, rng *rand.Rand) {
	w.send(who, w.nodes[who].r.TakePush(), rng)
}

// send puts messages in flight to everyone; some are lost, and some go twice.
func (w *world) send(who int, msgs [][]byte, rng *rand.Rand) {
	for _, m := range msgs {
		for to := range w.nodes {
			if to == who || w.cut[who][to] || rng.IntN(4) == 0 {
				continue
			}
			w.flight = append(w.flight, message{who, to, m, w.nodes[who].r.Self()})
			if rng.IntN(6) == 0 {
				w.flight = append(w.flight, message{who, to, m, w.nodes[who].r.Self()})
			}
			w.say("n%d sends %d bytes to n%d", who, len(m), to)
		}
	}
}

// deliver lets any message in flight arrive, or keeps it for another time, or drops it.
func (w *world) deliver(rng *rand.Rand) int {
	if len(w.flight) == 0 {
		return -1
	}
	i := rng.IntN(len(w.flight))
	if rng.IntN(2) == 0 {
		i = 0
	}
	m := w.flight[i]
	if rng.IntN(8) > 0 {
		w.flight = slices.Delete(w.flight, i, i+1)
	}
	if w.cut[m.from][m.to] || rng.IntN(12) == 0 {
		return -1
	}
	w.say("push of n%d arrives at n%d", m.from, m.to)
	w.event(m.to, crdt.Arrived{Msg: m.body})
	return m.to
}

func (w *world) other(who int, rng *rand.Rand) int {
	return (who + 1 + rng.IntN(len(w.nodes)-1)) % len(w.nodes)
}

// linked tells whether a session between two can go on: it needs both directions.
func (w *world) linked(a, b int) bool { return !w.cut[a][b] && !w.cut[b][a] }

func (w *world) partition(who int, rng *rand.Rand) {
	to := w.other(who, rng)
	w.cut[who][to] = !w.cut[who][to]
	w.say("cut n%d→n%d: %v", who, to, w.cut[who][to])
	if rng.IntN(2) == 0 {
		w.cut[to][who] = w.cut[who][to]
	}
}

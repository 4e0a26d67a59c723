package scenario

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// startMs is when virtual time begins, Unix ms.
const startMs = int64(1_800_000_000_000)

// lingerMax is how long a run goes on after all replicas became equal, so that copies under way are counted.
const lingerMax = 2 * time.Second

// world is one run.
type world struct {
	queue
	s     *Scenario
	rng   *rand.Rand
	nodes []*node
	start map[string][]byte // the image that every node starts with

	restarts bool          // some event restarts nodes: they keep disks
	pending  int           // events and loads that have not ended
	last     time.Duration // when the last of them, or the last write, was
	states   map[uint64]int
	equal    time.Duration // since when all replicas are equal; -1: they are not
	log      []string

	traced     []*trace
	traceEvery int
	writes     int

	frames, frameBytes, lostFrames     int64
	pulls, chunks, chunkBytes, refused int64
	replies                            int64
	copiesMax                          [2]int // of one frame, at a server and at a device
}

// trace follows one write through the mesh.
type trace struct {
	crdt.Written
	at   time.Duration
	hops []int // by node; -1: not there
	left int   // nodes that lack it
	took time.Duration
}

// tracedMax bounds the writes that are followed; of more, an even sample is.
const tracedMax = 64

// fault is a panic of this package: something that cannot happen did.
type fault struct{ error }

func (w *world) must(err error) {
	if err != nil {
		panic(fault{err})
	}
}

// Run plays a scenario. Equal scenarios give equal reports, but for the time that the run itself took.
func Run(s *Scenario) (rep *Report, err error) {
	began := time.Now()
	w := &world{s: s, rng: rand.New(rand.NewPCG(s.Seed, 0x7363656e)), states: map[uint64]int{}, equal: -1}
	defer func() {
		if x := recover(); x != nil {
			f, ok := x.(fault)
			if !ok {
				panic(x)
			}
			err = fmt.Errorf("scenario %s: at %v: %w", s.Name, w.now, f.error)
		}
	}()
	w.restarts = slices.ContainsFunc(s.Event, func(e Event) bool { return e.Do == "restart" || e.Do == "wipe" })
	w.start = w.content()
	w.build()
	for _, n := range w.nodes {
		n.plug = !s.Start.Down
		w.boot(n)
	}
	w.reconnect()
	w.plan()
	for w.step(w.until()) {
	}
	runtime.GC()
	rep = w.report()
	rep.Wall = time.Since(began)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	rep.HeapBytes = mem.HeapAlloc
	runtime.KeepAlive(w)
	return rep, nil
}

// until is when the run ends, as far as is known now.
func (w *world) until() time.Duration {
	if w.pending == 0 && w.equal >= 0 {
		return min(w.equal+lingerMax, time.Duration(w.s.Limit))
	}
	return time.Duration(w.s.Limit)
}

// clock is virtual time as the nodes see it, Unix ms.
func (w *world) clock() int64 { return startMs + w.now.Milliseconds() }

func (w *world) say(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%9.3fs  ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

// wrote is the regions' Trace.
func (w *world) wrote(n *node, x crdt.Written) {
	w.writes++
	w.last = w.now
	if w.traceEvery == 0 || w.writes%w.traceEvery != 0 || len(w.traced) == tracedMax {
		return
	}
	x.Value = nil
	t := &trace{Written: x, at: w.now, hops: make([]int, len(w.nodes)), left: len(w.nodes) - 1}
	for i := range t.hops {
		t.hops[i] = -1
	}
	t.hops[n.id] = 0
	w.traced = append(w.traced, t)
}

// took notes what a node has seen after something came from a neighbour, or was written (from is nil). A pull
// brings a write one hop further than its server had it, a frame as many as it went.
func (w *world) took(n, from *node, hop int) {
	if n.version == n.r.Version() && n.version != 0 {
		return
	}
	if n.r.OverBudget() {
		n.r.Tick(w.clock())
	}
	n.version = n.r.Version()
	w.setState(n, stateOf(n))
	for _, t := range w.traced {
		if from == nil || t.left == 0 || t.hops[n.id] >= 0 || !n.r.Incorporated(t.Key, t.Kind, t.Sub, t.Dot) {
			continue
		}
		if h := t.hops[from.id]; h >= 0 {
			hop = h + 1
		}
		t.hops[n.id] = hop
		if t.left--; t.left == 0 {
			t.took = w.now - t.at
		}
	}
	if from != nil {
		w.changed(n)
		w.dirty(n)
	}
}

// stateOf fingerprints what a node has seen and holds. In the middle of a pull it is equal to nobody.
func stateOf(n *node) uint64 {
	if n.r.Pieces() > 0 {
		return uint64(n.id) + 1
	}
	return n.r.ContextHash() ^ n.r.Digest()*0x9e3779b97f4a7c15
}

// setState counts how many nodes are in which state. Nodes that are down, or off the network, count too: a run
// is over when all are equal.
func (w *world) setState(n *node, state uint64) {
	if n.counted {
		if w.states[n.state]--; w.states[n.state] == 0 {
			delete(w.states, n.state)
		}
	}
	n.state, n.counted = state, true
	w.states[state]++
	switch {
	case len(w.states) > 1 || w.states[state] < len(w.nodes):
		w.equal = -1
	case w.equal < 0:
		w.equal = w.now
	}
}

func (w *world) noteCopies(n *node, copies int) {
	i := 0
	if n.device() {
		i = 1
	}
	w.copiesMax[i] = max(w.copiesMax[i], copies)
}

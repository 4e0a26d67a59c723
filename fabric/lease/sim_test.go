package lease

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// faults are what a world may be made to get wrong. The zero faults are those that leases are to bear.
type faults struct {
	drift      float64 // of clocks; 0: 1/1000
	short      bool    // a majority less one counts as one
	forgetful  bool    // a crash takes the promises and votes of a voter
	rested     bool    // a voter counts a lease as over when it starts
	late       bool    // a holder counts from when it was told
	noWait     bool    // voters begin an epoch at once
	noFloor    bool    // and with any token
	keepsNonce bool    // a disk that is lost leaves the nonce
	unsealed   bool    // who voted for new voters votes on
	floorless  bool    // who forgets a lease forgets its token, too
}

const (
	simNodes  = 5
	simAskers = 4
	simNames  = 3
)

// world runs voters and those who ask, each with a clock of its own, over a network that loses, repeats and reorders, through
// crashes, lost disks, partitions and changes of the voters.
type world struct {
	t      testing.TB
	rnd    *rand.Rand
	faults faults
	now    time.Duration
	queue  events
	count  int

	nodes  map[crdt.NodeID]*simNode
	ids    []crdt.NodeID
	side   map[string]int // of the partition
	askers []*asker
	grants map[string][]*grant
	wrong  string
	done   map[Verdict]int
	epochs uint64
}

type event struct {
	at   time.Duration
	n    int
	what func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(e[i].at, e[j].at), cmp.Compare(e[i].n, e[j].n)) < 0
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any     { old := *e; x := old[len(old)-1]; *e = old[:len(old)-1]; return x }

func (w *world) after(d time.Duration, what func()) {
	w.count++
	heap.Push(&w.queue, event{w.now + d, w.count, what})
}

// clock runs at a rate of its own.
type clock struct{ rate float64 }

func (c clock) read(t time.Duration) time.Duration { return time.Duration(float64(t) * c.rate) }

// when is the true time at which the clock shows something.
func (c clock) when(t time.Duration) time.Duration { return time.Duration(float64(t) / c.rate) }

func (w *world) clock() clock {
	drift := cmp.Or(w.faults.drift, 1.0/1000)
	return clock{1 + drift*float64(w.rnd.IntN(3)-1)}
}

type simNode struct {
	w      *world
	id     crdt.NodeID
	clock  clock
	booted time.Duration
	disk   map[string][]byte
	v      *Voter // nil: down
	wiped  bool   // its disk was lost since it joined last
}

func (n *simNode) local() time.Duration { return n.clock.read(n.w.now - n.booted) }

func (n *simNode) start() {
	var recs []Record
	for _, k := range slices.Sorted(maps.Keys(n.disk)) {
		recs = append(recs, Record{k, n.disk[k]})
	}
	n.booted = n.w.now
	v, err := NewVoter(n.id, recs, 0)
	if err != nil {
		n.w.t.Fatal(err)
	}
	v.most = 2 // it has to forget all the time
	if n.w.faults.rested {
		for _, x := range v.leases {
			x.until, x.keep = 0, 0
		}
	}
	n.v = v
}

func (n *simNode) save(recs []Record) {
	for _, r := range recs {
		if r.Value == nil {
			delete(n.disk, r.Key)
		} else {
			n.disk[r.Key] = r.Value
		}
	}
}

func (w *world) nonce() (x Nonce) {
	for i := range x {
		x[i] = byte(w.rnd.Uint32())
	}
	return x
}

func (n *simNode) answer(q *Request) *Reply {
	if n.v == nil {
		return nil
	}
	if n.w.faults.unsealed && (q.Kind == Prepare || q.Kind == Accept) {
		was := n.v.s.accepted
		n.v.s.accepted = Ballot{}
		defer func() { n.v.s.accepted = was }()
	}
	r, recs := n.v.Step(q, n.w.nonce(), n.local())
	if n.w.faults.floorless {
		n.v.s.floor = 0
	}
	n.save(recs)
	n.w.epochs = max(n.w.epochs, n.v.s.known.Epoch)
	return &r
}

// linked tells whether a message gets through now.
func (w *world) linked(a, b string) bool { return w.side[a] == w.side[b] }

func (w *world) delay() time.Duration {
	if w.rnd.IntN(20) == 0 {
		return time.Duration(w.rnd.Int64N(int64(3 * time.Second)))
	}
	return time.Duration(w.rnd.Int64N(int64(40 * time.Millisecond)))
}

// send delivers once, never or twice.
func (w *world) send(from, to string, deliver func()) {
	for n := w.rnd.IntN(20); n < 19; n += 18 {
		w.after(w.delay(), func() {
			if w.linked(from, to) {
				deliver()
			}
		})
	}
}

// call asks a node, and tells what it answers, if it comes.
func (w *world) call(from string, to crdt.NodeID, q Request, answer func(r *Reply)) {
	raw := q.Append(nil)
	w.send(from, string(to), func() {
		q, err := DecodeRequest(raw)
		if err != nil {
			w.t.Fatalf("%v: %+v", err, q)
		}
		r := w.nodes[to].answer(&q)
		if r == nil {
			return
		}
		raw := r.Append(nil)
		w.send(string(to), from, func() {
			r, err := DecodeReply(raw)
			if err != nil {
				w.t.Fatalf("%v: %+v", err, r)
			}
			answer(&r)
		})
	})
}

// grant is a time in which somebody counts on a lease.
type grant struct {
	token       uint64
	by          int
	from, until time.Duration // true time
	begun       time.Duration // when it was asked for
}

// asker takes leases, keeps them for a while and gives them up.
type asker struct {
	w     *world
	n     int
	name  string
	clock clock
	known Electorate
	high  uint64
	held  map[string]*grant
	tried int
}

func (a *asker) local() time.Duration { return a.clock.read(a.w.now) }

func (a *asker) next() {
	w := a.w
	if w.rnd.IntN(20) == 0 {
		a.high = 0 // as a new process
	}
	lease := fmt.Sprint("lease", w.rnd.IntN(simNames))
	op := Acquire
	g := a.held[lease]
	if g != nil && (g.until > w.now || w.rnd.IntN(3) == 0) {
		op = Renew
		if w.rnd.IntN(3) == 0 {
			op = Release
		}
	}
	p := &Proposal{Electorate: a.known, Op: op, Name: lease, Owner: a.name, Ballot: Ballot{a.high + 1, w.nonce()},
		TTL: time.Second + time.Duration(w.rnd.Int64N(int64(3*time.Second)))}
	if op != Acquire {
		p.Token = g.token
	}
	if op == Release {
		g.until = min(g.until, w.now) // it counts on it no more,
		if w.rnd.IntN(2) == 0 {
			delete(a.held, lease) // and does not ask again
		}
	}
	a.high++
	a.tried++
	tried, begun := a.tried, w.now
	after := func() {
		if a.tried == tried {
			a.tried++
			w.after(time.Duration(w.rnd.Int64N(int64(400*time.Millisecond))), a.next)
		}
	}
	if a.known.Epoch == 0 {
		after()
		return
	}
	w.after(700*time.Millisecond, after)
	q := p.Begin(a.local())
	if w.faults.short {
		p.need--
	}
	var all func(q Request)
	all = func(q Request) {
		for _, m := range p.Electorate.Voters {
			w.call(a.name, m.Node, q, func(r *Reply) {
				if a.tried != tried {
					return // it was given up
				}
				before := p.Result().Verdict
				if next := p.Take(m.Node, q.Kind, r, a.local()); next != nil {
					all(*next)
				}
				if before == Open && p.Result().Verdict != Open {
					a.ended(p, begun)
					after()
				}
			})
		}
	}
	all(q)
}

func (a *asker) ended(p *Proposal, begun time.Duration) {
	w, res := a.w, p.Result()
	w.done[res.Verdict]++
	a.high = max(a.high, res.High)
	switch {
	case res.Verdict == Replaced:
		a.known = res.Known
	case res.Verdict == Granted && p.Op != Release:
		until := res.Until
		if w.faults.late {
			until = a.local() + Believe(p.value.TTL)
		}
		g := &grant{token: res.Value.Token, by: a.n, begun: begun, from: w.now, until: a.clock.when(until)}
		if old := a.held[p.Name]; old != nil && old.token == g.token {
			old.until = min(old.until, w.now)
		}
		if g.until > g.from {
			a.held[p.Name] = g
			w.check(p.Name, g)
			w.grants[p.Name] = append(w.grants[p.Name], g)
		}
	case res.Verdict == Busy && res.Value.Owner == a.name && a.held[p.Name] == nil: // by an attempt of which it did not hear
		a.held[p.Name] = &grant{token: res.Value.Token, by: a.n}
	case res.Verdict == Lost && a.held[p.Name] != nil:
		g := a.held[p.Name]
		g.until = min(g.until, w.now)
		delete(a.held, p.Name)
	}
}

// check holds a grant against all before it.
func (w *world) check(name string, g *grant) {
	for _, o := range w.grants[name] {
		switch {
		case o.token == g.token && o.by != g.by:
			w.wrong = fmt.Sprintf("%s: token %d twice: by %d at %v, by %d at %v", name, g.token, o.by, o.from, g.by, g.from)
		case o.token == g.token:
		case o.until > g.from:
			w.wrong = fmt.Sprintf("%s: %d counts on token %d until %v, and %d has token %d from %v", name, o.by, o.token, o.until, g.by, g.token, g.from)
		case o.from < g.begun && o.token > g.token:
			w.wrong = fmt.Sprintf("%s: token %d at %v comes after token %d at %v", name, g.token, g.begun, o.token, o.from)
		}
	}
}

// change has another set of voters chosen, or founds the first.
func (w *world) change() {
	from := Electorate{}
	for _, id := range w.ids {
		if v := w.nodes[id].v; v != nil && v.s.known.Epoch > from.Epoch && w.rnd.IntN(4) > 0 {
			from = v.s.known
		}
	}
	want := slices.Clone(w.ids)
	w.rnd.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	want = want[:3+2*w.rnd.IntN(2)]
	slices.Sort(want)
	joined := map[crdt.NodeID]Nonce{}
	for _, id := range want {
		w.call("driver", id, Request{Kind: Join}, func(r *Reply) {
			if _, was := joined[id]; was {
				return
			}
			if joined[id] = r.Nonce; len(joined) < len(want) {
				return
			}
			c := &Change{From: from, Asked: w.ids, Ballot: Ballot{1 + uint64(w.now), w.nonce()}}
			for _, id := range want {
				c.Voters = append(c.Voters, Member{id, joined[id]})
			}
			w.decide(c)
		})
	}
}

func (w *world) decide(c *Change) {
	q := c.Begin()
	if w.faults.short {
		c.need--
	}
	var all func(q Request)
	all = func(q Request) {
		for _, id := range c.Deciders() {
			w.call("driver", id, q, func(r *Reply) {
				before := c.Result().Verdict
				if next := c.Take(id, q.Kind, r); next != nil {
					all(*next)
				}
				if res := c.Result(); before == Open && res.Verdict == Granted {
					if w.faults.noWait {
						res.Begin.Wait = 0
					}
					if w.faults.noFloor {
						res.Begin.Floor = 0
					}
					for _, id := range w.ids {
						w.call("driver", id, Request{Kind: Learn, Next: res.Next, Start: res.Begin}, func(*Reply) {})
					}
				}
			})
		}
	}
	all(q)
}

// gossip spreads what one node knows of electorates.
func (w *world) gossip() {
	a, b := w.nodes[w.ids[w.rnd.IntN(simNodes)]], w.nodes[w.ids[w.rnd.IntN(simNodes)]]
	if a.v != nil && a.v.s.known.Epoch > 0 {
		e, begin := a.v.Known()
		w.call(string(a.id), b.id, Request{Kind: Learn, Next: e, Start: begin}, func(*Reply) {})
		x := w.askers[w.rnd.IntN(simAskers)]
		if x.known.Epoch < e.Epoch {
			w.send(string(a.id), x.name, func() {
				if x.known.Epoch < e.Epoch {
					x.known = e
				}
			})
		}
	}
	w.after(50*time.Millisecond, w.gossip)
}

// trouble crashes, wipes and parts.
func (w *world) trouble() {
	n := w.nodes[w.ids[w.rnd.IntN(simNodes)]]
	switch w.rnd.IntN(8) {
	case 0, 1, 2: // kill -9, and a start some time later
		if n.v != nil {
			n.v = nil
			if w.faults.forgetful {
				maps.DeleteFunc(n.disk, func(key string, _ []byte) bool { return key != keyStanding })
			}
			w.after(w.delay()*4, n.start)
		}
	case 3: // its disk is lost. Two such at once would be more than is borne.
		whole := true
		for _, id := range w.ids {
			o := w.nodes[id]
			whole = whole && o.v != nil && o.v.s.known.Epoch > 0 && (!o.wiped || o.v.s.voting)
		}
		if whole {
			nonce, known := n.v.s.nonce, n.v.s.known
			clear(n.disk)
			n.start()
			n.wiped = true
			if w.faults.keepsNonce {
				n.v.s.nonce = nonce
				n.save(n.v.Learn(&known, Start{}, 0))
			}
		}
	case 4, 5:
		for _, name := range w.places() {
			w.side[name] = w.rnd.IntN(2)
		}
	case 6:
		clear(w.side)
	case 7:
		w.change()
	}
	w.after(time.Duration(w.rnd.Int64N(int64(1500*time.Millisecond))), w.trouble)
}

// places are all that partitions part, in order.
func (w *world) places() (out []string) {
	for _, id := range w.ids {
		out = append(out, string(id))
	}
	for _, a := range w.askers {
		out = append(out, a.name)
	}
	return out
}

func newWorld(t testing.TB, seed uint64, f faults) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), faults: f, nodes: map[crdt.NodeID]*simNode{}, side: map[string]int{},
		grants: map[string][]*grant{}, done: map[Verdict]int{}}
	for i := range simNodes {
		id := crdt.NodeID(fmt.Sprint("n", i))
		w.ids = append(w.ids, id)
		w.nodes[id] = &simNode{w: w, id: id, clock: w.clock(), disk: map[string][]byte{}}
		w.nodes[id].start()
	}
	for i := range simAskers {
		a := &asker{w: w, n: i, name: fmt.Sprint("asker", i), clock: w.clock(), held: map[string]*grant{}}
		w.askers = append(w.askers, a)
		w.after(0, a.next)
	}
	w.after(0, w.change)
	w.after(time.Second, w.change)
	w.after(2*time.Second, w.gossip)
	w.after(3*time.Second, w.trouble)
	return w
}

// run plays until something is wrong, or for so long.
func (w *world) run(d time.Duration) {
	for w.wrong == "" && w.now < d {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.what()
	}
}

// seeds is how many runs a test makes, EDGEMEM_SEEDS or so many; a quarter where time is short.
func seeds(n int) int {
	if testing.Short() {
		n = (n + 3) / 4
	}
	if more, err := strconv.Atoi(os.Getenv("EDGEMEM_SEEDS")); err == nil {
		return more
	}
	return n
}

// TestLeasesAreExclusive: no two count on one lease at once, and tokens only grow.
func TestLeasesAreExclusive(t *testing.T) {
	t.Parallel()
	var done [Short + 1]int
	epochs := uint64(0)
	for seed := range uint64(seeds(20)) {
		w := newWorld(t, seed, faults{})
		if w.run(5 * time.Minute); w.wrong != "" {
			t.Errorf("seed %d: %s", seed, w.wrong)
		}
		for v, n := range w.done {
			done[v] += n
		}
		epochs += w.epochs
	}
	for v, n := range done {
		if Verdict(v) != Open && n == 0 {
			t.Errorf("no proposal ended with verdict %d: the world is too quiet", v)
		}
	}
	if testing.Verbose() {
		t.Logf("verdicts %v, epochs %d", done, epochs)
	}
}

// TestFaultsAreFound: what is beyond the faults that leases bear is seen to break them, each for itself.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faults{
		"a majority less one":              {short: true},
		"promises that are not on disk":    {forgetful: true},
		"clocks that are wrong by 1/10":    {drift: 0.1},
		"leases that end with a restart":   {rested: true},
		"a holder that counts too late":    {late: true},
		"no wait between epochs":           {noWait: true},
		"no floor between epochs":          {noFloor: true},
		"a lost disk that votes":           {keepsNonce: true},
		"voters that vote in an old epoch": {unsealed: true},
		"forgotten tokens":                 {floorless: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(300) {
				w := newWorld(t, seed, f)
				if w.run(5 * time.Minute); w.wrong != "" {
					t.Logf("seed %d: %s", seed, w.wrong)
					return
				}
			}
			t.Error("nothing was found")
		})
	}
}

package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"

	"github.com/edgemem/edgemem/crdt"
)

const (
	regionName = "sim"
	startMs    = int64(1_800_000_000_000)
)

// mode says how a schedule is played.
type mode struct {
	mutant  crdt.Mutant
	outcome bool // only what comes out at the end is checked
	verbose bool // the log is kept
}

// world is a run: replicas, what is in flight between them, and the oracle.
type world struct {
	s        schedule
	mode     mode
	oracle   *oracle
	nodes    []*node
	cut      [][]bool // cut[a][b]: nothing goes from a to b
	flight   []message
	sessions []*session
	now      int64
	lost     bits // writes that a crash may have taken for ever
	crashed  bool
	log      []string
	current  *op // the operation that writes now
	err      error
}

// node is one replica's process and disk.
type node struct {
	replica
	incarnation int
	disk        map[string][]byte
	queue       [][]crdt.Record // taken, not committed
}

type message struct {
	from, to int
	body     []byte
}

// session is one pull in chunks.
type session struct {
	puller, server int
	hello          []byte
	rc             *crdt.Receiver
	pull           *crdt.Pull
	chunks         [][]byte
	maxBytes       int
}

// run plays a schedule and gives the first thing that is wrong.
func run(s schedule, m mode) (w *world, err error) {
	w = &world{s: s, mode: m, oracle: newOracle(), now: startMs}
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	for i := range s.replicas {
		w.nodes = append(w.nodes, &node{disk: map[string][]byte{}})
		w.cut = append(w.cut, make([]bool, s.replicas))
		w.start(i)
	}
	for i, st := range s.steps {
		w.now += 1 + int64(st.seed%7)
		if err := w.play(st); err != nil {
			return w, fmt.Errorf("step %d (%v): %w", i, st, err)
		}
	}
	if err := w.heal(); err != nil {
		return w, fmt.Errorf("after healing: %w", err)
	}
	return w, nil
}

func (w *world) say(format string, args ...any) {
	if w.mode.verbose {
		w.log = append(w.log, fmt.Sprintf(format, args...))
	}
}

func (w *world) clock(who int) int64 { return w.now + w.s.skews[who] }

// start boots a replica from its disk.
func (w *world) start(who int) {
	n := w.nodes[who]
	n.incarnation++
	n.r = crdt.NewRegion(crdt.Config{
		Name:      regionName,
		Self:      originOf(who, n.incarnation),
		Push:      true,
		MaxGhosts: w.s.ghosts[who],
		Mutant:    w.mode.mutant,
		Trace:     func(x crdt.Written) { w.wrote(who, x) },
	})
	keys := make([]string, 0, len(n.disk))
	for k := range n.disk {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := n.r.Load(crdt.Record{Key: []byte(k), Value: n.disk[k]}); err != nil {
			w.fail(err)
		}
	}
	n.r.Loaded(w.clock(who))
	n.known, n.queue = nil, nil
	w.oracle.learn(&n.known, n.r)
}

func (w *world) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// wrote is the region's Trace.
func (w *world) wrote(who int, x crdt.Written) {
	n := w.nodes[who]
	w.oracle.learn(&n.known, n.r)
	o := op{}
	if w.current != nil {
		o = *w.current
	}
	if err := w.oracle.record(n.replica, x, o.delta()); err != nil {
		w.fail(err)
	}
	if w.mode.verbose {
		w.say("      n%d writes %v", who, w.oracle.writes[len(w.oracle.writes)-1])
	}
}

// play does one step and checks the replicas that it changed.
func (w *world) play(st step) error {
	rng := rand.New(rand.NewPCG(st.seed, 1))
	changed := -1
	switch st.act {
	case actWrite:
		changed = w.write(st.who, rng)
	case actFlushOut:
		w.flushOut(st.who, rng)
	case actDeliver:
		changed = w.deliver(rng)
	case actPull:
		changed = w.pullWhole(st.who, rng)
	case actOpen:
		w.open(st.who, rng)
	case actAdvance:
		changed = w.advance(rng)
	case actCut:
		w.cutSession(rng)
	case actSync:
		w.sync(st.who)
	case actCommit:
		w.commit(st.who, rng.IntN(len(w.nodes[st.who].queue)+1))
	case actCrash:
		changed = w.crash(st.who)
	case actPrune:
		changed = w.prune(st.who, rng)
	case actTick:
		w.say("n%d tick", st.who)
		w.event(st.who, crdt.Timer{})
		changed = st.who
	case actPartition:
		w.partition(st.who, rng)
	case actPass:
		w.now += []int64{100, 5000, 61_000, 20 * 60_000}[rng.IntN(4)]
		w.say("time passes, %d ms since the start", w.now-startMs)
	}
	if w.err == nil && changed >= 0 {
		w.fail(w.check(changed))
	}
	return w.err
}

// event gives one event to a replica. Where the schedule does not fold, it goes through Step, whose
// effects are sent and queued at once.
func (w *world) event(who int, ev crdt.Event) {
	n := w.nodes[who]
	if !w.s.fold {
		fx, err := n.r.Step(ev, w.clock(who))
		w.fail(err)
		if len(fx.Commit) > 0 {
			n.queue = append(n.queue, fx.Commit)
		}
		w.send(who, fx.Push, rand.New(rand.NewPCG(uint64(w.now), 2)))
		return
	}
	var err error
	switch ev := ev.(type) {
	case crdt.Write:
		err = n.r.Update(w.clock(who), ev.Fn)
	case crdt.Arrived:
		_, err = n.r.Push(ev.Msg, w.clock(who))
	case crdt.Answered:
		err = ev.To.Merge(ev.Msg, w.clock(who))
	case crdt.Timer:
		n.r.Tick(w.clock(who))
	}
	w.fail(err)
}

// write runs one transaction of one to four operations.
func (w *world) write(who int, rng *rand.Rand) int {
	count := 1
	if rng.IntN(3) == 0 {
		count += rng.IntN(4)
	}
	w.event(who, crdt.Write{Fn: func(tx *crdt.Tx) error {
		for range count {
			w.operate(who, w.s.pickOp(rng), tx)
		}
		return nil
	}})
	return who
}

// operate does one operation and compares it with the same on plain values. Keys with several kinds at once
// are left to the other checks: what was hidden may come to light.
func (w *world) operate(who int, o op, tx *crdt.Tx) {
	settled := w.kinds(who, o.key) < 2
	was := actual(&tx.View, o.key)
	w.say("n%d %v, was %v", who, o, was)
	w.current = &o
	result, err := o.do(tx)
	w.current = nil
	if is := actual(&tx.View, o.key); w.mode.outcome {
		return
	} else if settled || o.kind == opDel && was.kind != crdt.KindNone || o.kind == opSet || o.kind == opFlush {
		if err := checkOp(o, was, is, result, err, tx.Now()); err != nil {
			w.fail(err)
		}
	}
}

// kinds counts the kinds of values that the key holds, shown or hidden.
func (w *world) kinds(who int, key string) int {
	have := map[crdt.CellKind]bool{}
	w.nodes[who].r.EachTip(func(t crdt.Tip) {
		if t.Key == key && t.Tag != crdt.TagRemove && t.Tag != crdt.TagReset && t.Kind != crdt.CellExpiry {
			have[t.Kind] = true
		}
	})
	return len(have)
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
			w.flight = append(w.flight, message{who, to, m})
			if rng.IntN(6) == 0 {
				w.flight = append(w.flight, message{who, to, m})
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

var chunkSizes = []int{1, 40, 150, 600, 1 << 16}

func (w *world) newSession(who, from int, rng *rand.Rand) *session {
	n := w.nodes[who]
	return &session{puller: who, server: from, hello: n.r.Hello(), rc: n.r.NewReceiver(), maxBytes: chunkSizes[rng.IntN(len(chunkSizes))]}
}

func (w *world) pullWhole(who int, rng *rand.Rand) int {
	from := w.other(who, rng)
	if !w.linked(who, from) {
		return -1
	}
	w.pull(who, from, rng)
	return who
}

// pull runs one session to its end and reports whether anything came.
func (w *world) pull(who, from int, rng *rand.Rand) (got bool) {
	s := w.newSession(who, from, rng)
	w.say("n%d pulls from n%d, %d bytes a chunk", who, from, s.maxBytes)
	for w.err == nil && w.produce(s) {
		got = true
		w.merge(s)
	}
	return got
}

func (w *world) open(who int, rng *rand.Rand) {
	if from := w.other(who, rng); w.linked(who, from) {
		w.say("n%d begins to pull from n%d", who, from)
		w.sessions = append(w.sessions, w.newSession(who, from, rng))
	}
}

// produce makes the next chunk at the server, and answers false at the end.
func (w *world) produce(s *session) bool {
	if s.pull == nil {
		peer, err := crdt.DecodeHello(s.hello)
		if err != nil {
			w.fail(err)
			return false
		}
		s.pull = w.nodes[s.server].r.NewPull(peer)
	}
	msg := s.pull.Next(s.maxBytes)
	if msg == nil {
		return false
	}
	s.chunks = append(s.chunks, msg)
	return true
}

func (w *world) merge(s *session) {
	msg := s.chunks[0]
	s.chunks = s.chunks[1:]
	w.say("n%d merges a chunk of n%d, %d bytes", s.puller, s.server, len(msg))
	w.event(s.puller, crdt.Answered{To: s.rc, Msg: msg})
}

// chunksAhead is how far the server may run ahead of the puller.
const chunksAhead = 3

func (w *world) advance(rng *rand.Rand) int {
	if len(w.sessions) == 0 {
		return -1
	}
	i := rng.IntN(len(w.sessions))
	s := w.sessions[i]
	if len(s.chunks) > 0 && (len(s.chunks) == chunksAhead || rng.IntN(2) == 0) {
		if !w.linked(s.puller, s.server) {
			return -1
		}
		w.merge(s)
		return s.puller
	}
	if !w.produce(s) && len(s.chunks) == 0 {
		w.say("the session of n%d with n%d is over", s.puller, s.server)
		w.sessions = slices.Delete(w.sessions, i, i+1)
	} else if w.mode.verbose {
		w.say("n%d makes a chunk for n%d", s.server, s.puller)
	}
	return -1
}

func (w *world) cutSession(rng *rand.Rand) {
	if len(w.sessions) > 0 {
		i := rng.IntN(len(w.sessions))
		w.say("the session of n%d with n%d breaks", w.sessions[i].puller, w.sessions[i].server)
		w.sessions = slices.Delete(w.sessions, i, i+1)
	}
}

func (w *world) sync(who int) {
	n := w.nodes[who]
	if n.r.Dirty() {
		n.queue = append(n.queue, n.r.TakeDirty())
		w.say("n%d takes %d records", who, len(n.queue[len(n.queue)-1]))
	}
}

// commit writes the oldest batches to disk, whole.
func (w *world) commit(who, batches int) {
	n := w.nodes[who]
	for range batches {
		w.say("n%d commits %d records", who, len(n.queue[0]))
		for _, rec := range n.queue[0] {
			if rec.Value == nil {
				delete(n.disk, string(rec.Key))
			} else {
				n.disk[string(rec.Key)] = rec.Value
			}
		}
		n.queue = n.queue[1:]
	}
}

// crash loses everything that is not on the disk, and starts the next incarnation.
func (w *world) crash(who int) int {
	n := w.nodes[who]
	w.oracle.learn(&n.known, n.r)
	had := n.known
	w.crashed = true
	w.start(who)
	w.say("n%d crashes and restarts as %v", who, n.r.Self())
	for i := range w.oracle.writes {
		if had.has(i) && !slices.ContainsFunc(w.nodes, func(m *node) bool { return m.known.has(i) }) {
			w.lost.set(i)
		}
	}
	w.sessions = slices.DeleteFunc(w.sessions, func(s *session) bool { return s.puller == who || s.server == who })
	return who
}

func (w *world) prune(who int, rng *rand.Rand) int {
	r := w.nodes[who].r
	ctx := r.Context()
	ids := ctx.Origins()
	if len(ids) == 0 {
		return -1
	}
	id := ids[rng.IntN(len(ids))]
	runs := ctx[id]
	if runs.Base == 0 {
		return -1
	}
	upto := 1 + crdt.Seq(rng.Uint64N(uint64(runs.Base)))
	w.say("n%d forgets the ghosts of %v up to %d", who, id, upto)
	r.Prune(id, upto)
	return who
}

func (w *world) partition(who int, rng *rand.Rand) {
	to := w.other(who, rng)
	w.cut[who][to] = !w.cut[who][to]
	w.say("cut n%d→n%d: %v", who, to, w.cut[who][to])
	if rng.IntN(2) == 0 {
		w.cut[to][who] = w.cut[who][to]
	}
}

// check holds one replica against the oracle.
func (w *world) check(who int) error {
	n := w.nodes[who]
	w.oracle.learn(&n.known, n.r)
	if w.mode.outcome {
		return nil
	}
	if err := n.r.Audit(); err != nil {
		return fmt.Errorf("n%d: %w", who, err)
	}
	live, err := w.oracle.check(n.replica)
	if err == nil {
		err = w.oracle.checkShown(n.replica, live, w.s.keys, w.clock(who))
	}
	if err != nil {
		return fmt.Errorf("n%d: %w", who, err)
	}
	return nil
}

// roundsMax bounds the rounds of everyone pulling from everyone. Two spread the writes; owners then absorb
// what reset their counters, which takes two more.
const roundsMax = 8

// heal mends everything, lets everyone pull from everyone until nothing changes, and compares.
func (w *world) heal() error {
	for _, row := range w.cut {
		clear(row)
	}
	w.sessions = nil
	rng := rand.New(rand.NewPCG(uint64(len(w.s.steps)), 3))
	w.say("heal")
	if err := w.settle(rng); err != nil {
		return err
	}
	for len(w.flight) > 0 && w.err == nil { // what comes late changes nothing, unless a crash had taken it
		m := w.flight[0]
		w.flight = w.flight[1:]
		w.event(m.to, crdt.Arrived{Msg: m.body})
		w.fail(w.check(m.to))
	}
	if err := w.settle(rng); err != nil {
		return err
	}
	return w.compare()
}

// settle pulls until a whole round brings nothing.
func (w *world) settle(rng *rand.Rand) error {
	for range roundsMax {
		quiet := true
		for i := range w.nodes {
			for j := range w.nodes {
				if i != j && w.pull(i, j, rng) {
					quiet = false
					w.fail(w.check(i))
				}
				if w.err != nil {
					return w.err
				}
			}
		}
		if quiet {
			return nil
		}
	}
	return fmt.Errorf("not quiet after %d rounds", roundsMax)
}

// compare wants equal replicas that hold every write but the lost ones, and disks that read back equal.
func (w *world) compare() error {
	a := w.nodes[0]
	for i, n := range w.nodes {
		switch {
		case n.r.Pieces() != 0 && !w.crashed: // what a crash took may have left a part pulled that nobody can complete
			return fmt.Errorf("n%d still has %d pieces", i, n.r.Pieces())
		case !slices.Equal(n.known, a.known) || !n.r.Context().Equal(a.r.Context()) || n.r.ContextHash() != a.r.ContextHash():
			return fmt.Errorf("n%d and n0 have seen different writes", i)
		case n.r.Digest() != a.r.Digest() || n.r.Siblings() != a.r.Siblings() || n.r.Entries() != a.r.Entries():
			return fmt.Errorf("n%d and n0 have equal contexts and unequal digests or counts", i)
		}
		if err := w.sameViews(n.r, a.r); err != nil {
			return fmt.Errorf("n%d and n0: %w", i, err)
		}
		err := w.complete(n)
		if err == nil {
			err = w.oracle.checkShown(n.replica, w.oracle.living(n.replica), w.s.keys, w.now)
		}
		if err != nil {
			return fmt.Errorf("n%d: %w", i, err)
		}
	}
	return w.reopen()
}

func (w *world) sameViews(x, y *crdt.Region) error {
	for _, now := range []int64{0, w.now, w.now + 100*yearMs} {
		for _, key := range w.s.keys {
			if a, b := actual(x.View(now), key), actual(y.View(now), key); !a.equal(b) {
				return fmt.Errorf("key %q shows %v and %v", key, a, b)
			}
		}
	}
	return nil
}

// complete wants every write that was not lost.
func (w *world) complete(n *node) error {
	for i, x := range w.oracle.writes {
		if !n.known.has(i) && !w.lost.has(i) {
			return fmt.Errorf("%v never arrived", x)
		}
	}
	return nil
}

// reopen wants each disk to give back the replica that was committed to it.
func (w *world) reopen() error {
	for who, n := range w.nodes {
		w.sync(who)
		w.commit(who, len(n.queue))
		before := n.r
		w.start(who)
		if w.err != nil {
			return w.err
		}
		if !n.r.Context().Equal(before.Context()) || n.r.Digest() != before.Digest() || n.r.Ghosts() != before.Ghosts() {
			return fmt.Errorf("n%d reads back from its disk unequal", who)
		}
		if err := w.check(who); err != nil {
			return fmt.Errorf("reopened: %w", err)
		}
	}
	return nil
}

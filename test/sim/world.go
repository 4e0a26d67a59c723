package sim

import (
	"errors"
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
	s                         schedule
	mode                      mode
	oracle                    *oracle
	nodes                     []*node
	cut                       [][]bool // cut[a][b]: nothing goes from a to b
	flight                    []message
	sessions                  []*session
	bases                     map[[2]int]crdt.Context // what the last hello of a puller to a server said
	now                       int64
	skews                     []int64
	lost                      bits // writes that a crash may have taken for ever
	crashed                   bool
	collapsed, forgotten      int // starts
	evicted, returned, packed int // values
	unread                    int // that a blind disk did not give
	given                     int // chunks that pullers gave back
	log                       []string
	current                   *op // the operation that writes now
	err                       error
}

// node is one replica's process and disk.
type node struct {
	replica
	incarnation int
	disk        image
	backups     []image
	queue       [][]crdt.Record // taken, not committed
	full        bool            // the disk takes nothing
	blind       bool            // the disk gives nothing back
	exposed     bool            // while that matters
}

// run plays a schedule and gives the first thing that is wrong.
func run(s schedule, m mode) (w *world, err error) {
	w = &world{s: s, mode: m, oracle: newOracle(), now: startMs, skews: slices.Clone(s.skews), bases: map[[2]int]crdt.Context{}}
	w.oracle.heirs = m.mutant == crdt.MutantHeirs
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	for i := range s.replicas {
		w.nodes = append(w.nodes, &node{disk: image{}})
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

func (w *world) clock(who int) int64 { return w.now + w.skews[who] }

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
	case actBackup:
		w.backup(st.who)
	case actRestore:
		changed = w.restore(st.who, rng)
	case actClone:
		changed = w.cloneDisk(st.who, rng)
	case actFull:
		w.fill(st.who)
	case actLeap:
		w.leap(st.who, rng)
		changed = st.who
	case actPruneMid:
		changed = w.pruneMid(rng)
	case actRestart:
		changed = w.reboot(st.who)
	case actEvict:
		changed = w.evict(st.who, rng)
	case actReturn:
		changed = w.back(st.who, rng)
	case actBlind:
		n := w.nodes[st.who]
		n.blind = !n.blind && !w.s.causal
		w.say("the disk of n%d is blind: %v", st.who, n.blind)
	case actCollapse:
		changed = w.collapse(st.who, rng)
	case actForget:
		changed = w.forgetBelow(st.who, rng)
	case actPass:
		w.now += []int64{100, 5000, 61_000, 20 * 60_000}[rng.IntN(4)]
		w.say("time passes, %d ms since the start", w.now-startMs)
	}
	if w.err == nil && changed >= 0 {
		w.fail(w.check(changed))
	}
	return w.err
}

// event gives one event to a replica, and reports whether it took it. Where the schedule does not fold, it goes
// through Step, whose effects are sent and queued at once. By outcome alone a refusal is no fault: the session breaks.
func (w *world) event(who int, ev crdt.Event) (taken bool) {
	err := w.give(who, ev)
	if errors.Is(err, crdt.ErrUnreadable) && w.nodes[who].blind {
		w.unread++
		err = nil
	}
	if !w.mode.outcome {
		w.fail(err)
	}
	return err == nil
}

func (w *world) give(who int, ev crdt.Event) (err error) {
	n := w.nodes[who]
	if !w.s.fold {
		fx, err := n.r.Step(ev, w.clock(who))
		if len(fx.Commit) > 0 {
			n.queue = append(n.queue, fx.Commit)
		}
		w.send(who, fx.Push, rand.New(rand.NewPCG(uint64(w.now), 2)))
		return err
	}
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
	return err
}

// write runs one transaction of one to four operations.
func (w *world) write(who int, rng *rand.Rand) int {
	count := 1
	if w.s.bulk > 0 {
		count += rng.IntN(w.s.bulk)
	} else if rng.IntN(3) == 0 {
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
// are left to the other checks: what was hidden may come to light. So are those of crowds, for the sake of time.
func (w *world) operate(who int, o op, tx *crdt.Tx) {
	o.self, o.peers = w.nodes[who].r.Self(), w.origins()
	if n := w.nodes[who]; w.s.bulk > 0 || n.blind {
		w.current = &o
		n.blindly(func() { _, _ = o.do(tx) })
		w.current = nil
		return
	}
	settled := w.kinds(who, o.key) < 2 && o.kind != opBoundAnswer
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

// leap sets a clock years off, either way, or nearly right.
func (w *world) leap(who int, rng *rand.Rand) {
	switch rng.IntN(3) {
	case 0:
		w.skews[who] = int64(rng.IntN(2000)) - 1000
	case 1:
		w.skews[who] += (1 + rng.Int64N(30)) * yearMs
	case 2:
		w.skews[who] -= (1 + rng.Int64N(30)) * yearMs
	}
	w.skews[who] = min(max(w.skews[who], -w.now), 100*yearMs) // from 1970 on
	w.say("the clock of n%d leaps: it is off by %d ms", who, w.skews[who])
}

// pruneMid forgets ghosts at either end of a session that is under way: some, or those of removes of this moment.
func (w *world) pruneMid(rng *rand.Rand) int {
	if len(w.sessions) == 0 {
		return -1
	}
	s := w.sessions[rng.IntN(len(w.sessions))]
	who := []int{s.puller, s.server, s.server}[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		return w.prune(who, rng)
	}
	w.event(who, crdt.Write{Fn: func(tx *crdt.Tx) error {
		for range 1 + rng.IntN(3) {
			o := w.s.pickOp(rng)
			o.kind = []opKind{opDel, opSetRemove, opMapDel, opDel}[rng.IntN(4)]
			w.operate(who, o, tx)
		}
		return nil
	}})
	r := w.nodes[who].r
	w.forget(who, r.Self(), r.OwnTop())
	return who
}

func (w *world) prune(who int, rng *rand.Rand) int {
	ctx := w.nodes[who].r.Context()
	ids := ctx.Origins()
	if len(ids) == 0 {
		return -1
	}
	id := ids[rng.IntN(len(ids))]
	base := ctx[id].Base
	if base == 0 {
		return -1
	}
	upto := base
	if rng.IntN(3) > 0 {
		upto = 1 + crdt.Seq(rng.Uint64N(uint64(base)))
	}
	w.forget(who, id, upto)
	return who
}

func (w *world) forget(who int, id crdt.Origin, upto crdt.Seq) {
	w.say("n%d forgets the ghosts of %v up to %d", who, id, upto)
	w.nodes[who].r.Prune(id, upto)
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
	if err == nil && w.s.causal && !n.r.Loading() {
		err = w.oracle.checkPast(n.replica)
	}
	if err != nil {
		return fmt.Errorf("n%d: %w", who, err)
	}
	return nil
}

package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// act is what a step does. Its details come from the step's own seed, so that taking other steps away changes
// nothing in it but what it meets.
type act uint8

const (
	actWrite     act = iota // a transaction
	actFlushOut             // TakePush, to everyone
	actDeliver              // one message in flight arrives, or is lost, or arrives twice
	actPull                 // one whole pull
	actOpen                 // begin a pull in chunks
	actAdvance              // go on with one: make a chunk, or merge one
	actCut                  // a session breaks
	actSync                 // TakeDirty
	actCommit               // what was taken reaches the disk
	actCrash                // and restart
	actPrune                // forget ghosts
	actTick                 // sweep, budget
	actPartition            // cut or mend one direction between two
	actPass                 // time goes by
	actBackup               // the disk is copied
	actRestore              // a disk is put back to such a copy
	actClone                // a replica starts from another's disk
	actFull                 // a disk becomes full, or has room again
	actLeap                 // a clock leaps by years
	actPruneMid             // forget ghosts at an end of a session
	actCollapse             // a node collapses its ended starts
	actForget               // what is below the lines is forgotten
	actRestart              // an orderly restart
	actEvict                // values leave memory that are on disk
	actReturn               // some come back
	actBlind                // a disk cannot be read, or can again
	acts
)

var actNames = [acts]string{"write", "flush-out", "deliver", "pull", "open", "advance", "cut", "sync", "commit", "crash", "prune", "tick", "partition", "pass", "backup", "restore", "clone", "full", "leap", "prune-mid", "collapse", "forget", "restart", "evict", "return", "blind"}

// weights of the acts, in each of three moods.
var weights = [][acts]int{
	{34, 12, 22, 6, 4, 10, 1, 3, 2, 1, 3, 2, 2, 2},
	{30, 5, 8, 3, 8, 36, 3, 2, 1, 1, 4, 1, 1, 1},
	{30, 14, 22, 5, 3, 8, 1, 5, 4, 5, 3, 3, 2, 3},
}

// step is one thing that happens at one replica.
type step struct {
	act  act
	who  int
	seed uint64
}

func (s step) String() string { return fmt.Sprintf("%s %d %#x", actNames[s.act], s.who, s.seed) }

// schedule is a whole run.
type schedule struct {
	replicas int
	keys     []string
	subs     []string
	ops      []opKind
	skews    []int64 // ms, per replica
	ghosts   []int   // budget, per replica; 0 is the default
	small    []int   // per replica, up to how many siblings a region is listed below a floor
	causal   bool    // no replica shows a write before what it comes after
	whole    bool    // a pull is merged when all of it came
	away     bool    // values leave memory
	lines    bool    // starts of a node are numbered, and collapse
	bulk     int     // up to how many operations a transaction has; 0: a few
	fold     bool    // pushes and commits are taken at random moments, not at once
	steps    []step
}

const (
	stepsMin = 20
	stepsMax = 140
	yearMs   = 365 * 24 * 3600 * 1000
)

// pickOps chooses the operations of a run: all, or the few of one type, which meet more often.
func pickOps(rng *rand.Rand) []opKind {
	switch rng.IntN(6) {
	case 0:
		return []opKind{opSet, opSet, opDel, opSetKeep}
	case 1:
		return []opKind{opIncr, opIncr, opDel, opSet, opIncrFloat}
	case 2:
		return []opKind{opSetAdd, opSetAdd, opSetAdd, opSetRemove, opDel, opFlush}
	case 3:
		return []opKind{opMapSet, opMapIncr, opMapDel, opMapIncr, opDel, opMapIncrFloat, opFlush}
	}
	all := make([]opKind, 0, 2*opFirst)
	for k := range opFirst {
		all = append(all, k)
		if k != opFlush {
			all = append(all, k)
		}
	}
	return all
}

func pickSkew(rng *rand.Rand) int64 {
	switch rng.IntN(8) {
	case 0:
		return -50 * yearMs
	case 1:
		return 70 * yearMs
	case 2:
		return int64(rng.IntN(20*60*1000)) - 10*60*1000
	}
	return int64(rng.IntN(200)) - 100
}

func pickAct(rng *rand.Rand, mood [acts]int, total int) act {
	x := rng.IntN(total)
	for a, w := range mood {
		if x -= w; x < 0 {
			return act(a)
		}
	}
	return actPass
}

// pickOp chooses one operation.
func (s *schedule) pickOp(rng *rand.Rand) op {
	o := op{
		kind: s.ops[rng.IntN(len(s.ops))],
		key:  s.keys[rng.IntN(len(s.keys))],
		sub:  s.subs[rng.IntN(len(s.subs))],
	}
	switch o.kind {
	case opSet, opSetKeep, opMapSet:
		o.val = pickValue(rng)
	case opIncr, opMapIncr:
		o.val = fmt.Sprint(rng.IntN(41) - 20)
	case opIncrFloat, opMapIncrFloat:
		o.val = []string{"0.1", "-0.25", "3", "1e2", "12345678.0009", "-7"}[rng.IntN(6)]
	case opListInsert, opListSet, opListRemove:
		o.val, o.at = fmt.Sprintf("e%x", rng.Uint32N(1<<16)), int64(rng.IntN(60))
	case opFlagSet:
		o.val, o.at = fmt.Sprint(rng.IntN(2) == 0), int64(rng.IntN(4))
	case opHLLAdd:
		o.val = string(rune('a' + rng.IntN(len(hllElements))))
	case opJSONSet, opJSONInsert:
		o.val = []string{"1", "2.5", `"s"`, "null", "{}", "[]", `{"a":1,"b":{"c":[true]}}`, `[1,[2],{"a":3}]`}[rng.IntN(8)]
		o.at = int64(rng.IntN(1000))
	case opJSONDelete:
		o.at = int64(rng.IntN(1000))
	case opJSONIncr:
		o.val, o.at = []string{"1", "-0.25", "7"}[rng.IntN(3)], int64(rng.IntN(1000))
	case opStreamAdd, opStreamRemove, opStreamTrim, opStreamSet:
		o.val, o.at = fmt.Sprintf("e%x", rng.Uint32N(1<<16)), int64(rng.IntN(60))
	case opStreamAddAt: // ids that others choose too
		o.val, o.at = fmt.Sprintf("e%x", rng.Uint32N(1<<16)), int64(rng.IntN(4))
	case opBlockAlloc:
		o.at = []int64{0, 1, crdt.PageBytes, crdt.PageBytes + 1, 2 * crdt.PageBytes}[rng.IntN(5)]
	case opBlockWrite:
		o.val = []string{"x", "\x00\x00", fmt.Sprintf("b%x", rng.Uint32N(1<<16)), strings.Repeat("w", crdt.PageBytes)}[rng.IntN(4)]
		o.at = max(0, []int64{0, crdt.PageBytes, 2 * crdt.PageBytes}[rng.IntN(3)]+int64(rng.IntN(12)-6))
	case opSortedSet, opSortedIncr: // sums of them are exact, in whatever order
		o.val = []string{"0.5", "-0.25", "3", "100", "-7", "0", "1048576.125"}[rng.IntN(7)]
	case opBoundNew:
		o.val, o.at = fmt.Sprint(rng.IntN(60)-5), []int64{0, 0, -10, 50}[rng.IntN(4)]
	case opBoundAdd:
		o.val = fmt.Sprint(rng.IntN(12) - 8)
	case opBoundGive, opBoundAsk:
		o.val, o.at = fmt.Sprint(1+rng.IntN(9)), int64(rng.IntN(60))
	case opBoundRenew:
		if rng.IntN(6) > 0 {
			o.kind, o.val = opBoundAdd, fmt.Sprint(-1-rng.IntN(4))
		}
	case opExpire:
		o.at = []int64{-1, 1, 50, 1000, 60_000, 10 * yearMs}[rng.IntN(6)]
	}
	if o.kind == opFlush && rng.IntN(2) == 0 {
		o.kind = opDel
	}
	return o
}

// hugeValue is too large to be pushed.
var hugeValue = strings.Repeat("huge", 17<<10)

func pickValue(rng *rand.Rand) string {
	switch rng.IntN(60) {
	case 0:
		return hugeValue
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
		return fmt.Sprint(rng.IntN(100) - 50)
	case 11, 12:
		return "1.5"
	case 13:
		return ""
	}
	return fmt.Sprintf("v%x", rng.Uint32N(1<<16))
}

// originOf names the incarnation of a replica as before there were lines: the seeds of the corpus stay what they are.
func originOf(who, incarnation int) crdt.Origin {
	return crdt.NewOrigin(crdt.NodeID(fmt.Sprint("node", who)), crdt.NewNonce(0, [16]byte{byte(incarnation), byte(incarnation >> 8)}))
}

// startOf names the incarnation of a replica by its number in the node's line.
func startOf(who, incarnation int) crdt.Origin {
	return crdt.NewOrigin(crdt.NodeID(fmt.Sprint("node", who)), crdt.NewNonce(uint32(crdt.FirstNumber+incarnation), [16]byte{}))
}

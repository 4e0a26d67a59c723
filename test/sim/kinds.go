package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Seeds tell which kind of schedule they make: those below storms meet everything a little.
const (
	storms  = 1 << 40 // few keys, scoped removals, and many sessions that stop half-way
	ordeals = 2 << 40 // what happens to disks and clocks, while sessions are under way
	returns = 3 << 40 // a replica comes back to peers that have forgotten what they removed
	pasts   = 4 << 40 // ordeals of causal regions
	lines   = 5 << 40 // nodes that restart often, and collapse their ended starts
	middles = 6 << 40 // the same in causal regions, in the middle of sessions, or among scoped removals
	aways   = 7 << 40 // values leave memory and come back
	types   = 8 << 40 // all of these, of the types of entries that came later
	bounds  = 9 << 40 // the same, of bounded counters alone

	numbered = 1 << 39 // above returns: the same, under origins that sort in another order
)

// generate makes the schedule of a seed.
func generate(seed uint64) schedule {
	switch {
	case seed >= types:
		return typed(seed)
	case seed >= aways:
		return absent(seed)
	case seed >= middles:
		return middle(seed)
	case seed >= lines:
		return restarts(seed)
	case seed >= pasts:
		return causal(seed)
	case seed >= returns+numbered:
		s := comeback(seed - numbered)
		s.lines = true
		return s
	case seed >= returns:
		return comeback(seed)
	case seed >= ordeals:
		return ordeal(seed)
	case seed >= storms:
		return storm(seed)
	}
	rng := rand.New(rand.NewPCG(seed, 0x65646765))
	s := schedule{replicas: 2 + rng.IntN(5), fold: rng.IntN(3) > 0}
	s.keys = []string{"a", "b", "", "c", "d", "e"}[:1+rng.IntN(6)]
	subs := 1 + rng.IntN(4)
	if rng.IntN(6) == 0 {
		subs = 12 + rng.IntN(12) // beyond what an entry keeps in a slice
	}
	for i := range subs {
		s.subs = append(s.subs, fmt.Sprintf("m%d", i))
	}
	s.ops = pickOps(rng)
	s.fill(rng, [acts]int{})
	return s
}

var stormWeights = [acts]int{26, 6, 10, 3, 10, 34, 4, 2, 2, 2, 4, 1, 1, 1}

// storm: the worst faults of the first kinds needed just these together.
func storm(seed uint64) schedule {
	rng := rand.New(rand.NewPCG(seed, 0x73746f72))
	s := schedule{
		replicas: 2 + rng.IntN(3),
		keys:     []string{"a", "", "b", "c"}[:1+rng.IntN(4)],
		subs:     []string{"m0", "m1", "m2"}[:1+rng.IntN(3)],
		ops:      []opKind{opSetAdd, opSetAdd, opMapSet, opSet, opDel, opDel, opFlush, opFlush, opIncr, opMapIncr, opExpire, opSetRemove},
		fold:     rng.IntN(2) == 0,
	}
	s.fill(rng, stormWeights)
	return s
}

var ordealWeights = [][acts]int{
	{30, 12, 20, 3, 7, 26, 2, 5, 4, 1, 2, 2, 2, 2, 4, 3, 1, 3, 2, 4},
	{32, 8, 14, 2, 9, 34, 3, 4, 3, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 8},
}

func ordeal(seed uint64) schedule {
	rng := rand.New(rand.NewPCG(seed, 0x6f726465))
	s := schedule{
		replicas: 2 + rng.IntN(4),
		keys:     []string{"a", "b", "", "c", "d", "e", "f", "g"}[:1+rng.IntN(8)],
		subs:     []string{"m0", "m1", "m2", "m3"}[:1+rng.IntN(4)],
		ops:      pickOps(rng),
		fold:     rng.IntN(3) > 0,
	}
	if rng.IntN(crowdOneIn) == 0 {
		s.crowd(rng)
	}
	s.fill(rng, ordealWeights[rng.IntN(len(ordealWeights))])
	for i := range s.replicas {
		s.small[i] = []int{-1, -1, 3, 0}[rng.IntN(4)]
	}
	return s
}

// causal is an ordeal of a causal region. Either its drivers merge each pull whole, as they should, or as it comes; then
// nothing is lost, for what only a lost replica could complete would keep its puller loading.
func causal(seed uint64) schedule {
	s := ordeal(seed)
	s.causal, s.whole = true, seed%2 == 0
	if !s.whole {
		s.steps = slices.DeleteFunc(s.steps, func(st step) bool {
			return st.act == actCrash || st.act == actRestore || st.act == actClone
		})
	}
	return s
}

var restartWeights = [][acts]int{
	{30, 8, 14, 16, 4, 12, 1, 2, 2, 2, 4, 2, 1, 1, 1, 1, 1, 0, 1, 2, 10, 8, 12},
	{24, 4, 8, 9, 8, 36, 2, 2, 2, 1, 5, 1, 1, 1, 1, 1, 0, 0, 0, 5, 9, 8, 9},
}

// typeKinds is how many choices of operations typed has; the last two are of bounded counters.
const typeKinds = 16

// typed is a schedule of another kind, whose operations are of the types that came after it.
func typed(seed uint64) schedule {
	s := generate(seed&(1<<40-1) + []uint64{0, storms, ordeals, returns, pasts, lines, middles, aways}[seed%8])
	rng := rand.New(rand.NewPCG(seed, 0x74797065))
	kind := rng.IntN(typeKinds)
	if seed >= bounds {
		kind = typeKinds - 1 - int(seed/8%2)
		s.keys = s.keys[:1+rng.IntN(min(2, len(s.keys)))]
		s.steps = append(s.steps, s.steps...)
	}
	s.ops = [][]opKind{
		{opSortedSet, opSortedSet, opSortedIncr, opSortedRemove, opDel, opExpire},
		{opSortedSet, opSortedIncr, opSortedIncr, opSortedRemove, opSortedRemove, opFlush},
		{opSortedSet, opSortedIncr, opSortedRemove, opDel, opFlush, opSet, opSetAdd, opMapIncr, opExpire, opPersist, opIncr},
		{opListInsert, opListInsert, opListInsert, opListSet, opListRemove, opDel},
		{opListInsert, opListInsert, opListSet, opListRemove, opDel, opExpire, opFlush, opSet, opSortedIncr, opFlagSet},
		{opFlagSet, opFlagSet, opFlagSet, opDel, opFlush, opExpire, opPersist, opSetAdd},
		{opBlockAlloc, opBlockWrite, opBlockWrite, opBlockWrite, opBlockWrite, opDel},
		{opBlockAlloc, opBlockWrite, opBlockWrite, opBlockWrite, opDel, opFlush, opExpire, opPersist, opSet, opFlagSet},
		{opHLLAdd, opHLLAdd, opHLLAdd, opHLLAdd, opDel, opSet, opExpire},
		{opHLLAdd, opHLLAdd, opHLLAdd, opIncr, opSetKeep, opDel, opFlush, opPersist, opSetAdd},
		{opJSONSet, opJSONSet, opJSONSet, opJSONDelete, opJSONInsert, opJSONInsert, opJSONIncr},
		{opJSONSet, opJSONSet, opJSONDelete, opJSONInsert, opJSONIncr, opJSONIncr, opDel, opFlush, opExpire, opPersist, opSet, opBlockAlloc},
		{opStreamAdd, opStreamAdd, opStreamAdd, opStreamAddAt, opStreamAddAt, opStreamRemove, opStreamTrim, opStreamSet},
		{opStreamAdd, opStreamAdd, opStreamAddAt, opStreamRemove, opStreamTrim, opStreamSet, opDel, opFlush, opExpire, opPersist, opSet, opListInsert},
		{opBoundNew, opBoundAdd, opBoundAdd, opBoundAdd, opBoundAdd, opBoundGive, opBoundGive, opBoundAsk, opBoundAnswer},
		{opBoundNew, opBoundNew, opBoundAdd, opBoundAdd, opBoundAdd, opBoundAdd, opBoundAdd, opBoundAdd, opBoundGive, opBoundGive, opBoundGive, opBoundAsk, opBoundAnswer,
			opBoundAnswer, opBoundRenew, opDel, opFlush, opExpire, opSet},
	}[kind]
	return s
}

// restarts makes nodes whose contexts would grow with every start.
func restarts(seed uint64) schedule {
	rng := rand.New(rand.NewPCG(seed, 0x6c696e65))
	s := schedule{
		replicas: 2 + rng.IntN(4),
		keys:     []string{"a", "b", "", "c", "d"}[:1+rng.IntN(5)],
		subs:     []string{"m0", "m1", "m2", "m3"}[:1+rng.IntN(4)],
		ops:      pickOps(rng),
		fold:     rng.IntN(3) > 0,
		lines:    true,
	}
	s.fill(rng, restartWeights[rng.IntN(len(restartWeights))])
	for i := range s.replicas {
		s.small[i] = []int{-1, -1, 3, 0}[rng.IntN(4)]
	}
	return s
}

var middleWeights = [][acts]int{
	{actWrite: 24, actFlushOut: 4, actDeliver: 8, actPull: 4, actOpen: 10, actAdvance: 44, actCut: 3, actSync: 3, actCommit: 3, actCrash: 1, actPrune: 6, actTick: 2,
		actPartition: 1, actPass: 1, actPruneMid: 6, actCollapse: 14, actForget: 14, actRestart: 8},
	{actWrite: 26, actFlushOut: 6, actDeliver: 10, actPull: 3, actOpen: 8, actAdvance: 34, actCut: 4, actSync: 3, actCommit: 3, actCrash: 2, actPrune: 4, actTick: 1,
		actPartition: 1, actPass: 1, actBackup: 2, actRestore: 2, actClone: 1, actPruneMid: 4, actCollapse: 12, actForget: 12, actRestart: 8},
}

// middle makes longer restarts, in which lines rise and starts are forgotten while sessions are under way. A third of the
// regions are causal: merged whole, as they should be, or as it comes, and then nothing is lost, see causal.
func middle(seed uint64) schedule {
	s := restarts(seed)
	rng := rand.New(rand.NewPCG(seed, 0x6d696464))
	w := middleWeights[rng.IntN(len(middleWeights))]
	if s.causal = seed%3 == 0; s.causal {
		if s.whole = rng.IntN(2) == 0; !s.whole {
			w[actCrash], w[actRestore], w[actClone] = 0, 0, 0
		}
	} else if rng.IntN(2) == 0 {
		s.ops = []opKind{opSetAdd, opSetAdd, opMapSet, opSet, opDel, opDel, opFlush, opFlush, opIncr, opMapIncr, opExpire, opSetRemove}
	}
	total := 0
	for _, x := range w {
		total += x
	}
	s.steps = s.steps[:0]
	for range 2 * (stepsMin + rng.IntN(stepsMax-stepsMin)) {
		s.steps = append(s.steps, step{pickAct(rng, w, total), rng.IntN(s.replicas), rng.Uint64()})
	}
	return s
}

var absentWeights = [][acts]int{
	{actWrite: 30, actFlushOut: 8, actDeliver: 14, actPull: 6, actOpen: 8, actAdvance: 30, actCut: 2, actSync: 16, actCommit: 16, actCrash: 2, actPrune: 3, actTick: 2,
		actPartition: 1, actPass: 2, actBackup: 1, actRestore: 1, actClone: 1, actFull: 1, actPruneMid: 1, actRestart: 3, actEvict: 30, actReturn: 6, actBlind: 4},
	{actWrite: 40, actFlushOut: 12, actDeliver: 24, actPull: 14, actSync: 12, actCommit: 14, actCrash: 1, actPrune: 2, actTick: 3,
		actPass: 3, actRestart: 2, actCollapse: 3, actForget: 3, actEvict: 24, actReturn: 8, actBlind: 3},
}

// absent makes schedules in which values leave memory, with all that reads, covers, sends or writes them anew meanwhile. A
// quarter of the regions are causal.
func absent(seed uint64) schedule {
	rng := rand.New(rand.NewPCG(seed, 0x61776179))
	s := schedule{
		replicas: 2 + rng.IntN(3),
		keys:     []string{"a", "b", "", "c", "d", "e"}[:1+rng.IntN(6)],
		subs:     []string{"m0", "m1", "m2", "m3"}[:1+rng.IntN(4)],
		ops:      []opKind{opSet, opSet, opSet, opSetKeep, opMapSet, opMapSet, opDel, opMapDel, opIncr, opMapIncr, opIncrFloat, opExpire, opSetAdd, opFlush},
		fold:     rng.IntN(3) > 0,
		lines:    rng.IntN(2) == 0,
		away:     true,
	}
	s.causal = rng.IntN(4) == 0
	s.whole = s.causal
	s.fill(rng, absentWeights[rng.IntN(len(absentWeights))])
	for i := range s.replicas {
		s.small[i] = []int{-1, -1, 3, 0}[rng.IntN(4)]
	}
	return s
}

// crowdOneIn is how rare the ordeals are in which entries have hundreds of members.
const crowdOneIn = 40

// crowd makes differences so large that a reconciliation needs more than its first symbols.
func (s *schedule) crowd(rng *rand.Rand) {
	s.keys, s.subs = s.keys[:min(len(s.keys), 2)], nil
	for i := range 60 + rng.IntN(240) {
		s.subs = append(s.subs, fmt.Sprintf("m%d", i))
	}
	s.ops = slices.Concat(slices.Repeat([]opKind{opSetAdd}, 110), slices.Repeat([]opKind{opSetRemove}, 40), []opKind{opDel})
	s.bulk = 20 + rng.IntN(60)
}

// Weights of the acts in the phases of a comeback: everyone learns the same; one is away while the others write,
// remove and forget; it pulls from them while all go on.
var phaseWeights = [3][acts]int{
	{actWrite: 40, actPull: 45, actSync: 4, actCommit: 4},
	{actWrite: 45, actPull: 25, actPrune: 25, actTick: 3, actSync: 3, actCommit: 3},
	{actWrite: 14, actFlushOut: 7, actDeliver: 12, actPull: 4, actOpen: 10, actAdvance: 44, actCut: 3, actSync: 3, actCommit: 2, actCrash: 1, actPrune: 4, actTick: 2,
		actPartition: 1, actBackup: 1, actRestore: 1, actLeap: 1, actPruneMid: 10},
}

func comeback(seed uint64) schedule {
	rng := rand.New(rand.NewPCG(seed, 0x636f6d65))
	s := schedule{
		replicas: 2 + rng.IntN(3),
		keys:     []string{"a", "b", "", "c", "d", "e", "f", "g"}[:1+rng.IntN(8)],
		subs:     []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"}[:2+rng.IntN(7)],
		ops:      []opKind{opSetAdd, opSetAdd, opSetAdd, opSetRemove, opSetRemove, opMapSet, opMapDel, opSet, opDel, opIncr, opMapIncr, opFlush},
		fold:     rng.IntN(4) > 0,
	}
	if rng.IntN(crowdOneIn) == 0 {
		s.crowd(rng)
	}
	s.fill(rng, phaseWeights[2])
	end := len(s.steps)
	away := rng.IntN(s.replicas)
	for i := range end {
		phase := 3 * i / end
		total := 0
		for _, w := range phaseWeights[phase] {
			total += w
		}
		st := &s.steps[i]
		st.act = pickAct(rng, phaseWeights[phase], total)
		switch {
		case phase == 1 && st.who == away:
			st.who = (away + 1) % s.replicas
		case phase == 2 && st.act == actOpen && rng.IntN(3) > 0:
			st.who = away
		}
	}
	for i := range s.replicas {
		s.small[i] = []int{-1, -1, -1, 4}[rng.IntN(4)]
	}
	return s
}

// fill adds clocks, budgets and steps. Without weights it picks a mood.
func (s *schedule) fill(rng *rand.Rand, mood [acts]int) {
	for range s.replicas {
		s.skews = append(s.skews, pickSkew(rng))
		s.ghosts = append(s.ghosts, []int{0, 0, 2, 6}[rng.IntN(4)])
	}
	if mood == ([acts]int{}) {
		mood = weights[rng.IntN(len(weights))]
	}
	total := 0
	for _, w := range mood {
		total += w
	}
	for range stepsMin + rng.IntN(stepsMax-stepsMin) {
		s.steps = append(s.steps, step{pickAct(rng, mood, total), rng.IntN(s.replicas), rng.Uint64()})
	}
	for i := range s.replicas { // half of them reconcile, half list every cell
		s.small = append(s.small, -((i + len(s.steps)) % 2))
	}
}

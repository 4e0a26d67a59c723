package sim

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

var (
	seedFlag      = flag.Uint64("seed", 0, "first seed of the schedules; also EDGEMEM_SIM_SEED")
	schedulesFlag = flag.Int("schedules", 0, "how many schedules to play; also EDGEMEM_SIM_SCHEDULES")
)

const (
	schedulesDefault = 5000
	schedulesShort   = 1000
	kinds            = 9    // of schedules, each with seeds of its own
	mutantSeeds      = 5000 // within which each mutant must die
)

// setting reads a flag, or the variable of the environment that stands for it, or gives the default.
func setting[T uint64 | int](set T, env string, otherwise T) T {
	if set != 0 {
		return set
	}
	if n, err := strconv.ParseUint(os.Getenv(env), 0, 64); err == nil {
		return T(n)
	}
	return otherwise
}

// everyStep is the right protocol, checked after each step.
var everyStep = mode{}

// firstFailure plays schedules from seed on, on all processors, and gives the first seed that fails.
func firstFailure(seed uint64, count int, m mode) (failed uint64, found bool) {
	var next, lowest atomic.Uint64
	lowest.Store(^uint64(0))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < uint64(count) && i < lowest.Load(); i = next.Add(1) - 1 {
				if _, err := run(generate(seed+i), m); err == nil {
					continue
				}
				for old := lowest.Load(); i < old && !lowest.CompareAndSwap(old, i); old = lowest.Load() {
				}
			}
		})
	}
	wg.Wait()
	return seed + lowest.Load(), lowest.Load() != ^uint64(0)
}

func report(t *testing.T, seed uint64) {
	t.Helper()
	s := shrink(generate(seed), everyStep)
	t.Fatalf("seed %d fails (go test ./test/sim -run TestSimSchedules -seed %d -schedules 1). Shrunk to %d steps, clocks off by %v ms, ghosts %v, fold %v:\n%s",
		seed, seed, len(s.steps), s.skews, s.ghosts, s.fold, strings.Join(story(s, everyStep), "\n"))
}

// TestSimCorpus replays the seeds that failed once.
func TestSimCorpus(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		field, _, _ := strings.Cut(sc.Text(), "#")
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		seed, err := strconv.ParseUint(field, 0, 64)
		if err != nil {
			t.Fatalf("corpus: %v", err)
		}
		if _, err := run(generate(seed), everyStep); err != nil {
			report(t, seed)
		}
	}
}

func TestSimSchedules(t *testing.T) {
	seed := setting(*seedFlag, "EDGEMEM_SIM_SEED", 1)
	count := schedulesDefault
	if testing.Short() {
		count = schedulesShort
	}
	count = setting(*schedulesFlag, "EDGEMEM_SIM_SCHEDULES", count)
	first := []uint64{seed}
	if seed < storms && count >= kinds {
		first = []uint64{seed, storms + seed, ordeals + seed, returns + seed, pasts + seed, lines + seed, middles + seed, aways + seed, types + seed}
	}
	began := time.Now()
	for i, seed := range first {
		start, share := time.Now(), (count+i)/len(first)
		if failed, found := firstFailure(seed, share, everyStep); found {
			report(t, failed)
		}
		t.Logf("%d schedules from seed %d in %v", share, seed, time.Since(start).Round(time.Millisecond))
	}
	t.Logf("%d schedules, no violation: %.0f a minute", count, float64(count)/time.Since(began).Minutes())
}

// killers are the first seeds that kill each mutant by what comes out, nothing being checked on the way. A change of
// messages or hashes gives others: then they are looked for, within mutantSeeds.
var killers = map[crdt.Mutant]uint64{
	crdt.MutantBlindPush:     8,
	crdt.MutantWriteContexts: 1,
	crdt.MutantSilentPrune:   59,
	crdt.MutantDropGhosts:    374,
	crdt.MutantDropLosers:    42,
	crdt.MutantStaleCut:      42,
	crdt.MutantNoRangeCut:    8,
}

// TestSimKillsMutants: the same schedules find each rule that is broken on purpose, by the checks after each step and
// by the outcome alone.
func TestSimKillsMutants(t *testing.T) {
	for mutant := crdt.MutantBlindPush; mutant <= crdt.MutantNoRangeCut; mutant++ {
		t.Run(fmt.Sprintf("rule=%d", mutant), func(t *testing.T) {
			if _, found := firstFailure(1, mutantSeeds, mode{mutant: mutant}); !found {
				t.Errorf("the mutant survives %d schedules that are checked after each step", mutantSeeds)
			}
			m := mode{mutant: mutant, outcome: true}
			seed := killers[mutant]
			_, err := run(generate(seed), m)
			if err == nil {
				first, found := firstFailure(1, mutantSeeds, m)
				if !found {
					t.Fatalf("the mutant survives the outcome of %d schedules", mutantSeeds)
				}
				t.Logf("seed %d killed once, now the first is %d", seed, first)
				seed = first
				_, err = run(generate(seed), m)
			}
			if !strings.HasPrefix(err.Error(), "after healing") {
				t.Fatalf("seed %d: not by its outcome: %v", seed, err)
			}
			t.Logf("seed %d: %v", seed, err)
		})
	}
}

// TestSimReplays: one seed gives one run, to the byte.
func TestSimReplays(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{7, 8, 9, storms + 7, storms + 8} {
		s := generate(seed)
		if a, b := story(s, everyStep), story(generate(seed), everyStep); !slices.Equal(a, b) {
			t.Fatalf("seed %d plays in two ways", seed)
		}
	}
}

// TestSimShrinks: what is left of a failing schedule fails still, and is short, whatever its kind.
func TestSimShrinks(t *testing.T) {
	t.Parallel()
	m := mode{mutant: crdt.MutantDropGhosts}
	for _, first := range []uint64{1, storms, ordeals, returns, pasts} {
		seed, found := firstFailure(first, mutantSeeds, m)
		if !found {
			t.Fatalf("nothing to shrink from seed %d on", first)
		}
		s := generate(seed)
		small := shrink(s, m)
		if _, err := run(small, m); err == nil || len(small.steps) > 15 {
			t.Errorf("seed %d: %d of %d steps are left, and they give: %v", seed, len(small.steps), len(s.steps), err)
		}
	}
}

// TestSimGivesBack: pulls that both sides profit from are not rare.
func TestSimGivesBack(t *testing.T) {
	t.Parallel()
	given := 0
	for seed := range uint64(300) {
		w, err := run(generate(1+seed), everyStep)
		if err != nil {
			t.Fatal(seed, err)
		}
		given += w.given
	}
	if given < 20 {
		t.Errorf("%d chunks were given back in 300 schedules", given)
	}
	t.Logf("%d chunks were given back", given)
}

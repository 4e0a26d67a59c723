package sim

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
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
	schedulesDefault = 4000
	schedulesShort   = 400
	mutantSeeds      = 2000 // within which each mutant must die
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

// firstFailure plays schedules from seed on, on all processors, and gives the first seed that fails.
func firstFailure(seed uint64, count int, mutant crdt.Mutant) (failed uint64, found bool) {
	var next, lowest atomic.Uint64
	lowest.Store(^uint64(0))
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < uint64(count) && i < lowest.Load(); i = next.Add(1) - 1 {
				if _, err := run(generate(seed+i), mutant, false); err == nil {
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
	s := shrink(generate(seed), crdt.MutantNone)
	t.Fatalf("seed %d fails (go test ./test/sim -run TestSimSchedules -seed %d -schedules 1). Shrunk to %d steps, clocks off by %v ms, ghosts %v, fold %v:\n%s",
		seed, seed, len(s.steps), s.skews, s.ghosts, s.fold, strings.Join(story(s, crdt.MutantNone), "\n"))
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
		if _, err := run(generate(seed), crdt.MutantNone, false); err != nil {
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
	start := time.Now()
	failed, found := firstFailure(seed, count, crdt.MutantNone)
	if found {
		report(t, failed)
	}
	took := time.Since(start)
	t.Logf("%d schedules from seed %d in %v: %.0f a minute", count, seed, took.Round(time.Millisecond), float64(count)/took.Minutes())
}

// TestSimKillsMutants: the same schedules find each rule that is broken on purpose.
func TestSimKillsMutants(t *testing.T) {
	for m := crdt.MutantBlindPush; m <= crdt.MutantDropLosers; m++ {
		t.Run(fmt.Sprint("rule", m), func(t *testing.T) {
			seed, found := firstFailure(1, mutantSeeds, m)
			if !found {
				t.Fatalf("the mutant of rule %d survives %d schedules", m, mutantSeeds)
			}
			_, err := run(generate(seed), m, false)
			t.Logf("rule %d: seed %d: %v", m, seed, err)
		})
	}
}

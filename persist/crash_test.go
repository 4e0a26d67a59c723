package persist_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

const (
	crashRounds   = 8
	crashKeys     = 40       // a batch writes this many records, each with the batch's number
	crashLargeOne = 12       // one batch in so many is too large for one transaction
	crashLarge    = 60 << 10 // bytes of each of its values
)

func crashConfig(dir string) persist.Config {
	return persist.Config{Dir: dir, MemtableBytes: 1 << 20, ValueThresholdBytes: 2 << 10, MinFreeBytes: 3 << 20}
}

// playWriter commits numbered batches for ever. Batch n sets crashKeys records to n, and one of its own.
func playWriter(dir, seed string) int {
	s, err := persist.Open(crashConfig(dir))
	if err != nil {
		fmt.Println("open:", err)
		return 1
	}
	state, err := readCrashState(s)
	if err != nil {
		fmt.Println("load:", err)
		return 1
	}
	n, _ := strconv.ParseUint(seed, 10, 64)
	random := rand.New(rand.NewPCG(n, 1))
	for number := state.last + 1; ; number++ {
		if err := s.Commit(crashBatch(random, number)); err != nil {
			fmt.Println("commit:", err)
			return 1
		}
		fmt.Println(number)
	}
}

func crashBatch(random *rand.Rand, number int) []crdt.Record {
	recs := []crdt.Record{{Key: fmt.Appendf(nil, "own %08d", number), Value: []byte("x")}}
	size := random.IntN(1 << random.IntN(13))
	if random.IntN(crashLargeOne) == 0 {
		size = crashLarge
	}
	for i := range crashKeys {
		value := append(fmt.Appendf(nil, "%d|", number), make([]byte, size)...)
		recs = append(recs, crdt.Record{Key: fmt.Appendf(nil, "shared %02d", i), Value: value})
	}
	return recs
}

type crashState struct {
	last int // batch that all shared records carry
	own  int // records that one batch wrote alone
}

// readCrashState fails unless every batch is there whole.
func readCrashState(s *persist.Store) (st crashState, err error) {
	shared, values := 0, map[string]bool{}
	err = s.Load(func(key, value []byte) error {
		if string(key[:3]) == "own" {
			st.own++
			if want := fmt.Sprintf("own %08d", st.own); string(key) != want {
				return fmt.Errorf("record %q where %q should be", key, want)
			}
			return nil
		}
		shared++
		number, _, _ := cutNumber(value)
		values[number] = true
		st.last, _ = strconv.Atoi(number)
		return nil
	})
	if err == nil && shared > 0 && (shared != crashKeys || len(values) != 1 || st.last != st.own) {
		err = fmt.Errorf("torn batch: %d shared records of batches %v, %d own records", shared, values, st.own)
	}
	return st, err
}

func cutNumber(value []byte) (number string, rest []byte, ok bool) {
	for i, b := range value {
		if b == '|' {
			return string(value[:i]), value[i+1:], true
		}
	}
	return "", nil, false
}

// TestKill kills a writer at random moments and demands every batch that it acknowledged, whole.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "store")
	acknowledged := 0
	for round := range crashRounds {
		acknowledged = max(acknowledged, killWriter(t, random, dir, seed+uint64(round)))
		s, err := persist.Open(crashConfig(dir))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		state, err := readCrashState(s)
		check(t, err)
		if state.last < acknowledged || state.last > acknowledged+1 {
			t.Fatalf("round %d: store is at batch %d, %d were acknowledged", round, state.last, acknowledged)
		}
		if random.IntN(2) == 0 {
			check(t, s.Close())
			continue
		}
		image := snapshot(t, dir) // and sometimes recovery itself is cut short
		check(t, s.Close())
		dir = image
	}
	t.Logf("%d batches acknowledged in %d lives", acknowledged, crashRounds)
}

// killWriter lets a child acknowledge some batches, waits some more microseconds, and kills it.
func killWriter(t *testing.T, random *rand.Rand, dir string, seed uint64) (acknowledged int) {
	t.Helper()
	cmd := child("writer", "DIR="+dir, fmt.Sprint("SEED=", seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := bufio.NewScanner(out)
	target := random.IntN(120)
	for seen := 0; lines.Scan(); seen++ {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("writer: %s", lines.Text())
		}
		acknowledged = n
		if seen == target {
			// A random instant within a commit is the point here; nothing is awaited.
			time.AfterFunc(time.Duration(random.IntN(5000))*time.Microsecond, func() { cmd.Process.Kill() })
		}
	}
	cmd.Wait()
	return acknowledged
}

// TestKillWhileOpening kills at random moments of opening and recovery.
func TestKillWhileOpening(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "store")
	acknowledged := killWriter(t, random, dir, seed)
	for range 3 * crashRounds {
		cmd := child("writer", "DIR="+dir, "SEED=1")
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		time.AfterFunc(time.Duration(random.IntN(60_000))*time.Microsecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("writer: %s", lines.Text())
			}
			acknowledged = n
		}
		cmd.Wait()
	}
	s, err := persist.Open(crashConfig(dir))
	check(t, err)
	defer s.Close()
	state, err := readCrashState(s)
	check(t, err)
	if state.last < acknowledged || state.last > acknowledged+1 {
		t.Fatalf("store is at batch %d, %d were acknowledged", state.last, acknowledged)
	}
}

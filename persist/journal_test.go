package persist_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// model is a store and what it should hold.
type model struct {
	t      *testing.T
	config persist.Config
	store  *persist.Store
	want   map[string]string
}

func newModel(t *testing.T, config persist.Config) *model {
	t.Helper()
	s, err := persist.Open(config)
	check(t, err)
	return &model{t, config, s, map[string]string{}}
}

// commit writes some records, and removes some.
func (m *model) commit(random *rand.Rand, records int) {
	m.t.Helper()
	recs := make([]crdt.Record, records)
	for i := range recs {
		key := fmt.Sprintf("%03d", random.IntN(400))
		if random.IntN(40) == 0 {
			key = strings.Repeat("long", 10_000) + key // of which Badger gets the beginning and a hash
		}
		recs[i].Key = []byte(key)
		if random.IntN(4) == 0 {
			delete(m.want, key)
			continue
		}
		value := fmt.Sprint(key[len(key)-3:], random.Uint64(), strings.Repeat("v", random.IntN(1<<random.IntN(12))))
		recs[i].Value = []byte(value)
		m.want[key] = value
	}
	check(m.t, m.store.Commit(recs))
}

func (m *model) reopen() {
	m.t.Helper()
	check(m.t, m.store.Close())
	var err error
	m.store, err = persist.Open(m.config)
	check(m.t, err)
}

// kill goes on with what a killed process leaves.
func (m *model) kill() {
	m.t.Helper()
	old := m.store
	m.config.Dir = snapshot(m.t, m.config.Dir)
	var err error
	m.store, err = persist.Open(m.config)
	check(m.t, err)
	check(m.t, old.Close())
}

// verify reads everything in every way that there is.
func (m *model) verify() {
	m.t.Helper()
	got, last := map[string]string{}, ""
	check(m.t, m.store.Load(func(key, value []byte) error {
		if string(key) <= last && last != "" {
			return fmt.Errorf("key %.20q after %.20q", key, last)
		}
		last = string(key)
		got[last] = string(value)
		return nil
	}))
	if !maps.Equal(got, m.want) {
		m.t.Fatalf("load gave %d records, want %d", len(got), len(m.want))
	}
	used := 0
	check(m.t, m.store.Usage([]byte("1"), func(key []byte, bytes int64) {
		if used++; key[0] != '1' || bytes < 3 {
			m.t.Errorf("usage of %q: %d", key, bytes)
		}
	}))
	for key := range m.want {
		if key[0] == '1' {
			used--
		}
	}
	if used != 0 {
		m.t.Errorf("usage tells of %d records too many", used)
	}
	for i := len(m.want) % 7; i < 400; i += 7 {
		key := fmt.Sprintf("%03d", i)
		value, err := m.store.Value([]byte(key))
		check(m.t, err)
		if want, ok := m.want[key]; string(value) != want || ok != (value != nil) {
			m.t.Fatalf("key %s is %.20q, want %.20q", key, value, want)
		}
	}
	var backup bytes.Buffer
	rep, err := m.store.Backup(m.t.Context(), &backup, persist.Backup{})
	check(m.t, err)
	if int(rep.Records) != len(m.want) || rep.Of != rep.Records {
		m.t.Errorf("backup of %d records, %d were told, want %d", rep.Records, rep.Of, len(m.want))
	}
}

// TestJournalLiesOverBadger commits, drains, opens again and kills at random, with segments of a few commits, and reads everything after each.
func TestJournalLiesOverBadger(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		config := damageConfig(filepath.Join(t.TempDir(), "store"))
		config.JournalBytes = 64 << 10
		m := newModel(t, config)
		for range 12 {
			for range random.IntN(6) {
				m.commit(random, 1+random.IntN(60))
			}
			switch random.IntN(6) {
			case 0:
				check(t, persist.Drain(m.store))
			case 1:
				m.reopen()
			case 2:
				m.kill()
			case 3:
				_, err := m.store.Checkpoint(t.Context())
				check(t, err)
			}
			m.verify()
		}
		check(t, m.store.Close())
	})
}

// TestBatchOfSeveralFrames: one that is longer than a frame is whole or absent, wherever its file is cut.
func TestBatchOfSeveralFrames(t *testing.T) {
	t.Parallel()
	config := damageConfig(filepath.Join(t.TempDir(), "store"))
	s, err := persist.Open(config)
	check(t, err)
	mark, err := os.ReadFile(filepath.Join(config.Dir, "MARK"))
	check(t, err)
	check(t, s.Commit(one("first", "1")))
	check(t, s.Commit(sampleBatch(1, 20_000)))
	image := snapshot(t, config.Dir)
	check(t, s.Close())
	check(t, os.WriteFile(filepath.Join(image, "MARK"), mark, 0o600)) // as after a power cut: nobody knows that they were acknowledged
	for _, c := range []struct {
		at   int64
		want int
	}{{2_000_000, 1}, {1_100_000, 1}, {300, 1}, {80, 0}, {1 << 22, 20_001}} {
		config.Dir = snapshot(t, image)
		file := filepath.Join(config.Dir, "journal", "00000000000000000001.log")
		info, err := os.Stat(file)
		check(t, err)
		check(t, os.Truncate(file, min(c.at, info.Size())))
		s, err := persist.Open(config)
		check(t, err)
		if n := count(t, s); n != c.want {
			t.Errorf("cut at %d: %d records, want %d", c.at, n, c.want)
		}
		check(t, s.Commit(one("next", "1"))) // and goes on
		check(t, s.Close())
		if n := count(t, openStore(t, config)); n != c.want+1 {
			t.Errorf("cut at %d, gone on: %d records, want %d", c.at, n, c.want+1)
		}
	}
}

// TestFullDiskStopsTheDrain: a commit that waits for a drain is refused where that finds no room, and all is well once there is some.
func TestFullDiskStopsTheDrain(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 40)
	config := damageConfig(filepath.Join(t.TempDir(), "store"))
	config.JournalBytes = 64 << 10
	s := openStore(t, persist.WithFree(config, func(string) (int64, error) { return free.Load(), nil }))
	release := persist.HoldBadger(s)
	committed, refused := make(chan int), make(chan error)
	go func() {
		for i := 1; ; i++ {
			if err := s.Commit(one(fmt.Sprintf("%06d", i), strings.Repeat("v", 10_000))); err != nil {
				refused <- err
				return
			}
			committed <- i
		}
	}()
	const filled = 12 // of the 14 that two segments take
	for i := range committed {
		if i == filled {
			break
		}
	}
	free.Store(0)
	release()
	n := filled
	for stopped := false; !stopped; {
		select {
		case n = <-committed:
		case err := <-refused:
			if stopped = true; !errors.Is(err, persist.ErrFull) {
				t.Fatalf("commit %d: %v, want ErrFull", n, err)
			}
		}
	}
	if n > filled+2 {
		t.Errorf("%d commits", n)
	}
	if got := count(t, s); got != n {
		t.Errorf("%d records, want %d", got, n)
	}
	free.Store(1 << 40)
	check(t, persist.DrainAgain(s))
	check(t, s.Commit(one("next", "1")))
	if got := count(t, s); got != n+1 {
		t.Errorf("with room again: %d records, want %d", got, n+1)
	}
}

// TestReadersBesideDrains reads what is overwritten, from the journal and from Badger, and never goes back in time.
func TestReadersBesideDrains(t *testing.T) {
	t.Parallel()
	config := damageConfig(filepath.Join(t.TempDir(), "store"))
	config.JournalBytes = 64 << 10
	s := openStore(t, config)
	const rounds, keys = 60, 50
	var committed atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for committed.Load() < rounds {
				least := committed.Load()
				for i := range keys {
					value, err := s.Value(fmt.Appendf(nil, "%02d", i))
					var round int64
					fmt.Sscan(string(value), &round)
					if err != nil || round < least {
						t.Errorf("key %d is of round %d, %d was committed: %v", i, round, least, err)
						return
					}
				}
				values := map[string]bool{}
				if err := s.Load(func(_, value []byte) error { values[string(value)] = true; return nil }); err != nil || len(values) > 1 {
					t.Errorf("a snapshot of %d batches: %v", len(values), err)
					return
				}
			}
		})
	}
	for round := range rounds {
		value := fmt.Appendf(nil, "%d %s", round+1, strings.Repeat("v", 500))
		recs := make([]crdt.Record, keys)
		for i := range recs {
			recs[i] = crdt.Record{Key: fmt.Appendf(nil, "%02d", i), Value: value}
		}
		check(t, s.Commit(recs))
		committed.Store(int64(round + 1))
		if t.Failed() {
			break
		}
	}
	committed.Store(rounds)
	wg.Wait()
}

// TestStoreWithoutAJournal is one from before there was any: it gets one when it is opened, and older programs refuse it from then on.
func TestStoreWithoutAJournal(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		config := damageConfig(filepath.Join(t.TempDir(), "store"))
		s, err := persist.Open(config)
		check(t, err)
		check(t, s.Commit(sampleBatch(1, 100)))
		check(t, persist.Drain(s))
		check(t, persist.MakeOld(s))
		for i := range 3 {
			s, err := persist.Open(config)
			check(t, err)
			check(t, s.Commit(one(fmt.Sprint("new", i), "1")))
			if n := count(t, s); n != 101+i {
				t.Errorf("%d records, want %d", n, 101+i)
			}
			check(t, s.Close())
			version, err := os.ReadFile(filepath.Join(config.Dir, "VERSION"))
			check(t, err)
			if !strings.Contains(string(version), "format 4\n") && !strings.Contains(string(version), "format 7\n") {
				t.Errorf("%s", version)
			}
		}
	})
}

// FuzzSegment opens a store whose journal has been written over. It is refused, or holds a beginning of what was committed.
func FuzzSegment(f *testing.F) {
	config := damageConfig(filepath.Join(f.TempDir(), "store"))
	s, err := persist.Open(config)
	check(f, err)
	for i := range 5 {
		check(f, s.Commit(one(fmt.Sprint("key", i), "value")))
	}
	check(f, s.Close())
	sound, err := os.ReadFile(filepath.Join(config.Dir, "journal", "00000000000000000001.log"))
	check(f, err)
	sound = bytes.TrimRight(sound, "\x00")
	f.Add(0, []byte{0}, false)
	f.Add(60, []byte("garbage"), true)
	f.Add(len(sound), slices.Clone(sound[56:]), false)
	f.Fuzz(func(t *testing.T, at int, over []byte, cut bool) {
		if at < 0 || at > len(sound)+100 || len(over) > 4096 {
			return
		}
		data := append(slices.Clone(sound), make([]byte, max(0, at+len(over)-len(sound)))...)
		copy(data[at:], over)
		if cut {
			data = data[:at+len(over)]
		}
		file := filepath.Join(t.TempDir(), "00000000000000000001.log")
		check(t, os.WriteFile(file, data, 0o600))
		commits, err := persist.ScanSegment(file, config.Dir)
		if err != nil {
			return
		}
		for i, key := range commits {
			if i >= 5 || key != fmt.Sprint("key", i) {
				// Only whole frames of the sound file, in their order, have the right checksums; what was made of them by hand is not looked for here.
				if !bytes.Contains(sound, []byte(key)) && !bytes.Contains(over, []byte(key)) {
					t.Fatalf("commit %d is of key %q", i, key)
				}
			}
		}
	})
}

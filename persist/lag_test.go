package persist_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/persist"
)

// TestRotBehindALaggingMark flips a bit of a log whose mark was taken back by a power cut. In the last commit that looks like the tail that a crash
// leaves; anywhere before it, what was acknowledged is missed.
func TestRotBehindALaggingMark(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		config := damageConfig(filepath.Join(t.TempDir(), "store"))
		s, err := persist.Open(config)
		check(t, err)
		early, err := os.ReadFile(filepath.Join(config.Dir, "MARK"))
		check(t, err)
		const commits = 20
		for i := range commits {
			check(t, s.Commit(sampleBatch(i, 5)))
		}
		image := snapshot(t, config.Dir)
		check(t, s.Close())
		check(t, os.WriteFile(filepath.Join(image, "MARK"), early, 0o600))

		const segment = "00000000000000000001.log"
		log := filepath.Join(image, "journal", segment)
		content, err := os.ReadFile(log)
		check(t, err)
		end := int64(len(strings.TrimRight(string(content), "\x00")))
		for _, c := range []struct {
			at   int64
			says string
		}{{end / 2, segment + ": unreadable from byte"}, {end - end/40, ""}} {
			dir := snapshot(t, image)
			flip(t, filepath.Join(dir, "journal", segment), c.at)
			config.Dir = dir
			s, err := persist.Open(config)
			if c.says != "" {
				if !errors.Is(err, persist.ErrDamaged) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("a bit at %d of %d: %v, want ErrDamaged that says %q", c.at, end, err, c.says)
				}
				continue
			}
			check(t, err)
			if n := count(t, s); n != (commits-1)*5 {
				t.Errorf("a bit at %d of %d: %d records", c.at, end, n)
			}
			check(t, s.Close())
		}
	})
}

// TestSpoiledMarks: what a power cut does to marks that were not fsynced keeps no store from opening.
func TestSpoiledMarks(t *testing.T) {
	t.Parallel()
	config := persist.Config{Dir: filepath.Join(t.TempDir(), "store")}
	for round := range 4 {
		s, err := persist.Open(config)
		check(t, err)
		for i := range 5 {
			check(t, s.Commit(sampleBatch(round*5+i, 1)))
		}
		config.Dir = snapshot(t, config.Dir)
		check(t, s.Close())
		path := filepath.Join(config.Dir, "MARK")
		mark, err := os.ReadFile(path)
		check(t, err)
		const firstUnsynced = 2 * 4096
		clear(mark[firstUnsynced:])
		check(t, os.WriteFile(path, mark, 0o600))
		if n := count(t, openStore(t, persist.Config{Dir: snapshot(t, config.Dir)})); n != 5*(round+1) {
			t.Errorf("round %d: %d records", round, n)
		}
	}
}

// TestTornTailOfAnOlderValueLog: the store had cut it off and begun another file; a power cut took the first back and not the second.
func TestTornTailOfAnOlderValueLog(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		dir := newSample(t, true)
		files, err := filepath.Glob(filepath.Join(dir, "badger", "*.vlog"))
		check(t, err)
		if len(files) < 2 {
			t.Fatalf("the sample has %d value logs", len(files))
		}
		f, err := os.OpenFile(files[0], os.O_WRONLY|os.O_APPEND, 0o600)
		check(t, err)
		_, err = f.WriteString("half of an entry that was never acknowledged")
		check(t, errors.Join(err, f.Close()))
		for range 2 {
			s, err := persist.Open(damageConfig(dir))
			check(t, err)
			if n := count(t, s); n != 3600 {
				t.Errorf("%d records, want 3600", n)
			}
			check(t, s.Close())
		}
	})
}

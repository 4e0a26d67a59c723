package persist_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
	"go.uber.org/goleak"
)

func openStore(t testing.TB, config persist.Config) *persist.Store {
	t.Helper()
	s, err := persist.Open(config)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

func one(key, value string) []crdt.Record {
	return []crdt.Record{{Key: []byte(key), Value: []byte(value)}}
}

func count(t testing.TB, s *persist.Store) (n int) {
	t.Helper()
	check(t, s.Load(func(_, _ []byte) error { n++; return nil }))
	return n
}

// Not parallel: it looks at all goroutines.
func TestCloseStopsEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := persist.Open(persist.Config{Dir: t.TempDir()})
	check(t, err)
	check(t, s.Commit(one("a", "1")))
	check(t, s.Close())
	goleak.VerifyNone(t, before)
}

func TestConfigNamesTheWrongField(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for field, config := range map[string]persist.Config{
		"Dir":                 {},
		"Profile":             {Dir: dir, Profile: "toaster"},
		"MemtableBytes":       {Dir: dir, MemtableBytes: 1},
		"ValueThresholdBytes": {Dir: dir, ValueThresholdBytes: 1 << 30},
		"ValueLogFileBytes":   {Dir: dir, ValueLogFileBytes: 1 << 20},
		"MinFreeBytes":        {Dir: dir, MinFreeBytes: 1},
		"ReclaimRatio":        {Dir: dir, ReclaimRatio: 1},
	} {
		_, err := persist.Open(config)
		if !errors.Is(err, persist.ErrConfig) || !strings.Contains(err.Error(), ": "+field+" ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestLockSurvivesNoKill: a live holder is named, a killed one holds nothing.
func TestLockSurvivesNoKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	cmd := child("writer", "DIR="+dir, "SEED=1")
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Scan() // it has committed, and so has the lock
	_, err = persist.Open(crashConfig(dir))
	if !errors.Is(err, persist.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", cmd.Process.Pid)) {
		t.Errorf("while process %d has it: %v", cmd.Process.Pid, err)
	}
	check(t, cmd.Process.Kill())
	for lines.Scan() {
	}
	cmd.Wait()
	openStore(t, crashConfig(dir))
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "VERSION"), []byte("edgemem store format 9\nsomething else\n"), 0o600))
	_, err := persist.Open(persist.Config{Dir: dir})
	if !errors.Is(err, persist.ErrVersion) || !strings.Contains(err.Error(), "9") || !strings.Contains(err.Error(), "writes 7") {
		t.Errorf("open: %v, want ErrVersion with 9 and 7", err)
	}
}

func TestFilesInTheWay(t *testing.T) {
	t.Parallel()
	asFile := filepath.Join(t.TempDir(), "store")
	check(t, os.WriteFile(asFile, nil, 0o600))
	if _, err := persist.Open(persist.Config{Dir: asFile}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file as the directory: %v, want ENOTDIR", err)
	}
	dir := t.TempDir()
	openAndClose(t, dir)
	check(t, os.RemoveAll(filepath.Join(dir, "badger")))
	check(t, os.WriteFile(filepath.Join(dir, "badger"), nil, 0o600))
	if _, err := persist.Open(persist.Config{Dir: dir}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file in place of badger/: %v, want ENOTDIR", err)
	}
	dir = t.TempDir()
	openAndClose(t, dir)
	check(t, os.Mkdir(filepath.Join(dir, "badger", "000009.sst"), 0o700))
	if _, err := persist.Open(persist.Config{Dir: dir}); !errors.Is(err, persist.ErrDamaged) || !strings.Contains(err.Error(), "000009.sst") {
		t.Errorf("a directory in place of a table: %v, want ErrDamaged naming it", err)
	}
}

func openAndClose(t *testing.T, dir string) {
	t.Helper()
	s, err := persist.Open(persist.Config{Dir: dir})
	check(t, err)
	check(t, s.Commit(one("a", "1")))
	check(t, s.Close())
}

// TestUnreadable opens as a user who may not: in a child when the test runs as root.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("", "persist")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(parent) })
	check(t, os.Chmod(parent, 0o755))
	dir := filepath.Join(parent, "store")
	openAndClose(t, dir)
	check(t, os.Chmod(dir, 0))
	out, code := runAsNobody(t, parent, dir)
	if code != codeOther || !strings.Contains(out, fs.ErrPermission.Error()) {
		t.Errorf("exit code %d: %s, want %d and a permission error", code, out, codeOther)
	}
}

func runAsNobody(t *testing.T, parent, dir string) (text string, code int) {
	t.Helper()
	binary := filepath.Join(parent, "test") // where nobody may execute it
	data, err := os.ReadFile(os.Args[0])
	check(t, err)
	check(t, os.WriteFile(binary, data, 0o755))
	cmd := child("digest", "DIR="+dir)
	cmd.Path, cmd.Dir = binary, parent
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("child: %v: %s", err, out)
	}
	return string(out), exit.ExitCode()
}

func TestIncarnationsAreListed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)
	config := persist.Config{
		Dir: t.TempDir(),
		// The store's id takes the first 16 bytes.
		Rand: strings.NewReader(strings.Repeat("-", 16) + "first nonce here" + "the second nonce"),
		Now:  func() time.Time { now = now.Add(time.Hour); return now },
	}
	s := openStore(t, config)
	for range 2 {
		_, err := s.NewIncarnation(t.Context(), "node", 0)
		check(t, err)
	}
	if _, err := s.NewIncarnation(t.Context(), "node", 0); err == nil {
		t.Error("an incarnation without randomness")
	}
	list, err := s.Incarnations()
	check(t, err)
	got := ""
	for _, i := range list {
		if i.Nonce.Number() != i.Number {
			t.Errorf("start %d has a nonce of number %d", i.Number, i.Nonce.Number())
		}
		got += fmt.Sprintf("%d %s %s %s\n", i.Number, i.Node, i.Nonce[4:], i.Started.Format(time.RFC3339Nano))
	}
	want := "194767567 node first nonce here 2026-03-04T06:06:07.008Z\n194771167 node the second nonce 2026-03-04T07:06:07.008Z\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	s := openStore(t, persist.Config{Dir: t.TempDir()})
	check(t, s.Commit(one("key", "value")))
	check(t, s.Commit(one("long", strings.Repeat("v", 100<<10))))
	st, err := s.Stats()
	check(t, err)
	if st.Commits != 2 || st.Commit != 2 || st.Records != 2 || st.SyncedBytes < 100<<10 || st.Failed != nil {
		t.Errorf("counters: %+v", st)
	}
	if st.LastCommit <= 0 || st.LongestCommit < st.LastCommit || st.FreeBytes <= 0 {
		t.Errorf("measures: %+v", st)
	}
	if st.JournalBytes < 100<<10 || st.JournalBytes > 1<<20 || st.ValueLogBytes > 4<<10 {
		t.Errorf("sizes: %+v", st)
	}
	check(t, persist.Drain(s))
	st, err = s.Stats()
	check(t, err)
	if st.JournalBytes != 0 || st.LogBytes < 4096 || st.LogBytes > 1<<20 || st.ValueLogBytes < 100<<10 || st.ValueLogBytes > 1<<20 {
		t.Errorf("sizes when drained: %+v", st)
	}
}

// TestReclaim overwrites large values until a collection frees a value-log file, and demands that nothing is lost by it.
func TestReclaim(t *testing.T) {
	t.Parallel()
	config := damageConfig(t.TempDir())
	value := func(round, i int) string { return strings.Repeat(fmt.Sprint(round, i, ";"), 2000) }
	for round := range 40 {
		s, err := persist.Open(config)
		check(t, err)
		recs := make([]crdt.Record, 100)
		for range 3 {
			for i := range recs {
				recs[i] = one(fmt.Sprint(i), value(round, i))[0]
			}
			check(t, s.Commit(recs))
			check(t, persist.Drain(s))
		}
		freed, err := s.Reclaim()
		check(t, err)
		n := 0
		check(t, s.Load(func(key, got []byte) error {
			var i int
			fmt.Sscan(string(key), &i)
			if n++; string(got) != value(round, i) {
				return fmt.Errorf("round %d: key %s has a value of another round", round, key)
			}
			return nil
		}))
		check(t, s.Close())
		if n != len(recs) {
			t.Fatalf("round %d: %d records, want %d", round, n, len(recs))
		}
		if freed > 0 {
			return
		}
	}
	t.Error("no value-log file was freed in 40 rounds of overwriting everything")
}

func TestReclaimRunsOnSchedule(t *testing.T) {
	t.Parallel()
	ticks := make(chan time.Time)
	s := openStore(t, persist.WithTicks(persist.Config{Dir: t.TempDir()}, ticks))
	for range 3 {
		ticks <- time.Time{} // taken only when the one before is done
	}
	st, err := s.Stats()
	check(t, err)
	if st.Reclaims < 2 {
		t.Errorf("%d collections after 3 ticks", st.Reclaims)
	}
}

// TestFailedSyncIsNotAcknowledged: Badger only logs when the value log's sync fails; the drain must fail all the same, and nothing is
// acknowledged from then on.
func TestFailedSyncIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	dir := t.TempDir()
	s := openStore(t, persist.Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	check(t, s.Commit(one("a", "1")))
	s.LogAsBadger("Error while curlf sync: %v\n", syscall.EIO)
	if err := persist.Drain(s); !errors.Is(err, persist.ErrFailed) {
		t.Errorf("drain: %v, want ErrFailed", err)
	}
	for range 2 {
		if err := s.Commit(one("b", "2")); !errors.Is(err, persist.ErrFailed) || !strings.Contains(err.Error(), syscall.EIO.Error()) {
			t.Errorf("commit: %v, want ErrFailed with its cause", err)
		}
	}
	if err := s.Load(func(_, _ []byte) error { return nil }); !errors.Is(err, persist.ErrFailed) {
		t.Errorf("load: %v, want ErrFailed", err)
	}
	st, err := s.Stats()
	check(t, err)
	if st.Failed == nil || !strings.Contains(log.String(), "store failed") {
		t.Errorf("stats %+v, log %s", st, log.String())
	}
	check(t, s.Close())
	if n := count(t, openStore(t, persist.Config{Dir: dir})); n != 1 {
		t.Errorf("%d records after reopening", n)
	}
}

func TestNumbersAreBadgersVersions(t *testing.T) {
	t.Parallel()
	config := crashConfig(t.TempDir())
	for range 4 {
		s, err := persist.Open(config)
		check(t, err)
		for b := range 30 {
			check(t, s.Commit(sampleBatch(b, 1+b*b*10)))
			if b%3 == 0 {
				check(t, persist.Drain(s))
			}
			if ours, badgers := s.Numbers(); ours != badgers {
				t.Fatalf("batch %d: transaction %d, Badger's version %d", b, ours, badgers)
			}
		}
		check(t, s.Close())
	}
}

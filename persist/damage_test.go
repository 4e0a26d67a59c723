package persist_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

var damageRounds = flag.Int("damage.rounds", 40, "damaged stores to open in TestRandomDamage")

// role makes the test binary play a part in a child process.
const role = "EDGEMEM_PERSIST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "digest":
		os.Exit(playDigest(os.Getenv("DIR")))
	case "writer":
		os.Exit(playWriter(os.Getenv("DIR"), os.Getenv("SEED")))
	case "resident":
		os.Exit(playResident(os.Getenv("DIR")))
	}
	os.Exit(m.Run())
}

// child re-executes the test binary in a role.
func child(part string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), role+"="+part), env...)
	return cmd
}

const (
	codeDamaged = 3
	codeOther   = 4
)

// playDigest opens and loads a store. A panic or an exit of Badger's own has another code than these.
func playDigest(dir string) int {
	s, err := persist.Open(damageConfig(dir))
	if err != nil {
		return report(err)
	}
	n, bytes := 0, 0
	err = s.Load(func(key, value []byte) error {
		if string(value) != valueOf(string(key)) {
			return fmt.Errorf("key %q has a wrong value", key)
		}
		n, bytes = n+1, bytes+len(value)
		return nil
	})
	if err != nil {
		return report(err)
	}
	fmt.Printf("%d records, %d bytes\n", n, bytes)
	return 0
}

func report(err error) int {
	fmt.Println(err)
	if errors.Is(err, persist.ErrDamaged) || errors.Is(err, persist.ErrVersion) {
		return codeDamaged
	}
	return codeOther
}

// damageConfig encrypts in the folders of tests that are called so: children know it by that too.
func damageConfig(dir string) persist.Config {
	c := persist.Config{Dir: dir, MemtableBytes: 1 << 20, ValueThresholdBytes: 1 << 10, MinFreeBytes: 3 << 20}
	if strings.Contains(dir, "encrypted") {
		c.Key = testKey
	}
	return c
}

var testKey = bytes.Repeat([]byte("k3y."), persist.KeyBytes/4)

// bothWays runs a test on plain and on encrypted stores.
func bothWays(t *testing.T, run func(t *testing.T)) {
	for _, way := range []string{"plain", "encrypted"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}

// valueOf is a function of the key; every seventh value goes to the value log.
func valueOf(key string) string {
	n := 40
	if strings.HasSuffix(key, "7") {
		n = 400
	}
	return strings.Repeat(key, n)
}

// newSample makes a store that has everything: tables in use, two write-ahead logs would be luck, value logs, transactions
// in a log that is not flushed, and commits that are in the journal alone. The image is of a killed process, or of one that closed.
func newSample(t *testing.T, killed bool) (image string) {
	t.Helper()
	config := damageConfig(filepath.Join(t.TempDir(), "store"))
	for round := range 3 {
		s, err := persist.Open(config)
		check(t, err)
		_, err = s.NewIncarnation(t.Context(), "node", 0)
		check(t, err)
		for b := range 60 {
			recs := make([]crdt.Record, 20)
			for i := range recs {
				key := fmt.Sprintf("%d-%02d-%02d", round, b, i)
				recs[i] = crdt.Record{Key: []byte(key), Value: []byte(valueOf(key))}
			}
			check(t, s.Commit(recs))
			if b == 39 || b == 59 && round < 2 {
				check(t, persist.Drain(s))
			}
		}
		if round == 2 && killed {
			image = snapshot(t, config.Dir)
		}
		check(t, s.Close())
	}
	if !killed {
		image = config.Dir
	}
	return image
}

const sampleDigest = "3600 records, "

func digest(dir string) (text string, code int) {
	out, err := child("digest", "DIR="+dir).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// storeFiles lists what may be damaged. Locks and hints are left out where hints is false.
func storeFiles(t testing.TB, dir string) (files []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "LOCK" {
			files = append(files, path)
		}
		return err
	}))
	slices.Sort(files)
	return files
}

// TestRandomDamage changes one thing in one file of a store and opens it in a child: either nothing was lost, or the damage is
// named. Never a panic, never a hang, never fewer records.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	bothWays(t, testRandomDamage)
}

func testRandomDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	images := []string{newSample(t, true), newSample(t, false)}
	want, _ := digest(snapshot(t, images[0]))
	if !strings.HasPrefix(want, sampleDigest) {
		t.Fatalf("sample: %s", want)
	}
	for range *damageRounds {
		image := snapshot(t, images[random.IntN(2)])
		what := damage(t, random, image)
		got, code := digest(image)
		switch {
		case code == codeDamaged:
			t.Logf("%s: %.200s", what, got)
		case code != 0:
			t.Errorf("%s: exit code %d: %s", what, code, got)
		case got != want:
			t.Errorf("%s: unnoticed: %s, want %s", what, got, want)
		default:
			t.Logf("%s: nothing lost", what)
		}
		check(t, os.RemoveAll(image))
	}
}

// damage picks a file, by kind first so that few large ones do not take all, and spoils it.
func damage(t *testing.T, random *rand.Rand, dir string) (what string) {
	byKind := map[string][]string{}
	for _, f := range storeFiles(t, dir) {
		kind := filepath.Ext(f) + map[bool]string{true: filepath.Base(f)}[filepath.Ext(f) == ""]
		byKind[kind] = append(byKind[kind], f)
	}
	kinds := make([]string, 0, len(byKind))
	for k := range byKind {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	files := byKind[kinds[random.IntN(len(kinds))]]
	file := files[random.IntN(len(files))]
	return filepath.Base(file) + ": " + spoil(t, random, file)
}

func spoil(t *testing.T, random *rand.Rand, file string) string {
	data, err := os.ReadFile(file)
	check(t, err)
	used := len(bytes.TrimRight(data, "\x00")) // most logs are mostly zeros
	if used == 0 || random.IntN(10) == 0 {
		check(t, os.Remove(file))
		return "removed"
	}
	at := random.IntN(used)
	switch random.IntN(4) {
	case 0:
		check(t, os.Truncate(file, int64(at)))
		return fmt.Sprintf("cut at %d of %d", at, used)
	case 1:
		n := min(1+random.IntN(4096), used-at)
		clear(data[at : at+n])
		check(t, os.WriteFile(file, data, 0o600))
		return fmt.Sprintf("zeros at %d to %d of %d", at, at+n, used)
	}
	data[at] ^= 1 << random.IntN(8)
	check(t, os.WriteFile(file, data, 0o600))
	return fmt.Sprintf("bit at %d of %d", at, used)
}

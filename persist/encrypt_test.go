package persist_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/persist"
)

// TestKeyIsHeldTo opens stores with every key that is not theirs: refused, with what to do, and nothing changed.
func TestKeyIsHeldTo(t *testing.T) {
	t.Parallel()
	plain, encrypted := filepath.Join(t.TempDir(), "plain"), filepath.Join(t.TempDir(), "encrypted")
	for _, dir := range []string{plain, encrypted} {
		s, err := persist.Open(damageConfig(dir))
		check(t, err)
		check(t, s.Commit(one("k", "v")))
		check(t, s.Close())
	}
	other := bytes.Repeat([]byte("x"), persist.KeyBytes)
	for _, c := range []struct {
		name, dir string
		key       []byte
		says      string
	}{
		{"missing", encrypted, nil, "is encrypted; give the key"},
		{"another", encrypted, other, "not the one that " + encrypted + " was encrypted with"},
		{"too many", plain, testKey, "is not encrypted, and a key was given"},
		{"short", encrypted, testKey[:16], "16 bytes, want 32"},
	} {
		before := contents(t, c.dir)
		config := damageConfig(c.dir)
		config.Key = c.key
		_, err := persist.Open(config)
		if !errors.Is(err, persist.ErrKey) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want ErrKey that says %q", c.name, err, c.says)
		}
		if contents(t, c.dir) != before {
			t.Errorf("%s: files changed", c.name)
		}
	}
	for _, dir := range []string{plain, encrypted} {
		check(t, openAndLoad(dir))
	}
}

// TestNothingReadable looks for content in every file of an encrypted store, and finds it in those of a plain one.
func TestNothingReadable(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T) {
		const secret = "attack at dawn"
		dir := filepath.Join(t.TempDir(), "store")
		s, err := persist.Open(damageConfig(dir))
		check(t, err)
		check(t, s.Commit(one("key of the "+secret, strings.Repeat(secret, 10))))
		check(t, s.Commit(one("large", strings.Repeat(secret, 1000)))) // for the value log
		killed := snapshot(t, dir)
		check(t, s.Close())
		found := 0
		for _, image := range []string{killed, dir} {
			for _, file := range storeFiles(t, image) {
				data, err := os.ReadFile(file)
				check(t, err)
				found += bytes.Count(data, []byte(secret))
			}
		}
		if want := damageConfig(dir).Key == nil; (found > 0) != want {
			t.Errorf("found the secret %d times", found)
		}
	})
}

func TestRekey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "encrypted")
	next := bytes.Repeat([]byte("n"), persist.KeyBytes)
	s, err := persist.Open(damageConfig(dir))
	check(t, err)
	check(t, s.Commit(one("k", "v")))
	if err := persist.Rekey(dir, testKey, next); !errors.Is(err, persist.ErrLocked) {
		t.Errorf("while it is open: %v, want ErrLocked", err)
	}
	check(t, s.Close())
	before := contents(t, dir)
	if err := persist.Rekey(dir, next, next); !errors.Is(err, persist.ErrKey) {
		t.Errorf("with a wrong old key: %v, want ErrKey", err)
	}
	if contents(t, dir) != before {
		t.Error("a refused rekey changed files")
	}
	check(t, persist.Rekey(dir, testKey, next))
	if _, err := persist.Open(damageConfig(dir)); !errors.Is(err, persist.ErrKey) {
		t.Errorf("with the old key: %v, want ErrKey", err)
	}
	config := damageConfig(dir)
	config.Key = next
	s = openStore(t, config)
	check(t, s.Commit(one("k2", "v2")))
	if n := count(t, s); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
}

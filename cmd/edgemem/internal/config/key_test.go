package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadKey(t *testing.T) {
	key := []byte("0123456789abcdefghijklmnopqrstu\n") // a raw key may end in white space
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		says          string // "": it is read
	}{
		{"raw", string(key), 0o600, ""},
		{"hex", hex.EncodeToString(key), 0o400, ""},
		{"hex line", hex.EncodeToString(key) + "\n", 0o600, ""},
		{"base64", base64.StdEncoding.EncodeToString(key) + "\n", 0o600, ""},
		{"base64 without padding", base64.RawStdEncoding.EncodeToString(key), 0o600, ""},
		{"group may read", string(key), 0o640, "chmod 600"},
		{"short", "sesame\n", 0o600, "want 32 bytes"},
		{"no hex", strings.Repeat("xy", 32), 0o600, "want 32 bytes"},
		{"long", strings.Repeat("k", 300), 0o600, "which is no key"},
		{"zeros", strings.Repeat("\x00", 32), 0o600, "all its bytes are the same"},
		{"empty", "", 0o600, "want 32 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadKey(path)
		if c.says == "" && (err != nil || !bytes.Equal(got, key)) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: the error shows the content: %v", c.name, err)
		}
	}
	if _, err := ReadKey(t.TempDir()); err == nil {
		t.Error("a folder passed for a key")
	}
}

func FuzzKey(f *testing.F) {
	f.Add([]byte(strings.Repeat("a1", 32)))
	f.Add([]byte("0123456789abcdefghijklmnopqrstuv"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := parseKey(data); err == nil && len(key) != KeyBytes {
			t.Fatalf("a key of %d bytes", len(key))
		}
	})
}

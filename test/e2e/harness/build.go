package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Binary is the daemon under test; Main sets it.
var Binary string

// binaryVariable names a program that is there already, to be tested instead of one built from source.
const binaryVariable = "EDGEMEM_TEST_BINARY"

// Main builds the daemon once, runs the tests and gives the exit code for os.Exit.
func Main(m *testing.M) int {
	if Binary = os.Getenv(binaryVariable); Binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "edgemem-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	Binary = filepath.Join(dir, "edgemem")
	if err := build(Binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(to string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", to, "./cmd/edgemem")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/edgemem: %w\n%s", err, out)
	}
	return nil
}

// moduleRoot is the nearest folder with a go.mod; tests start in the folder of their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("harness: no go.mod above the working directory")
		}
	}
}

// Environment is the test's own without what would change a daemon: settings, and the systemd unit that
// the test may run in.
func Environment(extra ...string) []string {
	var kept []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "EDGEMEM_") && !strings.HasPrefix(kv, "NOTIFY_SOCKET=") {
			kept = append(kept, kv)
		}
	}
	return append(kept, extra...)
}

// InCI says whether what is missing must be an error instead of a skipped test.
func InCI() bool { return os.Getenv("CI") == "true" }

// Need gives the path of a program that the test cannot do without. Without it the test is skipped, and
// says so; in continuous integration it fails.
func Need(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if InCI() {
		t.Fatalf("%s is missing (Debian package %s)", program, pkg)
	}
	t.Skipf("SKIPPED: %s is missing (Debian package %s)", program, pkg)
	return ""
}

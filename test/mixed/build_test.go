package mixed

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A past is an earlier version of the program. It is built once, when it is asked for first.
type past struct {
	commit string
	once   sync.Once
	path   string
	err    error
}

var (
	old   = &past{commit: yesterday}
	older = &past{commit: ancient}
)

// program gives the path of the daemon. Without the history that it is built from, the test is skipped.
func (p *past) program(t *testing.T) string {
	t.Helper()
	needHistory(t, p.commit)
	p.once.Do(func() { p.path, p.err = p.cached() })
	if p.err != nil {
		t.Fatalf("building %.12s: %v", p.commit, p.err)
	}
	return p.path
}

// needHistory skips where the commit is not there: in a source archive, a shallow clone, or without git.
func needHistory(t *testing.T, commit string) {
	t.Helper()
	if _, err := git("cat-file", "-e", commit+"^{commit}"); err != nil {
		t.Skipf("SKIPPED: versions cannot be mixed without commit %.12s: %v. In a shallow clone: git fetch --unshallow", commit, err)
	}
}

// git runs a command on the repository that the test's folder is in.
func git(args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("git", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, err
}

// cached builds the program unless an earlier run has left it. The name holds all that decides what it is.
func (p *past) cached() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir() // no home: the next run may find it all the same
	}
	dir := filepath.Join(base, "edgemem-mixed")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("edgemem-%.12s-%s-%s-%s", p.commit, runtime.Version(), runtime.GOOS, runtime.GOARCH))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	removeUnpinned(dir)
	return file, p.build(file)
}

// removeUnpinned removes the programs of commits that are pinned no more.
func removeUnpinned(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "edgemem-*")) // the pattern is right
	for _, f := range files {
		commit, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), "edgemem-"), "-")
		if !slices.ContainsFunc([]string{yesterday, ancient}, func(pin string) bool { return strings.HasPrefix(pin, commit) }) {
			_ = os.Remove(f) // it only takes room
		}
	}
}

// build takes the commit's files out of the repository and builds the daemon. The program appears as a whole: two runs
// at once may both build it.
func (p *past) build(file string) error {
	tree, err := os.MkdirTemp("", "edgemem-mixed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := checkOut(p.commit, tree); err != nil {
		return err
	}
	program := filepath.Join(tree, "edgemem.built")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./cmd/edgemem")
	cmd.Dir, cmd.Env = tree, append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/edgemem: %w\n%s", err, out)
	}
	return moveInto(program, file)
}

// moveInto copies, because the cache may be on another file system, and renames.
func moveInto(program, file string) error {
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.CreateTemp(filepath.Dir(file), "building-")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Chmod(0o700), to.Close())
	if err == nil {
		err = os.Rename(to.Name(), file)
	}
	if err != nil {
		_ = os.Remove(to.Name())
	}
	return err
}

// checkOut writes the files of a commit into a folder, without touching the repository.
func checkOut(commit, dir string) error {
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	archive, err := git("-C", strings.TrimSpace(string(top)), "archive", "--format=tar", commit)
	if err != nil {
		return err
	}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) {
			continue // folders follow from files
		}
		if err := writeFile(filepath.Join(dir, h.Name), r); err != nil {
			return err
		}
	}
}

func writeFile(name string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

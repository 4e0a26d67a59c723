package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edgemem/edgemem/p2p"
	"github.com/edgemem/edgemem/persist"
)

// ErrNotEmpty: the directory holds something, and may not be moved aside.
var ErrNotEmpty = errors.New("not empty")

// Options say how to restore. The Dir of Restore is chosen here.
type Options struct {
	Dir   string
	Force bool // move what is there aside
	persist.Restore
}

// Report is what a restore came to.
type Report struct {
	persist.RestoreReport
	Dir       string `json:"data_dir"`
	Aside     string `json:"aside,omitempty"` // where that is what was there
	Sealed    bool   `json:"store_encrypted"`
	AsNewNode bool   `json:"as_new_node"`
}

// Restore makes a data directory of a backup, or leaves it as it was. Errors: ErrNotEmpty, and those of persist.RestoreBackup.
func Restore(ctx context.Context, r io.Reader, o Options) (Report, error) {
	rep := Report{Dir: o.Dir, Sealed: o.Key != nil}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return rep, fmt.Errorf("restore: %w", err)
	}
	release, err := claim(o.Dir, o.Force)
	if err != nil {
		return rep, err
	}
	defer release()
	if err := build(ctx, r, o, &rep); err != nil {
		return rep, errors.Join(err, os.RemoveAll(filepath.Join(o.Dir, building)))
	}
	if occupied(o.Dir) {
		rep.Aside = filepath.Join(o.Dir, asidePrefix+time.Now().UTC().Format("20060102T150405Z"))
		if err := os.Mkdir(rep.Aside, 0o700); err != nil {
			return rep, fmt.Errorf("restore: %w", err)
		}
	}
	if err := writeSynced(filepath.Join(o.Dir, switching), filepath.Base(rep.Aside)); err != nil {
		return rep, fmt.Errorf("restore: %w", err)
	}
	return rep, finish(o.Dir)
}

// claim sees to it that nobody else uses the directory, and that it may be used.
func claim(dir string, force bool) (release func(), err error) {
	if err := clearRemains(dir); err != nil {
		return nil, err
	}
	if !force {
		return func() {}, refuseOccupied(dir)
	}
	unlock, err := persist.Lock(StorePath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return func() { _ = unlock() }, nil // the lock ends with the process anyway
}

// clearRemains takes away what an earlier restore left, unless it still runs, and finishes one that was all but done.
func clearRemains(dir string) error {
	if exists(dir, switching) {
		return finish(dir)
	}
	if !exists(dir, building) {
		return nil
	}
	unlock, err := persist.Lock(filepath.Join(dir, building, storeFolder))
	if errors.Is(err, persist.ErrLocked) {
		return fmt.Errorf("restore: another restore into %s is under way: %w", dir, err)
	}
	if err == nil {
		err = unlock()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	return os.RemoveAll(filepath.Join(dir, building))
}

// ours are the entries of a data directory that hold something.
var ours = []string{p2p.IdentityFolder, storeFolder}

func occupied(dir string) bool {
	return slices.ContainsFunc(ours, func(name string) bool { return exists(dir, name) })
}

func refuseOccupied(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "lost+found" || strings.HasPrefix(e.Name(), asidePrefix) {
			continue
		}
		return fmt.Errorf("restore: %s is %w, it holds %s: choose another --data-dir, or let --force move the node that is there aside", dir, ErrNotEmpty, e.Name())
	}
	return nil
}

func build(ctx context.Context, r io.Reader, o Options, rep *Report) (err error) {
	within := filepath.Join(o.Dir, building)
	if err := os.Mkdir(within, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	o.Restore.Dir = filepath.Join(within, storeFolder)
	if rep.RestoreReport, err = persist.RestoreBackup(ctx, r, o.Restore); err != nil {
		return err
	}
	files := map[string][]byte{}
	for _, f := range rep.Files {
		files[f.Name] = f.Data
	}
	rep.AsNewNode = rep.Node == ""
	if err := p2p.PutIdentity(within, files); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncDir(within)
}

// finish puts what was built in place, and what is there aside. Each step can be repeated.
func finish(dir string) error {
	aside, err := os.ReadFile(filepath.Join(dir, switching))
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for _, name := range ours {
		if err := replace(dir, name, filepath.Base(string(aside))); err != nil {
			return fmt.Errorf("restore: put %s in place: %w", name, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, building)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, switching)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncDir(dir)
}

// replace does nothing where the new one is in place already.
func replace(dir, name, aside string) error {
	if !exists(filepath.Join(dir, building), name) {
		return nil
	}
	if exists(dir, name) {
		to := filepath.Join(dir, aside)
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(to, name)); err != nil {
			return err
		}
		if err := syncDir(to); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(dir, building, name), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path)))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

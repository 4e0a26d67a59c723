package p2p

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Everything this package keeps is secret or names a secret's owner: nobody else may read it.
const (
	privateFile = 0o600
	privateDir  = 0o700
)

// writeDurable replaces the file at path by data, so that after a crash at any moment the file holds
// either all of the old or all of the new: write aside, sync, rename, sync the directory.
func writeDurable(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // no effect once renamed
	if err := fillAndSync(tmp, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func fillAndSync(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Chmod(privateFile), f.Sync(), f.Close())
}

// makeDurable makes a directory so that a power cut does not take it away again, and the node's identity with it. A parent
// that this user may not read is not one in which it made a directory.
func makeDurable(dir string) error {
	if err := os.MkdirAll(dir, privateDir); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// removeDurable removes the file at path; a file that is not there is removed already.
func removeDurable(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readIfThere reads a small file whole; ok is false if there is none.
func readIfThere(path string) (data []byte, ok bool, err error) {
	data, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return data, err == nil, err
}

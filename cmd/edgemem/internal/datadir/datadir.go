package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/edgemem/edgemem/p2p"
	"github.com/edgemem/edgemem/persist"
)

const (
	storeFolder = "store"
	building    = "restoring"
	switching   = "RESTORING"
	asidePrefix = "before-restore-"
)

// ErrCutOff: a restore into the directory was cut off before it was whole, and nothing else is there.
var ErrCutOff = errors.New("a restore was cut off")

// StorePath is where the store of a data directory is.
func StorePath(dir string) string { return filepath.Join(dir, storeFolder) }

// Profile is what a store on a node of the tier is opened with.
func Profile(tier string) persist.Profile {
	if tier == "device" {
		return persist.ProfileDevice
	}
	return persist.ProfileServer
}

// Ready makes the directory and finishes a restore that died while it put things in place. It refuses where one died before, and
// would be taken for a new node's.
func Ready(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// What is synced within lasts no longer than its own name does.
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if exists(dir, switching) {
		log.Warn("finishing a restore that was cut off", "data_dir", dir)
		return finish(dir)
	}
	if !exists(dir, building) {
		return nil
	}
	if !exists(dir, storeFolder) {
		return fmt.Errorf("%w: %s holds parts of a backup only; run 'edgemem restore' again, or delete it to begin empty",
			ErrCutOff, filepath.Join(dir, building))
	}
	log.Warn("a restore was cut off before it changed anything; what it built can be deleted", "folder", filepath.Join(dir, building))
	return nil
}

func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return !errors.Is(err, fs.ErrNotExist)
}

// HasStore reports whether there is a store.
func HasStore(dir string) bool { return exists(dir, storeFolder) }

// Backup says how to back up the node of a data directory; program is what makes the backup. asNew leaves out who the node is.
func Backup(dir, program string, asNew bool) (persist.Backup, error) {
	who, err := p2p.Identity(dir)
	if err != nil {
		return persist.Backup{}, fmt.Errorf("backup: %w", err)
	}
	o := persist.Backup{By: program, Name: who.Name}
	if asNew {
		return o, nil
	}
	o.Node = string(who.ID)
	for _, name := range slices.Sorted(maps.Keys(who.Files)) {
		o.Files = append(o.Files, persist.BackupFile{Name: name, Data: who.Files[name]})
	}
	return o, nil
}

package datadir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/edgemem/edgemem/persist"
)

const (
	damagedPrefix = "damaged-"
	salvagedFile  = "salvaged.bak"
)

// RepairReport is what a repair did.
type RepairReport struct {
	Aside    string               `json:"aside"`    // folder with the damaged store, as it was
	Salvaged string               `json:"salvaged"` // backup with every readable record, those of dropped regions too
	Records  uint64               `json:"records"`  // that the new store has
	Dropped  []persist.LostRegion `json:"dropped,omitempty"`
	KeptTorn bool                 `json:"kept_torn,omitempty"`
}

// Repair replaces the damaged store of a data directory by a new one with all that is whole, and moves the damaged one aside. keepTorn keeps
// regions that may lack records. It dies as safely as a restore does.
func Repair(ctx context.Context, dir string, key []byte, keepTorn bool, progress func(persist.BackupProgress)) (rep RepairReport, err error) {
	if err := clearRemains(dir); err != nil {
		return rep, err
	}
	within := filepath.Join(dir, building)
	if err := os.Mkdir(within, 0o700); err != nil {
		return rep, fmt.Errorf("repair: %w", err)
	}
	salvaged := filepath.Join(within, salvagedFile)
	if err := rep.rebuild(ctx, dir, salvaged, key, keepTorn, progress); err != nil {
		return rep, errors.Join(fmt.Errorf("repair: %w", err), os.RemoveAll(within))
	}
	rep.Aside = filepath.Join(dir, damagedPrefix+time.Now().UTC().Format("20060102T150405Z"))
	rep.Salvaged = filepath.Join(rep.Aside, salvagedFile)
	if err := os.Mkdir(rep.Aside, 0o700); err != nil {
		return rep, fmt.Errorf("repair: %w", err)
	}
	if err := errors.Join(os.Rename(salvaged, rep.Salvaged), syncDir(rep.Aside), syncDir(within)); err != nil {
		return rep, fmt.Errorf("repair: %w", err)
	}
	if err := writeSynced(filepath.Join(dir, switching), filepath.Base(rep.Aside)); err != nil {
		return rep, fmt.Errorf("repair: %w", err)
	}
	return rep, finish(dir)
}

func (rep *RepairReport) rebuild(ctx context.Context, dir, salvaged string, key []byte, keepTorn bool, progress func(persist.BackupProgress)) error {
	f, err := os.OpenFile(salvaged, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	s, err := persist.SalvageBackup(ctx, StorePath(dir), key, out, persist.Backup{By: "edgemem doctor --repair"})
	if err != nil {
		return err
	}
	if err := errors.Join(out.Flush(), f.Sync()); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	made, err := persist.RestoreBackup(ctx, bufio.NewReaderSize(f, 1<<20), persist.Restore{
		Dir: filepath.Join(filepath.Dir(salvaged), storeFolder), Key: key, BackupKey: key, KeepTorn: keepTorn, Salvaged: s, Progress: progress,
	})
	rep.Records, rep.Dropped, rep.KeptTorn = made.Records, made.Dropped, keepTorn && len(made.Dropped) > 0
	if !keepTorn {
		for _, r := range made.Dropped {
			rep.Records -= uint64(r.Records)
		}
	}
	return err
}

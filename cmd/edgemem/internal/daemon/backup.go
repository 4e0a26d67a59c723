package daemon

import (
	"context"
	"errors"
	"io"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/fabric"
)

// Backup brings to disk what was written so far, and backs up what is on disk.
func (b backend) Backup(ctx context.Context, w io.Writer, o control.BackupOptions) (control.BackupReport, error) {
	behind, err := b.bring(ctx)
	if err != nil {
		return control.BackupReport{}, err
	}
	how, err := datadir.Backup(b.cfg.DataDir, "edgemem "+build.Get().Version, o.AsNewNode)
	if err != nil {
		return control.BackupReport{}, err
	}
	how.Plain = o.Plain
	rep, err := b.store.Backup(ctx, w, how)
	rep.Behind = behind
	return rep, err
}

// bring brings what is in memory to disk. On a full disk what is there already is worth a backup, and a checkpoint makes room.
func (b backend) bring(ctx context.Context) (behind string, err error) {
	err = b.fabric.Sync(ctx)
	if errors.Is(err, fabric.ErrDiskFull) {
		return err.Error(), nil
	}
	return "", explain(err)
}

// Checkpoint brings to disk what was written so far, and tidies the disk.
func (b backend) Checkpoint(ctx context.Context) (control.Checkpoint, error) {
	if _, err := b.bring(ctx); err != nil {
		return control.Checkpoint{}, err
	}
	return b.store.Checkpoint(ctx)
}

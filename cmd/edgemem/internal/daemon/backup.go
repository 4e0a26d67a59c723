package daemon

import (
	"context"
	"io"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
)

// Backup brings to disk what was written so far, and backs up what is on disk.
func (b backend) Backup(ctx context.Context, w io.Writer, o control.BackupOptions) (control.BackupReport, error) {
	if err := b.fabric.Sync(ctx); err != nil {
		return control.BackupReport{}, explain(err)
	}
	how, err := datadir.Backup(b.cfg.DataDir, "edgemem "+build.Get().Version, o.AsNewNode)
	if err != nil {
		return control.BackupReport{}, err
	}
	how.Plain = o.Plain
	return b.store.Backup(ctx, w, how)
}

// Checkpoint brings to disk what was written so far, and tidies the disk.
func (b backend) Checkpoint(ctx context.Context) (control.Checkpoint, error) {
	if err := b.fabric.Sync(ctx); err != nil {
		return control.Checkpoint{}, explain(err)
	}
	return b.store.Checkpoint(ctx)
}

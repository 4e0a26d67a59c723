package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/persist"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the node into a file, while it runs or is stopped",
		Long: `Back up the node into FILE, or to standard output if FILE is -. A running node is asked
for it, and writes go on: all that was written before is in the backup, and it shows one
instant. Of a stopped node the data directory is read. The file comes into being whole
or not at all, and carries checksums and an end, so that a cut or changed one is told.

The backup holds the node's keys, so that a restore is the same node again: keep the
file as safe as the data directory. --as-new-node leaves the keys out, for a backup that
is to fill another node of the same fabric.

A backup of an encrypted store (--key-file) is encrypted with a key drawn from the same
one, and needs that to be restored; --plain leaves it readable. That of a plain store is
not encrypted.

Backups are restored by this and later versions of edgemem. Progress is a bar on a
terminal, and elsewhere JSON, a line a second, on standard error.`,
		Example: `  edgemem backup /mnt/backup/kiosk-7.bak
  edgemem backup --as-new-node seed.bak
  edgemem backup - | ssh vault 'cat > kiosk-7.bak'`,
		Args: args(1, 1, "one FILE"),
	}
	addStore(cmd)
	o := outputFlag(cmd)
	var how control.BackupOptions
	cmd.Flags().BoolVar(&how.AsNewNode, "as-new-node", false, "leave the node's keys out")
	cmd.Flags().BoolVar(&how.Plain, "plain", false, "do not encrypt the backup of an encrypted store")
	force := cmd.Flags().Bool("force", false, "replace FILE if it is there")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := settingsOf(cmd)
		if err != nil {
			return err
		}
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		out, err := newBackupFile(cmd, args[0], *force)
		if err != nil {
			return err
		}
		rep, err := backUp(ctx, cmd, c, out, how)
		if err := errors.Join(err, out.end(err == nil)); err != nil {
			return err
		}
		return printBackup(cmd, o, args[0], rep)
	}
	return cmd
}

// backUp asks the daemon or, if there is none, reads the store. What is written is checked as it passes.
func backUp(ctx context.Context, cmd *cobra.Command, c config.Config, out io.Writer, how control.BackupOptions) (persist.BackupReport, error) {
	m := newMeter(cmd.ErrOrStderr(), "backup", "bytes")
	defer m.done()
	client := control.NewClient(c.DataDir)
	defer client.Close()
	rep, err := checked(out, m, func(w io.Writer) (persist.BackupReport, error) { return client.Backup(ctx, w, how) })
	if !errors.Is(err, control.ErrUnreachable) || !datadir.HasStore(c.DataDir) || rep.Stored > 0 {
		return rep, err
	}
	store, err := openStopped(cmd, c)
	if err != nil {
		return rep, err
	}
	rep, err = checked(out, m, func(w io.Writer) (persist.BackupReport, error) {
		b, err := datadir.Backup(c.DataDir, "edgemem "+build.Get().Version, how.AsNewNode)
		if err != nil {
			return rep, err
		}
		b.Plain = how.Plain
		return store.Backup(ctx, w, b)
	})
	return rep, errors.Join(err, store.Close())
}

// checked reads back what make writes to w.
func checked(w io.Writer, m *meter, make func(io.Writer) (persist.BackupReport, error)) (persist.BackupReport, error) {
	r, pipe := io.Pipe()
	result := newResult()
	go func() {
		_, err := persist.CheckBackup(r, func(about persist.BackupAbout, p persist.BackupProgress) { m.reach(p.Bytes, about.Bytes, p.Stored) })
		r.CloseWithError(err) // of a sound one nothing is left to be written
		result <- err
	}()
	rep, err := make(io.MultiWriter(w, pipe))
	pipe.CloseWithError(err)
	if sound := <-result; err == nil && sound != nil {
		err = fmt.Errorf("what was written is not sound: %w", sound)
	}
	return rep, err
}

// newResult makes a channel for one answer, which never blocks its sender.
func newResult() chan error { return make(chan error, 1) }

// backupFile is what a backup is written to: a file aside that takes its name at the end, or standard output.
type backupFile struct {
	io.Writer
	f    *os.File // nil: standard output
	path string
}

func newBackupFile(cmd *cobra.Command, path string, force bool) (*backupFile, error) {
	if path == "-" {
		if isTerminal(cmd.OutOrStdout()) {
			return nil, usagef("a backup is not for a terminal: redirect standard output, or name a FILE")
		}
		return &backupFile{Writer: cmd.OutOrStdout()}, nil
	}
	if _, err := os.Lstat(path); err == nil && !force {
		return nil, fmt.Errorf("%s is there already: choose another FILE, or replace it with --force", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part") // for its owner alone
	if err != nil {
		return nil, err
	}
	return &backupFile{f, f, path}, nil
}

// end gives the file its name, durably, or takes it away.
func (b *backupFile) end(good bool) error {
	if b.f == nil {
		return nil
	}
	if !good {
		return errors.Join(b.f.Close(), os.Remove(b.f.Name()))
	}
	if err := errors.Join(b.f.Sync(), b.f.Close()); err != nil {
		return errors.Join(err, os.Remove(b.f.Name()))
	}
	if err := os.Rename(b.f.Name(), b.path); err != nil {
		return errors.Join(err, os.Remove(b.f.Name()))
	}
	return syncFolder(filepath.Dir(b.path))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// printBackup reports on standard error where the backup itself went to standard output.
func printBackup(cmd *cobra.Command, o *output, path string, rep persist.BackupReport) error {
	w, where := cmd.OutOrStdout(), path
	if path == "-" {
		w, where = cmd.ErrOrStderr(), "standard output"
	}
	if o.structured() {
		return o.print(w, struct {
			File string `json:"file"`
			persist.BackupReport
		}{path, rep})
	}
	lock := "not encrypted"
	if rep.Encrypted {
		lock = "encrypted: it needs the key of this store"
	}
	keys := "it holds no keys: it fills a new node"
	if len(rep.Files) > 0 {
		keys = "it holds this node's keys: keep it as safe as the data directory"
	}
	if rep.Behind != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "edgemem: warning: what the node holds in memory only is not in the backup: %s\n", rep.Behind)
	}
	_, err := fmt.Fprintf(w, "backed up %s records, %s, as %s to %s; %s; %s\n",
		formatCount(int(rep.Records)), formatBytes(rep.Bytes), formatBytes(rep.Stored), where, lock, keys)
	return err
}

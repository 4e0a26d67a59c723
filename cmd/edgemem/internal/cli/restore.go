package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/persist"
)

// errDegraded ends a command that did what it could and less than it should.
var errDegraded = errors.New("not all is in order")

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data directory of a backup",
		Long: `Make a data directory of the backup in FILE, or from standard input if FILE is -. All of
the backup is read and verified before anything is put in place; a restore that fails
or is killed leaves what was there. The directory must be empty, or --force moves the
node that is there aside, into before-restore-TIME; that node must be stopped.

By default the restored node is the one that was backed up, with its keys and its place
in the fabric. It must not run beside the original. What it wrote since comes back from
its peers, and it writes as a new incarnation, so nothing is overwritten. With
--as-new-node, or of a backup that was made so, it is a new node with the same data: run
it with --join and a ticket of the same fabric.

An encrypted backup needs the key of the store that it was made of: --key-file, or
--backup-key-file where the new store is to have another key, or none. --key-file encrypts
the new store; so a backup and a restore move a plain store into an encrypted one.

From a damaged backup nothing is restored, unless --partial says so. Then regions that
lost records are left out and named, and the exit code is 6: other nodes would take
what is missing in them for removed. --keep-torn keeps what is readable of them, which
is right only where no other node has them.`,
		Example: `  edgemem restore kiosk-7.bak --data-dir /var/lib/edgemem
  edgemem restore seed.bak --data-dir /tmp/b --as-new-node && edgemem run --data-dir /tmp/b --join TICKET
  ssh vault cat kiosk-7.bak | edgemem restore - --data-dir /var/lib/edgemem --key-file /etc/edgemem/key`,
		Args: args(1, 1, "one FILE"),
	}
	addStore(cmd)
	out := outputFlag(cmd)
	var o datadir.Options
	cmd.Flags().BoolVar(&o.Force, "force", false, "move the node that is in the data directory aside")
	cmd.Flags().BoolVar(&o.WithoutNode, "as-new-node", false, "leave out the keys that the backup holds")
	cmd.Flags().BoolVar(&o.Partial, "partial", false, "take what is readable of a damaged backup")
	cmd.Flags().BoolVar(&o.KeepTorn, "keep-torn", false, "with --partial: keep regions that lost records")
	backupKey := cmd.Flags().String("backup-key-file", "", "`FILE` with the key of the backup, where it is not that of --key-file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := settingsOf(cmd)
		if err != nil {
			return err
		}
		if o.KeepTorn && !o.Partial {
			return usagef("--keep-torn has a meaning with --partial only")
		}
		o.Dir = c.DataDir
		if o.Key, o.BackupKey, err = restoreKeys(c, *backupKey); err != nil {
			return err
		}
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		rep, err := restoreFrom(ctx, cmd, args[0], o)
		if err != nil {
			return err
		}
		return printRestore(cmd.OutOrStdout(), out, rep)
	}
	return cmd
}

// restoreKeys gives the keys of the new store and of the backup.
func restoreKeys(c config.Config, backupFile string) (store, backup []byte, err error) {
	if store, err = c.Key(); err != nil || backupFile == "" {
		return store, store, err
	}
	if backup, err = config.ReadKey(backupFile); err != nil {
		return nil, nil, usagef("--backup-key-file: %w", err)
	}
	return store, backup, nil
}

// restoreHeapBytes makes the collector work, so that a restore fits a small device.
const restoreHeapBytes = 64 << 20

func restoreFrom(ctx context.Context, cmd *cobra.Command, path string, o datadir.Options) (datadir.Report, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return datadir.Report{}, err
		}
		defer f.Close()
		in = f
	}
	debug.SetMemoryLimit(restoreHeapBytes)
	m := newMeter(cmd.ErrOrStderr(), "restore", "records")
	defer m.done()
	o.Progress = func(p persist.BackupProgress) { m.reach(int64(p.Records), int64(p.Of), p.Stored) }
	o.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	rep, err := datadir.Restore(ctx, bufio.NewReaderSize(in, 1<<20), o)
	if errors.Is(err, persist.ErrKey) {
		err = fmt.Errorf("--key-file: %w", err)
	}
	return rep, err
}

func printRestore(w io.Writer, o *output, rep datadir.Report) error {
	print := printRestoreText
	if o.structured() {
		print = func(w io.Writer, rep datadir.Report) error { return o.print(w, rep) }
	}
	if err := print(w, rep); err != nil {
		return err
	}
	if !rep.Whole {
		return fmt.Errorf("%w: the backup is damaged, and %d regions lost records", errDegraded, len(rep.Dropped))
	}
	return nil
}

func printRestoreText(w io.Writer, rep datadir.Report) error {
	a := rep.About
	t := newTable(w)
	t.row("backup", fmt.Sprintf("of %s, made %s by %s", cmp.Or(a.Name, "a node without a name"), a.Made, cmp.Or(a.By, "an unknown program")))
	t.row("restored", fmt.Sprintf("%s of %s records, %s, into %s", formatCount(int(rep.Records)), formatCount(int(rep.Of)), formatBytes(rep.Bytes), rep.Dir))
	if rep.Aside != "" {
		t.row("aside", "what was there is in "+rep.Aside)
	}
	if rep.Sealed {
		t.row("store", "encrypted with --key-file")
	} else {
		t.row("store", "not encrypted")
	}
	if rep.AsNewNode {
		t.row("node", "a new one: run it with --join TICKET, of the same fabric")
	} else {
		t.row("node", rep.Node+", the one that was backed up: it must not run beside the original")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range rep.Lost {
		fmt.Fprintf(w, "lost: %s\n", l)
	}
	for _, d := range rep.Dropped {
		fmt.Fprintf(w, "region %s is not whole; %s of its records were readable\n", d.Name, formatCount(d.Records))
	}
	return nil
}

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
)

func checkpointCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Bring all to disk now, and give back disk that nothing lives in",
		Long: `Bring all that was written so far to disk, write what is in logs into tables, drop what
was overwritten or removed, and collect the value log, now. The node does all of this by
itself, by and by. Writes that wait for the disk wait for the first part.

Of a stopped node the store is opened for it.`,
		Example: `  edgemem checkpoint
  edgemem checkpoint -o json | jq .after`,
		Args: args(0, 0, ""),
	}
	addStore(cmd)
	o := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		did, err := checkpoint(cmd)
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), did)
		}
		return printCheckpoint(cmd.OutOrStdout(), did)
	}
	return cmd
}

func checkpoint(cmd *cobra.Command) (did control.Checkpoint, err error) {
	c, err := settingsOf(cmd)
	if err != nil {
		return did, err
	}
	ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	client := control.NewClient(c.DataDir)
	defer client.Close()
	did, err = client.Checkpoint(ctx)
	if !errors.Is(err, control.ErrUnreachable) || !datadir.HasStore(c.DataDir) {
		return did, err
	}
	s, err := openStopped(cmd, c)
	if err != nil {
		return did, err
	}
	did, err = s.Checkpoint(ctx)
	return did, errors.Join(err, s.Close())
}

func printCheckpoint(w io.Writer, did control.Checkpoint) error {
	t := newTable(w)
	t.row("commit", formatCount(int(did.Commit)))
	t.row("tables", formatBytes(did.Before.Tables)+" → "+formatBytes(did.After.Tables))
	t.row("journal", formatBytes(did.Before.Journal)+" → "+formatBytes(did.After.Journal))
	t.row("logs", formatBytes(did.Before.Logs)+" → "+formatBytes(did.After.Logs))
	t.row("value logs", fmt.Sprintf("%s → %s, %d files freed", formatBytes(did.Before.ValueLogs), formatBytes(did.After.ValueLogs), did.Files))
	t.row("took", did.Took.Round(time.Millisecond).String())
	if did.CollectFailed != "" {
		t.row("not collected", did.CollectFailed)
	}
	return t.Flush()
}

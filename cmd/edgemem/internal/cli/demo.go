package cli

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/demo"
)

// demoRecords is enough for tens of thousands of entries, and little enough for a slow machine.
const demoRecords = 50_000

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start three nodes, load real data, part and rejoin them, and prove the outcome",
		Long: `Start three nodes on this machine, each a process of its own: a device, an edge server
and a cloud. Load real data into the device: by default this machine's package database,
or else the metadata of its files. Read a region of the cloud at the edge until it has
moved there. Take the device off line, write on both sides against
each other, bring it back, and prove the outcome: read every key of every node and
compare it with what must be there.

It needs no set-up, no root and no network, and leaves nothing behind. The exit code is 1
if anything does not hold.

--input takes NDJSON (one JSON object a line), CSV or TSV (the first line names the
columns), also gzipped. The key of a record is the field named by --key, else key, id,
_id or name, else the line number (NDJSON) or the first column (CSV).`,
		Example: `  edgemem demo
  edgemem demo --input orders.csv.gz --key order_id
  edgemem demo --keep`,
		Args: args(0, 0, ""),
	}
	var o demo.Options
	cmd.Flags().StringVar(&o.Input, "input", "", "load `FILE` instead of this machine's data")
	cmd.Flags().StringVar(&o.Key, "key", "", "the `FIELD` of --input that is the key")
	cmd.Flags().IntVar(&o.Limit, "records", demoRecords, "load at most `N` records; 0 loads all")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the mesh running until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Limit < 0 {
			return usagef("--records %d: want 0 or more", o.Limit)
		}
		ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer cancel()
		o.Out = cmd.OutOrStdout()
		return demo.Run(ctx, o)
	}
	return cmd
}

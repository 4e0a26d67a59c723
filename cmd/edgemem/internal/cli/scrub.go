package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// errFound makes a scrub that found something fail, for scripts.
var errFound = fmt.Errorf("the scrub found something; 'edgemem alarms' says what to do")

func scrubCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scrub [REGION]",
		Short: "Check now that memory, disk and other nodes agree",
		Long: `Check all regions now, or one. The digest is recomputed from the entries; for regions of up
to 4,096 values also counts and indexes. What is on disk is read back, 4 MiB a second,
and held against the memory: a wrong record is written anew, a wrong value in memory is
read back. Then every connected node that has seen the same must hold the same; where
it does not, each side writes again what the other lacks. The daemon does all this by
itself, slowly and always; see --scrub-every of 'edgemem run'.

A region of which another node has not seen exactly the same, because something is on
its way, cannot be compared then; it counts as moving.

Exits with 1 if something was found or a node could not be compared with.`,
		Example: `  edgemem scrub
  edgemem scrub default -o json | jq .findings`,
		Args: args(0, 1, "at most one REGION"),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		region := ""
		if len(args) > 0 {
			region = args[0]
		}
		rep, err := c.Scrub(ctx, region)
		if err != nil {
			return err
		}
		if o.structured() {
			err = o.print(cmd.OutOrStdout(), rep)
		} else {
			err = printScrub(cmd.OutOrStdout(), rep)
		}
		if err == nil && len(rep.Findings)+len(rep.Failed) > 0 {
			err = errFound
		}
		return err
	})
	return cmd
}

func printScrub(w io.Writer, rep control.ScrubReport) error {
	t := newTable(w)
	t.row("regions", formatCount(rep.Regions))
	t.row("recomputed", formatCount(rep.Audited))
	t.row("read back", formatCount(rep.Records)+" records from disk")
	t.row("compared", fmt.Sprintf("%s regions with %s nodes, %s moving", formatCount(rep.Compared), formatCount(rep.Peers), formatCount(rep.Moving)))
	t.row("found", formatCount(len(rep.Findings)))
	if err := t.Flush(); err != nil {
		return err
	}
	for _, x := range rep.Findings {
		fmt.Fprintf(w, "%s: %s\n", x.Region, x.Detail)
	}
	for _, x := range rep.Failed {
		fmt.Fprintf(w, "not compared: %s\n", x)
	}
	return nil
}

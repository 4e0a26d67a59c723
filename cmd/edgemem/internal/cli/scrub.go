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
		Short: "Check now that memory is in order and that nodes agree",
		Long: `Check all regions now, or one: that what the node keeps beside its entries (digest, counts,
indexes) is what the entries give, and that every connected node that has seen the same
holds the same. What differs is mended: each side writes again what the other lacks. The
daemon does this by itself, slowly and always; see --scrub-every of 'edgemem run'.

Regions of more than 4,096 values are compared with other nodes, and not recomputed:
that would hold up their readers. A region of which another node has not seen exactly
the same, because something is on its way, cannot be compared then; it counts as moving.

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
		if o.json() {
			err = printJSON(cmd.OutOrStdout(), rep)
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
	t.row("recomputed", fmt.Sprintf("%s, %s too large for that", formatCount(rep.Audited), formatCount(rep.TooLarge)))
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

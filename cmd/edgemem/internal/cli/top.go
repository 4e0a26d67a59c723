package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/top"
)

// topEveryMin keeps a view from taking more of a node than it shows.
const topEveryMin = 100 * time.Millisecond

func topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the node live: memory, mesh, peers, and what each region does",
		Long: `Watch the node live: memory, mesh, disk, alarms, peers, and of each region entries, memory,
writes made here, writes merged, and how many of them the peer that is furthest behind lacks.

  q quit   s sort by writes, memory, lag or name   p pause   ↑ ↓ scroll the regions

Where standard output is no terminal, or with -o json, it prints one JSON object an interval;
-n ends it after so many.`,
		Example: `  edgemem top
  edgemem top --every 5s
  edgemem top -o json -n 10 | jq .writes_per_s`,
		Args: args(0, 0, ""),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	every := cmd.Flags().Duration("every", time.Second, "`TIME` between two looks at the node")
	count := cmd.Flags().IntP("count", "n", 0, "end after so many, when it prints objects; 0: never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *every < topEveryMin {
			return usagef("--every %v: want at least %v", *every, topEveryMin)
		}
		ctx, c, done, err := connect(cmd)
		if err != nil {
			return err
		}
		defer done()
		if _, err := c.Status(ctx); err != nil { // a screen would hide why there is nothing to show
			return err
		}
		if !o.structured() && isTerminal(cmd.OutOrStdout()) {
			return top.Run(ctx, c.Status, *every)
		}
		return printRates(ctx, cmd, c, o, *every, *count)
	}
	return cmd
}

// printRates prints what happened in each interval.
func printRates(ctx context.Context, cmd *cobra.Command, c *control.Client, o *output, every time.Duration, count int) error {
	if !o.structured() {
		*o = "json"
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	before, err := c.Status(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	for n := 0; count <= 0 || n < count; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, err := c.Status(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the node no longer answers: %w", err)
		}
		r := top.Between(before, now, time.Since(at))
		before, at = now, time.Now()
		r.At = at
		if err := o.line(cmd.OutOrStdout(), r); err != nil {
			return err
		}
	}
	return nil
}

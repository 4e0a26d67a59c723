package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/fabric"
)

func regionExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say where the copies of a region are, who uses it, and why copies moved or did not",
		Long: `Say where the copies of a region are and why. One of its holders decides, the connected one with
the least id: what it sees is shown, from whatever node it is asked. LEVEL is what the reads at a node, and at those
below it, have paid of the cost of moving a copy there; writes from elsewhere take from it. From the level that is
named on a node is to have a copy, and below it it gives one up, as far as the least copies, tiers, labels and memory
allow. UPSTREAM is the next node outward, and RTT the round trip to it. READS/S and WRITES/S decay by half in 5 minutes.

Then what the last look decided, also what something hinders, and the last 8 moves, each with the rule and the numbers
that caused it.`,
		Example: `  edgemem region explain maps
  edgemem region explain maps -o json | jq '.moves[] | {at, move, node, why}'
  edgemem region create maps --min-copies 3 --dry-run`,
		Args: args(1, 1, "one NAME"),
	}
	o := outputFlag(cmd)
	addClient(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		return explainTo(ctx, cmd.OutOrStdout(), c, o, args[0], nil, printExplanation)
	})
	return cmd
}

// explainTo asks for an explanation, of the region as it is or as it would be, and prints it, with names of nodes where people read it.
func explainTo(ctx context.Context, w io.Writer, c *control.Client, o *output, region string, try *control.RegionOptions,
	print func(io.Writer, control.Explanation, map[string]string) error) error {
	x, err := c.ExplainRegion(ctx, region, try)
	if err != nil {
		return err
	}
	if o.structured() {
		return o.print(w, x)
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	return print(w, x, namesIn(s))
}

// printPlan tells what would move.
func printPlan(w io.Writer, x control.Explanation, names map[string]string) error {
	switch {
	case x.Planned == nil:
		_, err := fmt.Fprintf(w, "region %s: no node that decides on its copies is connected; what would move is not known\n", x.Region)
		return err
	case len(*x.Planned) == 0:
		_, err := fmt.Fprintf(w, "region %s: nothing would move; held by %s\n", x.Region, holdersOf(control.Region{RegionStatus: fabric.RegionStatus{Holders: x.Holders}}))
		return err
	}
	fmt.Fprintf(w, "region %s: what would move at once, if it were so; nothing has changed\n", x.Region)
	return printMoves(w, *x.Planned, names)
}

func printExplanation(w io.Writer, x control.Explanation, names map[string]string) error {
	status := control.Region{RegionStatus: fabric.RegionStatus{Placement: x.Placement, MinCopies: x.MinCopies, Tiers: x.Tiers, Labels: x.Labels, Holders: x.Holders}}
	t := newTable(w)
	t.row("region", x.Region)
	t.row("placement", placementOf(status))
	t.row("holders", holdersOf(status))
	if x.Decider != nil {
		t.row("decided by", cmp.Or(x.Decider.Name, short(string(x.Decider.ID), 12)))
		t.row("a copy takes", formatBytes(x.Bytes))
		t.row("a copy comes", fmt.Sprintf("at level %.3f", x.Gain))
	} else {
		t.row("decided by", "nobody that is connected, or the region is everywhere")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printPlaced(w, x, names); err != nil {
		return err
	}
	for _, list := range []struct {
		head  string
		moves []fabric.MoveRecord
	}{{"UNDER WAY", x.Moving}, {"DECIDED LAST", x.Decisions}, {"LAST MOVES", x.Moves}} {
		if len(list.moves) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", list.head)
		if err := printMoves(w, list.moves, names); err != nil {
			return err
		}
	}
	return nil
}

// printPlaced lists the nodes that matter to the region.
func printPlaced(w io.Writer, x control.Explanation, names map[string]string) error {
	if len(x.Nodes) == 0 {
		return nil
	}
	use := map[string]fabric.Consumer{}
	for _, c := range x.Consumers {
		use[string(c.ID)] = c
	}
	fmt.Fprintln(w)
	t := newTable(w)
	t.row("NODE", "TIER", "COPY", "LEVEL", "UPSTREAM", "RTT", "READS/S", "WRITES/S", "NOTES")
	for _, n := range x.Nodes {
		holds, level, up, rtt := "–", fmt.Sprintf("%.3f", n.Level), nameOf(string(n.Upstream), names), formatMillis(n.RTTMS)
		if n.Holds {
			holds = "yes"
		}
		if n.Upstream == "" {
			level, up, rtt = "–", "–", "–"
		}
		c := use[string(n.ID)]
		t.row(cmp.Or(n.Name, short(string(n.ID), 12)), n.Tier, holds, level, up, rtt, fmt.Sprintf("%.1f", c.Reads), fmt.Sprintf("%.1f", c.Writes), notesOf(n))
	}
	return t.Flush()
}

func notesOf(n fabric.PlacedNode) string {
	var notes []string
	if n.Upstream == "" {
		notes = append(notes, "home")
	}
	if n.LostMS > 0 {
		notes = append(notes, "not reached for "+duration(n.LostMS).String())
	}
	if n.Pressure != "" {
		notes = append(notes, "memory pressure: "+n.Pressure)
	}
	if n.Money > 0 {
		notes = append(notes, fmt.Sprintf("metered: %g a GiB", n.Money))
	}
	if n.Energy > 0 {
		notes = append(notes, fmt.Sprintf("battery: %g J a MiB", n.Energy))
	}
	if n.Refused != "" {
		notes = append(notes, "refused: "+n.Refused)
	}
	return cmp.Or(strings.Join(notes, "; "), "–")
}

func printMoves(w io.Writer, moves []fabric.MoveRecord, names map[string]string) error {
	t := newTable(w)
	t.row("WHEN", "MOVE", "NODE", "TOOK", "WHY")
	for _, m := range moves {
		why := m.Why
		if m.Error != "" {
			why += "; failed: " + m.Error
		}
		for id, name := range names {
			if name != "" {
				why = strings.ReplaceAll(why, id, name)
			}
		}
		node, took := "–", "–"
		if m.Node != "" {
			node = nameOf(string(m.Node), names)
		}
		if m.TookMS > 0 {
			took = formatMillis(float64(m.TookMS))
		}
		t.row(m.At.Local().Format(time.DateTime), m.Move, node, took, why)
	}
	return t.Flush()
}

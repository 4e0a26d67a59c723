package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/fabric"
)

func nodeCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "node",
		Short: "List the nodes of the fabric, or retire one",
		Long: `The nodes of the fabric, as far as this one knows: which writes as what, who was heard of
when, how far each is behind, and which will not come back.`,
		Example: `  edgemem node list
  edgemem node retire kiosk-7`,
	}, nodeListCommand(), nodeRetireCommand())
}

func nodeListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the nodes: who is here, away, dark or retired, and how far behind",
		Long: `List the nodes of the fabric. A node is dark when nothing was heard of it for ten minutes,
neither from itself nor by writes of it that others passed on: it may hold writes that
nobody has seen. LACKS sums over all regions what this node has seen and the other was
last heard to lack; its bytes are an estimate by the mean size of an entry, its time is
the age of the oldest such write.`,
		Example: `  edgemem node list
  edgemem node list -o json | jq -r '.[] | select(.dark) | .name'`,
		Args: args(0, 0, ""),
	}
	addClient(cmd)
	cmd.RunE = showStatus(cmd, func(s control.Status) any { return s.Nodes }, func(w io.Writer, s control.Status) error {
		return printNodes(w, s.Nodes, time.Now())
	})
	return cmd
}

func printNodes(w io.Writer, nodes []control.Member, now time.Time) error {
	t := newTable(w)
	t.row("NODE", "TIER", "STATE", "HEARD OF", "LACKS", "WRITES AS", "ID")
	for _, n := range nodes {
		t.row(cmp.Or(n.Name, "–"), tierOf(n), nodeState(n), lastHeard(n, now), lacks(n.Lag), cmp.Or(short(n.Origin, 12), "–"), string(n.ID))
	}
	return t.Flush()
}

// tierOf is a node's tier, and its labels.
func tierOf(n control.Member) string {
	text := cmp.Or(n.Tier, "–")
	for _, k := range slices.Sorted(maps.Keys(n.Labels)) {
		text += fmt.Sprintf(" %s=%s", k, n.Labels[k])
	}
	return text
}

func nodeState(n control.Member) string {
	state := "away"
	switch {
	case n.Self:
		state = "this node"
	case n.Connected:
		state = "connected"
	case n.Dark:
		state = "dark"
	}
	if n.Retired == nil {
		return state
	}
	if n.Self || n.Connected {
		return state + ", retired"
	}
	return "retired"
}

func lastHeard(n control.Member, now time.Time) string {
	last := n.LastHeard
	if n.LastWrites.After(last) {
		last = n.LastWrites
	}
	switch {
	case n.Self || n.Connected:
		return "now"
	case last.IsZero():
		return "never"
	}
	return heard(now.Sub(last).Milliseconds())
}

func lacks(lag *fabric.NodeLag) string {
	if lag == nil || lag.Writes == 0 {
		return "–"
	}
	return fmt.Sprintf("%s writes, %s, %v", formatCount(int(lag.Writes)), formatBytes(int64(lag.Bytes)), duration(lag.BehindMS))
}

// duration rounds to what people would say.
func duration(ms int64) time.Duration {
	d := time.Duration(ms) * time.Millisecond
	if d < time.Second {
		return d
	}
	return d.Round(time.Second)
}

func nodeRetireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retire NODE",
		Short: "Say that a node will not come back",
		Long: `Say that a node, by name or id, will not come back: it was scrapped, lost or replaced. From
then on it holds nothing up: removes that all others have seen are forgotten without
it, and it no longer shows as dark. Nothing that it wrote goes.

It is not shut out. Its certificate holds until it expires; if it comes back, its
writes merge like everybody's, it is told, and an alarm says so on every node. A node
that is connected is refused: stop it first, or use --force. --undo takes a
retirement back.`,
		Example: `  edgemem node retire kiosk-7
  edgemem node retire 12D3KooWQx8vY4 --force
  edgemem node retire kiosk-7 --undo`,
		Args: args(1, 1, "one NODE"),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	var how control.Retire
	cmd.Flags().BoolVar(&how.Force, "force", false, "although it is connected")
	cmd.Flags().BoolVar(&how.Undo, "undo", false, "take the retirement back")
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		id, err := c.RetireNode(ctx, args[0], how)
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), map[string]any{"id": id, "retired": !how.Undo})
		}
		word := "is retired; its certificate holds until it expires"
		if how.Undo {
			word = "is not retired any more"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], word)
		return err
	})
	return cmd
}

func alarmsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alarms",
		Short: "Show what is wrong, here and at other nodes, and what to do",
		Long: `Show what a person should look at, here and at all other nodes as far as this one has
heard. Alarms outlast restarts for as long as what they tell holds.

  clone        two processes write with one node's key
  rolled-back  a running process was set back to an earlier state of its memory
  diverged     two nodes have seen the same and hold different entries
  damaged      memory or disk did not hold what was written
  disk-full    a node takes no writes until its disk has room; reads, removes and merges go on
  returned     a retired node is back
  restored     a notice, for ten minutes: this node's disk is older than what others know of it`,
		Example: `  edgemem alarms
  edgemem alarms -o json | jq -r '.[] | .kind + " " + .name'
  edgemem alarms clear damaged --node kiosk-7`,
		Args: args(0, 0, ""),
	}
	addClient(cmd)
	cmd.RunE = showStatus(cmd, func(s control.Status) any { return s.Alarms }, func(w io.Writer, s control.Status) error {
		if len(s.Alarms) == 0 {
			_, err := fmt.Fprintln(w, "no alarms")
			return err
		}
		return printAlarms(w, s.Alarms)
	})
	cmd.AddCommand(alarmsClearCommand())
	return cmd
}

func alarmsClearCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clear KIND",
		Short: "Take alarms of one kind back, on all nodes",
		Long: `Take the alarms of one kind back, on all nodes, or with --node those about one. What still
holds is raised again. Alarms of kind returned end with 'edgemem node retire --undo'.`,
		Example: `  edgemem alarms clear rolled-back
  edgemem alarms clear damaged --node kiosk-7`,
		Args: args(1, 1, "one KIND"),
	}
	addClient(cmd)
	node := cmd.Flags().String("node", "", "only those about `NODE`, by name or id")
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		n, err := c.ClearAlarms(ctx, args[0], *node)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d cleared\n", n)
		return err
	})
	return cmd
}

// printStanding prints the alarms as a part of a longer text, if there are any.
func printStanding(w io.Writer, alarms []control.Alarm) error {
	if len(alarms) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return printAlarms(w, alarms)
}

func printAlarms(w io.Writer, alarms []control.Alarm) error {
	t := newTable(w)
	for _, a := range alarms {
		word := "ALARM"
		if a.Notice {
			word = "notice"
		}
		t.row(word, a.Kind, cmp.Or(a.Name, short(string(a.Node), 12)), "since "+a.Since.UTC().Format(time.RFC3339))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, a := range alarms {
		if _, err := fmt.Fprintf(w, "%s: %s.\n  %s\n", a.Kind, a.Detail, a.Do); err != nil {
			return err
		}
	}
	return nil
}

package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

func regionCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "region",
		Short: "Create, list, show or delete regions",
		Long: `A region is a named map of keys that is shared as one: the unit of acknowledgement, and
what SELECT chooses in the Redis protocol. 'default' always exists and is database 0;
others come into being by 'region create', or when first written to.`,
		Example: `  edgemem region create orders --ack disk
  edgemem region list
  printf 'SELECT orders\nSET o:17 open\n' | redis-cli -p 7379`,
	}, regionCreateCommand(), regionListCommand(), regionShowCommand(), regionDeleteCommand())
}

func regionCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a region, or change what its writes wait for",
		Long: `Create a region on every node. --ack says what its writes wait for before they are
acknowledged: memory (applied here, on disk soon after) or disk (synced: no crash
loses them). On a region that exists it changes that, for writes from then on.`,
		Example: "  edgemem region create orders --ack disk",
		Args:    args(1, 1, "one NAME"),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	ack := cmd.Flags().String("ack", "memory", "what writes wait `FOR`: memory or disk")
	_ = cmd.RegisterFlagCompletionFunc("ack", cobra.FixedCompletions([]string{"memory", "disk"}, cobra.ShellCompDirectiveNoFileComp)) // only fails for a flag that does not exist
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		if *ack != "memory" && *ack != "disk" {
			return usagef("--ack %q: want memory or disk", *ack)
		}
		r, err := c.CreateRegion(ctx, args[0], *ack)
		if err != nil {
			return err
		}
		if o.json() {
			return printJSON(cmd.OutOrStdout(), r)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "region %s: writes wait for %s\n", r.Name, r.Ack)
		return err
	})
	return cmd
}

func regionListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the regions that this node holds",
		Example: "  edgemem region list -o json | jq -r '.[].name'",
		Args:    args(0, 0, ""),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, _ []string) error {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if o.json() {
			return printJSON(cmd.OutOrStdout(), s.Regions)
		}
		return printRegions(cmd.OutOrStdout(), s.Regions, peerNames(s.Peers))
	})
	return cmd
}

func regionShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one region: size, digest, causal context, lag to each peer",
		Long: `Show one region. Two nodes hold the same entries if and only if their digests are
equal. The context says which writes of each origin were seen. Lag says, for each peer
and as of when it was last heard of, how many writes of this node it lacked, and how
many it had that this node lacks.`,
		Example: "  edgemem region show default",
		Args:    args(1, 1, "one NAME"),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		r, err := c.ShowRegion(ctx, args[0])
		if err != nil {
			return err
		}
		if o.json() {
			return printJSON(cmd.OutOrStdout(), r)
		}
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		return printRegion(cmd.OutOrStdout(), r, peerNames(s.Peers))
	})
	return cmd
}

func regionDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Remove a region and every entry in it, on all nodes",
		Long: `Remove a region and every entry in it, on all nodes. What others write to it at the same
time, without having seen the removal, stays and brings the region back.`,
		Example: "  edgemem region delete orders",
		Args:    args(1, 1, "one NAME"),
	}
	addClient(cmd)
	cmd.RunE = withClient(func(ctx context.Context, _ *cobra.Command, c *control.Client, args []string) error {
		return c.DeleteRegion(ctx, args[0])
	})
	return cmd
}

// peerNames gives what people call each peer id.
func peerNames(peers []control.Peer) map[string]string {
	names := map[string]string{}
	for _, p := range peers {
		names[p.ID] = p.Name
	}
	return names
}

func nameOf(id string, names map[string]string) string {
	if name := names[id]; name != "" {
		return name
	}
	return short(id, 12)
}

func printRegions(w io.Writer, regions []control.Region, names map[string]string) error {
	t := newTable(w)
	t.row("REGION", "ACK", "ENTRIES", "SIZE", "DIGEST", "LAG")
	for _, r := range regions {
		t.row(r.Name, string(r.Ack), formatCount(r.Entries), formatBytes(r.Bytes), short(r.Digest, 12), lagSummary(r, names))
	}
	return t.Flush()
}

// printContext lists what was seen of each origin.
func printContext(w io.Writer, r control.Region) error {
	fmt.Fprintln(w)
	t := newTable(w)
	t.row("ORIGIN", "SEEN UP TO", "AND ABOVE")
	for _, origin := range slices.Sorted(maps.Keys(r.Context)) {
		runs := r.Context[origin]
		above := "–"
		if n := len(runs.Above); n > 0 {
			above = fmt.Sprintf("%d ranges up to %s", n, formatCount(int(runs.Above[n-1][1])))
		}
		t.row(short(origin, 12), formatCount(int(runs.Base)), above)
	}
	return t.Flush()
}

// lagSummary says who is behind or ahead as far as this node has heard, or that nobody is. What was heard
// grows old between two hellos, so its age stands beside it.
func lagSummary(r control.Region, names map[string]string) string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(r.Lag)) {
		lag, name := r.Lag[id], nameOf(string(id), names)
		switch {
		case lag.AgeMS < 0:
			parts = append(parts, name+" not heard of yet")
		case lag.Missing > 0:
			parts = append(parts, fmt.Sprintf("%s had %s more %s", name, formatCount(int(lag.Missing)), heard(lag.AgeMS)))
		case lag.Writes > 0:
			parts = append(parts, fmt.Sprintf("%s lacked %s %s", name, formatCount(int(lag.Writes)), heard(lag.AgeMS)))
		}
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// heard says how old the news of a peer is.
func heard(ageMS int64) string {
	switch age := time.Duration(ageMS) * time.Millisecond; {
	case ageMS < 0:
		return "never"
	case age < time.Second:
		return "just now"
	default:
		return age.Round(time.Second).String() + " ago"
	}
}

func printRegion(w io.Writer, r control.Region, names map[string]string) error {
	t := newTable(w)
	t.row("region", r.Name)
	t.row("ack", string(r.Ack))
	t.row("entries", formatCount(r.Entries))
	t.row("size", formatBytes(r.Bytes)+" of keys and values")
	t.row("ghosts", formatCount(r.Ghosts))
	t.row("digest", r.Digest)
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printContext(w, r); err != nil {
		return err
	}
	return printLag(w, r, names)
}

func printLag(w io.Writer, r control.Region, names map[string]string) error {
	if len(r.Lag) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w)
	t.row("PEER", "LACKED", "HAD MORE", "HEARD OF")
	for _, id := range slices.Sorted(maps.Keys(r.Lag)) {
		lag := r.Lag[id]
		t.row(nameOf(string(id), names), formatCount(int(lag.Writes)), formatCount(int(lag.Missing)), heard(lag.AgeMS))
	}
	return t.Flush()
}

package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/crdt"
)

// defaultRegion is the region of Redis database 0.
const defaultRegion = "default"

func addRegion(cmd *cobra.Command) *string {
	region := cmd.Flags().StringP("region", "r", defaultRegion, "`REGION` that holds the key")
	_ = cmd.RegisterFlagCompletionFunc("region", completeRegion) // only fails for a flag that does not exist
	return region
}

func completeRegion(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, c, done, err := connect(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer done()
	s, _ := c.Status(ctx) // without a daemon there is nothing to offer
	var names []string
	for _, r := range s.Regions {
		names = append(names, r.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key",
		Long: `Print the value of a key: a string as its raw bytes (with a newline on a terminal),
a set as one member a line, a hash as FIELD<TAB>VALUE lines, both sorted. With
-o json the kind comes along, and bytes that are no UTF-8 come as base64.
An absent key exits with 4.`,
		Example: `  edgemem get greeting
  edgemem get -r fleet truck:17 -o json`,
		Args: args(1, 1, "one KEY"),
	}
	addClient(cmd)
	o, region := outputFlag(cmd), addRegion(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		e, err := c.Get(ctx, *region, args[0])
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), e)
		}
		return printEntry(cmd.OutOrStdout(), e)
	})
	return cmd
}

func printEntry(w io.Writer, e control.Entry) error {
	decode := func(s string) string { return s }
	if e.Encoding == "base64" {
		decode = func(s string) string {
			b, _ := base64.StdEncoding.DecodeString(s) // the daemon encoded it
			return string(b)
		}
	}
	if e.Value != nil {
		end := ""
		if isTerminal(w) {
			end = "\n"
		}
		_, err := io.WriteString(w, decode(*e.Value)+end)
		return err
	}
	for _, m := range e.Members {
		if _, err := fmt.Fprintln(w, decode(m)); err != nil {
			return err
		}
	}
	for _, x := range e.Entries {
		line := x.ID
		for _, f := range x.Fields {
			line += "\t" + decode(f)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	for _, f := range slices.Sorted(maps.Keys(e.Fields)) {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", decode(f), decode(e.Fields[f])); err != nil {
			return err
		}
	}
	return nil
}

func setCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set KEY VALUE",
		Short: "Write a string; VALUE - reads standard input",
		Long: `Write a string under a key, whatever was there before. VALUE - reads standard input
to its end. The command returns once the write is acknowledged as the region asks:
applied in memory, or synced to disk.`,
		Example: `  edgemem set greeting hello
  edgemem set -r maps tile:3:7 - < tile.png`,
		Args: args(2, 2, "a KEY and a VALUE"),
	}
	addClient(cmd)
	region := addRegion(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		value := []byte(args[1])
		if args[1] == "-" {
			var err error
			if value, err = readValue(cmd.InOrStdin()); err != nil {
				return err
			}
		}
		return c.Set(ctx, *region, args[0], value)
	})
	return cmd
}

// readValue reads at most one byte more than a value may have: enough to tell that it is too long.
func readValue(r io.Reader) ([]byte, error) {
	value, err := io.ReadAll(io.LimitReader(r, crdt.MaxValueBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(value) > crdt.MaxValueBytes {
		return nil, usagef("standard input has more than %d bytes, the most a value may have", crdt.MaxValueBytes)
	}
	return value, nil
}

func delCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "del KEY…",
		Short: "Remove keys",
		Long: `Remove keys, whatever their kind, and print how many were there. What others write at
the same time without having seen the removal stays. A key that is absent is no error.`,
		Example: "  edgemem del greeting truck:17",
		Args:    args(1, -1, "at least one KEY"),
	}
	addClient(cmd)
	o, region := outputFlag(cmd), addRegion(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		n, err := c.Delete(ctx, *region, args)
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), map[string]int{"deleted": n})
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), n)
		return err
	})
	return cmd
}

func incrCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incr KEY",
		Short: "Add to a counter and print its value",
		Long: `Add to a counter and print its new value at this node. Increments made anywhere, on
line or off, all count, each once. An absent key counts from 0.`,
		Example: `  edgemem incr visits
  edgemem incr stock:apples --by -3`,
		Args: args(1, 1, "one KEY"),
	}
	addClient(cmd)
	o, region := outputFlag(cmd), addRegion(cmd)
	by := cmd.Flags().Int64("by", 1, "how much to add; negative takes away")
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		n, err := c.Increment(ctx, *region, args[0], *by)
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), map[string]int64{"value": n})
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), n)
		return err
	})
	return cmd
}

func watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [PREFIX]",
		Short: "Print each change of the keys that begin with PREFIX, until interrupted",
		Long: `Print each change of the keys that begin with PREFIX (all, without one), whether it was
made here or arrived from another node, until interrupted. A line is KIND, KEY and
local or remote; KIND none says that the key is gone. -o json prints one object a
line. Several changes to one key in a short time may be told once. A reader that
cannot keep up is told so and the watch ends, with exit code 1.`,
		Example: `  edgemem watch truck:
  edgemem watch -o json | jq --unbuffered -r .key`,
		Args: args(0, 1, "at most one PREFIX"),
	}
	addClient(cmd)
	_ = cmd.Flags().MarkHidden("timeout") // a watch waits on purpose
	o, region := outputFlag(cmd), addRegion(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, c, done, err := connect(cmd)
		if err != nil {
			return err
		}
		defer done()
		prefix := ""
		if len(args) == 1 {
			prefix = args[0]
		}
		events, err := c.Watch(ctx, *region, prefix)
		if err != nil {
			return err
		}
		for ev, err := range events {
			if err != nil {
				return err
			}
			if err := printEvent(cmd.OutOrStdout(), ev, o); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func printEvent(w io.Writer, ev control.Event, o *output) error {
	if o.structured() {
		return o.line(w, ev)
	}
	where := "remote"
	if ev.Local {
		where = "local"
	}
	_, err := fmt.Fprintf(w, "%-6s  %s  %s\n", ev.Kind, ev.Key, where)
	return err
}

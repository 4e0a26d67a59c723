package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the node, its peers and its regions",
		Example: `  edgemem status
  edgemem status -o json | jq -r '.regions[] | .name + " " + .digest'
  edgemem status -o json | jq -e '.alarms | length == 0'      # for a monitor`,
		Args: args(0, 0, ""),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, _ []string) error {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if o.json() {
			return printJSON(cmd.OutOrStdout(), s)
		}
		return printStatus(cmd.OutOrStdout(), s)
	})
	return cmd
}

func printStatus(w io.Writer, s control.Status) error {
	if err := printNode(w, s.Node); err != nil {
		return err
	}
	if err := printStanding(w, s.Alarms); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := printPeers(w, s.Peers); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printRegions(w, s.Regions, namesIn(s))
}

func printNode(w io.Writer, n control.Node) error {
	t := newTable(w)
	t.row("node", n.Name+" ("+n.Tier+"), "+state(n))
	t.row("id", n.ID)
	t.row("fabric", n.Fabric)
	t.row("resp", n.RESP)
	t.row("http", n.HTTP)
	t.row("listen", strings.Join(n.Listen, "\n\t"))
	t.row("memory", memory(n))
	t.row("mesh", fmt.Sprintf("%s in, %s out", formatBytes(n.Bandwidth.InBytes), formatBytes(n.Bandwidth.OutBytes)))
	t.row("data", n.DataDir)
	t.row("process", fmt.Sprintf("%d, edgemem %s", n.PID, n.Version))
	return t.Flush()
}

func state(n control.Node) string {
	word := "on line"
	if n.Offline {
		word = "off line on purpose"
	}
	if !n.Ready {
		word = "not ready"
	}
	up := time.Duration(n.UptimeSeconds * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("%s, up %v", word, up)
}

func memory(n control.Node) string {
	limit := "no limit"
	if n.MemoryLimit > 0 {
		limit = "soft limit " + formatBytes(n.MemoryLimit)
	}
	return fmt.Sprintf("%s on the heap, %s", formatBytes(int64(n.HeapBytes)), limit)
}

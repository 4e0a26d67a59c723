package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/fabric"
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
	cmd.RunE = showStatus(cmd, func(s control.Status) any { return s }, func(w io.Writer, s control.Status) error {
		return printStatus(w, s)
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
	if err := printPulling(w, s.Node.Sync.Pulling, namesIn(s)); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printRegions(w, s.Regions, namesIn(s))
}

// printPulling tells what is being brought, how far it is and how long it will take.
func printPulling(w io.Writer, pulls []fabric.PullProgress, names map[string]string) error {
	if len(pulls) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w)
	t.row("PULLING", "FROM", "DONE", "CAME", "LEFT", "TIME LEFT")
	for _, p := range pulls {
		left, eta := "–", "–"
		if p.BytesLeft >= 0 {
			left = "about " + formatBytes(p.BytesLeft)
			eta = (time.Duration(p.ETAMillis) * time.Millisecond).Round(time.Second).String()
		}
		t.row(p.Region, nameOf(string(p.Peer), names), fmt.Sprintf("%.0f %%", 100*p.Covered), formatBytes(int64(p.Bytes)), left, eta)
	}
	return t.Flush()
}

func printNode(w io.Writer, n control.Node) error {
	t := newTable(w)
	t.row("node", n.Name+" ("+n.Tier+"), "+state(n))
	t.row("id", n.ID)
	t.row("fabric", n.Fabric)
	t.row("resp", n.RESP)
	t.row("http", n.HTTP)
	t.row("listen", strings.Join(n.Listen, "\n\t"))
	if len(n.Relayed) > 0 {
		t.row("relayed", strings.Join(n.Relayed, "\n\t"))
	}
	t.row("memory", memory(n))
	t.row("profile", n.Profile.Name+", "+n.Profile.Why)
	t.row("mesh", fmt.Sprintf("%s in, %s out", formatBytes(n.Bandwidth.InBytes), formatBytes(n.Bandwidth.OutBytes)))
	t.row("disk", diskLine(n.Disk))
	t.row("data", n.DataDir)
	t.row("process", fmt.Sprintf("%d, edgemem %s", n.PID, n.Version))
	return t.Flush()
}

func diskLine(d control.Disk) string {
	line := fmt.Sprintf("%s taken, %s free", formatBytes(d.Total()), formatBytes(d.FreeBytes))
	if d.Encrypted {
		line += ", encrypted"
	}
	switch {
	case d.Failed != "":
		line += "; FAILED: nothing comes to disk until the node is started again: " + d.Failed
	case d.Held:
		line += "; FULL: no writes, and merges wait too"
	case d.Full:
		line += fmt.Sprintf("; FULL: no writes; reads, removes and merges go on; %s merged cells are not on disk", formatCount(d.Unsaved))
	}
	return line
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
	m := n.Memory
	budget := "no budget"
	if m.Budget > 0 {
		budget = fmt.Sprintf("%d %% of the budget of %s", m.Used*100/m.Budget, formatBytes(m.Budget))
	}
	text := fmt.Sprintf("%s in regions, %s; %s resident", formatBytes(m.Used), budget, formatBytes(m.ResidentBytes))
	if m.Reserved > 0 {
		text += fmt.Sprintf("; %s reserved, %s of it unused", formatBytes(m.Reserved), formatBytes(m.Unused))
	}
	if e := m.Eviction; e.Away > 0 {
		text += fmt.Sprintf("; %s values, %s, are on disk alone", formatCount(e.Away), formatBytes(e.AwayBytes))
	}
	if e := m.Eviction; e.Packed > 0 {
		text += fmt.Sprintf("; %s values, %s, are packed to %s", formatCount(e.Packed), formatBytes(e.PackedBytes), formatBytes(e.PackedSize))
	}
	if m.Level != "none" {
		text += fmt.Sprintf("; pressure %s: %s", m.Level, m.Why)
	}
	var refused []string
	for _, l := range m.Lines {
		if l.Refuses {
			refused = append(refused, string(l.Priority))
		}
	}
	if len(refused) > 0 {
		text += "; writes are refused to " + strings.Join(refused, ", ")
	}
	if m.QuotaFull > 0 {
		text += fmt.Sprintf("; %s regions are at their quota", formatCount(m.QuotaFull))
	}
	return text
}

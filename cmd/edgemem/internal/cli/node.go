package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// defaultTicketLife is long enough to carry a ticket to another machine, and short enough that one
// found later in a log opens nothing.
const defaultTicketLife = time.Hour

func inviteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Print a ticket with which another node may join",
		Long: `Print a ticket, alone on one line, with which another node may join this fabric. A
ticket works for one node (or --uses of them) and until it expires. Only the node that
founded the fabric holds its authority and can invite.`,
		Example: `  ticket=$(edgemem invite --ttl 10m)
  edgemem run --data-dir /tmp/b --join "$ticket"`,
		Args: args(0, 0, ""),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	ttl := cmd.Flags().Duration("ttl", defaultTicketLife, "how long the ticket can be used")
	uses := cmd.Flags().Int("uses", 1, "how many nodes may join with it")
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, _ []string) error {
		if *ttl <= 0 {
			return usagef("--ttl %v: want a time above zero", *ttl)
		}
		if *uses < 1 {
			return usagef("--uses %d: want at least 1", *uses)
		}
		inv, err := c.Invite(ctx, *ttl, *uses)
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), inv)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), inv.Ticket)
		return err
	})
	return cmd
}

func offlineCommand() *cobra.Command {
	return meshCommand(true, &cobra.Command{
		Use:   "offline",
		Short: "Leave the mesh on purpose; reads and writes go on",
		Long: `Leave the mesh on purpose, as a device on a metered link does: connections close and
none are made, over restarts too, until 'edgemem online' comes back and exchanges what
happened meanwhile. Reads and writes go on against local memory.`,
		Example: `  edgemem offline
  redis-cli -p 7379 set note "written without a network"
  edgemem online`,
	})
}

func onlineCommand() *cobra.Command {
	return meshCommand(false, &cobra.Command{
		Use:     "online",
		Short:   "Come back to the mesh",
		Long:    "Come back to the mesh after 'edgemem offline', and exchange what happened meanwhile.",
		Example: "  edgemem online",
	})
}

func meshCommand(offline bool, cmd *cobra.Command) *cobra.Command {
	cmd.Args = args(0, 0, "")
	addClient(cmd)
	o := outputFlag(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, _ []string) error {
		if err := c.SetOffline(ctx, offline); err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), map[string]bool{"offline": offline})
		}
		word := "on line"
		if offline {
			word = "off line"
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), word)
		return err
	})
	return cmd
}

func peersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List the members that this node knows",
		Example: `  edgemem peers
  edgemem peers -o json | jq -r '.[] | select(.connected) | .name'`,
		Args: args(0, 0, ""),
	}
	addClient(cmd)
	cmd.RunE = showStatus(cmd, func(s control.Status) any { return s.Peers }, func(w io.Writer, s control.Status) error {
		return printPeers(w, s.Peers)
	})
	return cmd
}

func printPeers(w io.Writer, peers []control.Peer) error {
	if len(peers) == 0 {
		_, err := fmt.Fprintln(w, "no peers known; 'edgemem invite' prints a ticket for one")
		return err
	}
	t := newTable(w)
	t.row("PEER", "TIER", "STATE", "RTT", "ID")
	for _, p := range peers {
		state := "away"
		if p.Connected {
			state = "connected"
		}
		t.row(p.Name, p.Tier, state, formatMillis(p.RTTMillis), p.ID)
	}
	return t.Flush()
}

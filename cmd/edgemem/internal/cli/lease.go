package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/fabric/lease"
)

func leaseCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "lease",
		Short: "Take leases with fencing tokens, and name who grants them",
		Long: `A lease has one holder at a time, anywhere in the fabric: a majority of the voters
grants it, and who cannot reach a majority is told so, with 3. Its token is higher than
all before it: store it beside what the lease guards, and refuse older ones.`,
		Example: `  edgemem lease voters site-a site-b site-c
  token=$(edgemem lease acquire till --ttl 30s)
  edgemem lease release till $token`,
	}, leaseAcquireCommand(), leaseRenewCommand(), leaseReleaseCommand(), leaseShowCommand(), leaseVotersCommand())
}

// addTTL declares for how long a lease is to last.
func addTTL(cmd *cobra.Command) func() (ms int64, err error) {
	ttl := cmd.Flags().Duration("ttl", 30*time.Second, "how long the lease is to last, from now on")
	return func() (int64, error) {
		if *ttl < lease.TTLMin || *ttl > lease.TTLMax {
			return 0, usagef("--ttl %v: want %v to %v", *ttl, lease.TTLMin, lease.TTLMax)
		}
		return ttl.Milliseconds(), nil
	}
}

func leaseToken(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("TOKEN %q: want what acquire printed", text)
	}
	return n, nil
}

func leaseAcquireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "acquire NAME",
		Short: "Take a lease and print its token; one that is held exits with 5",
		Long: `Take a lease of a region, and print its token. It does not wait for the holder: a
lease that somebody holds exits with 5, and says who. The time counts from when the
command was started.`,
		Example: `  edgemem lease acquire till
  edgemem lease acquire till --ttl 1m --owner ann -o json`,
		Args: args(1, 1, "one NAME"),
	}
	addClient(cmd)
	o, region, ttl := outputFlag(cmd), addRegion(cmd), addTTL(cmd)
	owner := cmd.Flags().String("owner", "", "what others are told of the holder")
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		ms, err := ttl()
		if err != nil {
			return err
		}
		x, err := c.Lease(ctx, *region, args[0], control.LeaseCall{Do: "acquire", TTLMs: ms, Owner: *owner})
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), x)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), x.Token)
		return err
	})
	return cmd
}

func leaseRenewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renew NAME TOKEN",
		Short: "Have a lease last longer; one that was lost exits with 5",
		Long: `Have a lease last for --ttl from now on, and print for how long it does. Late is not too
late, as long as nobody took it since.`,
		Example: `  edgemem lease renew till 17 --ttl 1m`,
		Args:    args(2, 2, "a NAME and a TOKEN"),
	}
	addClient(cmd)
	o, region, ttl := outputFlag(cmd), addRegion(cmd), addTTL(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		token, err := leaseToken(args[1])
		if err != nil {
			return err
		}
		ms, err := ttl()
		if err != nil {
			return err
		}
		x, err := c.Lease(ctx, *region, args[0], control.LeaseCall{Do: "renew", Token: token, TTLMs: ms})
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), x)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), leftOf(x))
		return err
	})
	return cmd
}

func leftOf(x control.Lease) time.Duration { return time.Duration(x.LeftMs) * time.Millisecond }

func leaseReleaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "release NAME TOKEN",
		Short:   "Give a lease up; one that was lost exits with 5",
		Long:    `Give a lease up, so that others get it before its time is over.`,
		Example: `  edgemem lease release till 17`,
		Args:    args(2, 2, "a NAME and a TOKEN"),
	}
	addClient(cmd)
	region := addRegion(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		token, err := leaseToken(args[1])
		if err != nil {
			return err
		}
		_, err = c.Lease(ctx, *region, args[0], control.LeaseCall{Do: "release", Token: token})
		return err
	})
	return cmd
}

func leaseShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Tell who holds a lease, as a majority of the voters knows",
		Long:    `Tell who holds a lease and for how long at most, as a majority of the voters knows it.`,
		Example: `  edgemem lease show till -o json`,
		Args:    args(1, 1, "one NAME"),
	}
	addClient(cmd)
	o, region := outputFlag(cmd), addRegion(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		x, err := c.Lease(ctx, *region, args[0], control.LeaseCall{Do: "show"})
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), x)
		}
		return printLease(cmd.OutOrStdout(), x)
	})
	return cmd
}

func printLease(w io.Writer, x control.Lease) error {
	text := "free"
	switch {
	case x.Held:
		text = fmt.Sprintf("held by %s for %v at most", cmp.Or(x.Owner, "somebody"), leftOf(x))
	case x.Token == 0:
		text = "free; nobody had it"
	}
	_, err := fmt.Fprintf(w, "%s; last token %d\n", text, x.Token)
	return err
}

func leaseVotersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "voters [NODE...]",
		Short: "Name the nodes that vote on leases, or list them",
		Long: `Name the nodes that vote on leases, by name or id: three or five of tier edge or above, in
different places. Without nodes the command lists those who do.

The first time all core members must be connected and agree, and there must be no other
half of the fabric that knows nothing of this one; later a majority of the voters. While
they are changed leases cannot be renewed, and new ones are granted when the last of the
old ones is over. A voter that lost its disk, or was restored, has no vote until it is
named again.`,
		Example: `  edgemem lease voters site-a site-b site-c
  edgemem lease voters -o json`,
		Args: args(0, lease.VotersMax, "NODEs"),
	}
	addClient(cmd)
	o := outputFlag(cmd)
	cmd.RunE = withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error {
		var v control.Voters
		var err error
		if len(args) == 0 {
			v, err = c.Voters(ctx)
		} else {
			v, err = c.SetVoters(ctx, args)
		}
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), v)
		}
		return printVoters(cmd.OutOrStdout(), v)
	})
	return cmd
}

func printVoters(w io.Writer, v control.Voters) error {
	if v.Epoch == 0 {
		_, err := fmt.Fprintln(w, "nobody votes on leases")
		return err
	}
	t := newTable(w)
	t.row("VOTER", "STATE", "ID")
	for _, x := range v.Voters {
		state := "away"
		if x.Connected {
			state = "here"
		}
		t.row(cmp.Or(x.Name, "–"), state, x.ID)
	}
	return t.Flush()
}

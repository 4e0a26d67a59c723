package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/bench"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// benchRegion is where the load goes, so that it is easily told from data and removed.
const benchRegion = "bench"

// Bounds of what one command may ask of a node.
const (
	benchClientsMax  = 10_000
	benchPipelineMax = 10_000
	benchValueMax    = 1 << 20
)

type benchFlags struct {
	bench.Options
	tests []string
	keep  bool
}

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load the node as its clients would, and print what it took",
		Long: `Load the running node through the Redis protocol, as its clients do, and print for each kind of
command how many a second it took and how long they waited. A wait is that of a whole pipeline.

The load goes to a region of its own, "bench" unless -r says another, which is replicated like any
other and deleted at the end, unless --keep is given or the region was there before.`,
		Example: `  edgemem bench
  edgemem bench -t set,get -n 1000000 -P 16
  edgemem bench -d 1000 --keys 1000000 -o json | jq '.[] | .test, .per_s'`,
		Args: args(0, 0, ""),
	}
	addClient(cmd)
	config.AddPasswordFlags(cmd.Flags())
	o, f := outputFlag(cmd), benchFlags{}
	fs := cmd.Flags()
	fs.StringVarP(&f.Region, "region", "r", benchRegion, "`REGION` to load")
	fs.IntVarP(&f.Requests, "requests", "n", 100_000, "commands of each kind")
	fs.IntVarP(&f.Clients, "clients", "c", 50, "connections at once")
	fs.IntVarP(&f.Pipeline, "pipeline", "P", 1, "commands that a client sends before it reads")
	fs.IntVarP(&f.ValueBytes, "data", "d", 100, "`BYTES` of a value")
	fs.IntVar(&f.Keys, "keys", 100_000, "keys to choose from, at random")
	fs.Uint64Var(&f.Seed, "seed", 1, "of the choices")
	fs.StringSliceVarP(&f.tests, "tests", "t", nil, "kinds of commands, with commas between (default all)")
	fs.BoolVar(&f.keep, "keep", false, "leave the region")
	_ = cmd.RegisterFlagCompletionFunc("tests", cobra.FixedCompletions(bench.Names(), cobra.ShellCompDirectiveNoFileComp)) // only fails for a flag that does not exist
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		tests, err := f.validate()
		if err != nil {
			return err
		}
		ctx, c, done, err := connect(cmd)
		if err != nil {
			return err
		}
		defer done()
		if f.Addr, f.Password, err = respOf(ctx, cmd, c); err != nil {
			return err
		}
		return f.run(ctx, cmd, c, o, tests)
	}
	return cmd
}

func (f benchFlags) validate() ([]bench.Test, error) {
	for _, x := range []struct {
		flag    string
		n, most int
	}{
		{"requests", f.Requests, 1 << 30}, {"clients", f.Clients, benchClientsMax}, {"pipeline", f.Pipeline, benchPipelineMax},
		{"data", f.ValueBytes, benchValueMax}, {"keys", f.Keys, 1 << 30},
	} {
		if x.n < 1 || x.n > x.most {
			return nil, usagef("--%s %d: want 1 to %d", x.flag, x.n, x.most)
		}
	}
	tests, err := bench.Choose(f.tests)
	if err != nil {
		return nil, usagef("--tests: %w", err)
	}
	return tests, nil
}

// respOf says where the node serves Redis clients, and the password that it wants.
func respOf(ctx context.Context, cmd *cobra.Command, c *control.Client) (addr, password string, err error) {
	s, err := c.Status(ctx)
	if err != nil {
		return "", "", err
	}
	if s.Node.RESP == "off" {
		return "", "", errors.New("the node serves no Redis clients: it runs with --resp off")
	}
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", "", err
	}
	loaded, err := config.Load(cmd.Flags(), file)
	if err != nil {
		return "", "", err
	}
	password, _, err = loaded.Config.Secrets()
	return s.Node.RESP, password, err
}

// run loads the node. A region that was there before stays, whatever happens: only of one that was not is everything the load's.
func (f benchFlags) run(ctx context.Context, cmd *cobra.Command, c *control.Client, o *output, tests []bench.Test) (err error) {
	switch _, err := c.ShowRegion(ctx, f.Region); {
	case err == nil:
		f.keep = true
	case !errors.Is(err, control.ErrNotFound):
		return err
	}
	if !f.keep {
		defer func() { err = errors.Join(err, f.remove(ctx, c)) }()
	}
	results := []bench.Result{}
	for _, t := range tests {
		m := newMeter(cmd.ErrOrStderr(), "bench "+t.Name, "commands")
		r, err := bench.Run(ctx, f.Options, t, func(done int64) { m.reach(done, int64(f.Requests), 0) })
		m.done()
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	if o.structured() {
		return o.print(cmd.OutOrStdout(), results)
	}
	return f.print(cmd.OutOrStdout(), results)
}

// remove deletes the region, also where the load was interrupted.
func (f benchFlags) remove(ctx context.Context, c *control.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), defaultTimeout)
	defer cancel()
	if err := c.DeleteRegion(ctx, f.Region); err != nil && !errors.Is(err, control.ErrNotFound) { // it is made by the first write
		return fmt.Errorf("the region %s of the load stays: %w", f.Region, err)
	}
	return nil
}

func (f benchFlags) print(w io.Writer, results []bench.Result) error {
	fmt.Fprintf(w, "%s commands of each kind, %d clients, pipelines of %d, values of %s, %s keys\n\n", formatCount(f.Requests), f.Clients, f.Pipeline,
		formatBytes(int64(f.ValueBytes)), formatCount(f.Keys))
	t := newTable(w)
	t.row("COMMAND", "PER SECOND", "HALF WITHIN", "95 %", "99 %", "ALL", "ERRORS")
	for _, r := range results {
		wrong := strconv.FormatInt(r.Errors, 10)
		if r.Errors > 0 {
			wrong += ": " + r.Error
		}
		t.row(r.Test, formatCount(int(r.PerSecond)), formatMillis(r.P50), formatMillis(r.P95), formatMillis(r.P99), formatMillis(r.Max), wrong)
	}
	return t.Flush()
}

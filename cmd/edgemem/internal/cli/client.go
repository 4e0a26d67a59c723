package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// defaultTimeout is how long a command waits for a daemon that does not answer.
const defaultTimeout = 10 * time.Second

// addClient declares the flags by which cmd finds its daemon.
func addClient(cmd *cobra.Command) {
	config.AddClientFlags(cmd.Flags())
	cmd.Flags().String("config", "", "configuration `FILE` to take the data directory from")
	cmd.Flags().Duration("timeout", defaultTimeout, "how long to wait for the daemon")
	_ = cmd.MarkFlagDirname("data-dir") // only fails for a flag that does not exist
}

// connect gives a client for the daemon that cmd's flags name, and a context that ends with a signal;
// call done when finished.
func connect(cmd *cobra.Command) (ctx context.Context, c *control.Client, done func(), err error) {
	dir, err := dataDir(cmd)
	if err != nil {
		return nil, nil, nil, err
	}
	c = control.NewClient(dir)
	ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	return ctx, c, func() { cancel(); c.Close() }, nil
}

func dataDir(cmd *cobra.Command) (string, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", err
	}
	loaded, err := config.Load(cmd.Flags(), file)
	if err != nil {
		return "", err
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "edgemem: warning: %s\n", w)
	}
	if loaded.Config.DataDir == "" {
		return "", usageError{errors.New("no data directory: give --data-dir")}
	}
	return loaded.Config.DataDir, nil
}

// A call is the work of a command that asks its daemon something.
type call func(ctx context.Context, cmd *cobra.Command, c *control.Client, args []string) error

// showStatus makes the work of a command that prints a part of the node's status: that part as JSON, or as text.
func showStatus(cmd *cobra.Command, part func(control.Status) any, text func(io.Writer, control.Status) error) func(*cobra.Command, []string) error {
	o := outputFlag(cmd)
	return withClient(func(ctx context.Context, cmd *cobra.Command, c *control.Client, _ []string) error {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), part(s))
		}
		return text(cmd.OutOrStdout(), s)
	})
}

// withClient runs work with a client, for at most --timeout.
func withClient(work call) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, c, done, err := connect(cmd)
		if err != nil {
			return err
		}
		defer done()
		timeout, err := cmd.Flags().GetDuration("timeout")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err = work(ctx, cmd, c, args)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w: no answer within %v", control.ErrUnreachable, timeout)
		}
		return err
	}
}

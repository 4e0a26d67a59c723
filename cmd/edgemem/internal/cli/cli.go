package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// Exit codes, as the help of the root command documents them.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNotFound    = 4
	exitHeld        = 5
	exitDegraded    = 6
)

// Main runs one command and gives the process's exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(context.Background())
	return report(stderr, cmd, err)
}

// usageError is a command line that makes no sense, as opposed to work that failed.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (e usageError) Unwrap() error { return e.error }

func report(stderr io.Writer, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "edgemem: %s\n", line)
	}
	code := exitCode(err)
	if code == exitUsage {
		fmt.Fprintf(stderr, "edgemem: '%s --help' explains it\n", cmd.CommandPath())
	}
	return code
}

func exitCode(err error) int {
	switch {
	case isUsage(err):
		return exitUsage
	case errors.Is(err, control.ErrUnreachable), errors.Is(err, control.ErrNoHolder), errors.Is(err, control.ErrNoMajority):
		return exitUnreachable
	case errors.Is(err, control.ErrNotFound):
		return exitNotFound
	case errors.Is(err, control.ErrHeld):
		return exitHeld
	case errors.Is(err, errDegraded):
		return exitDegraded
	default:
		return exitError
	}
}

// isUsage says whether the caller, and not the work, was wrong. Cobra has no type for an unknown command.
func isUsage(err error) bool {
	var usage usageError
	var field *config.FieldError
	return errors.As(err, &usage) || errors.As(err, &field) ||
		errors.Is(err, config.ErrFile) || errors.Is(err, config.ErrUnknownKey) || errors.Is(err, config.ErrValue)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "edgemem",
		Short: "One shared memory for devices, edge servers, regional sites and the cloud",
		Long: `edgemem is one shared memory for devices, edge servers, regional sites and the cloud.
Programs read and write it through the Redis protocol at local-memory speed, on line
or off; nodes that meet again converge without losing a write.

Exit codes:
  0  done
  1  the work failed
  2  the command line or the configuration is wrong
  3  no daemon answers for the data directory, no node that holds the region, or no
     majority of those who vote on leases
  4  there is no such key, region or node
  5  somebody else holds the lease, or has held it since
  6  done as far as that was possible: not all is in order

Settings come from flags, then EDGEMEM_* variables (--data-dir is EDGEMEM_DATA_DIR),
then the file of --config or EDGEMEM_CONFIG, then defaults.`,
		Example: `  edgemem demo                           # three nodes, real data, a partition, proof
  edgemem run                            # a node, and a fabric of its own
  redis-cli -p 7379 set greeting hello   # any Redis client is a client
  edgemem invite                         # prints a ticket
  edgemem run --join TICKET              # on another machine`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       build.Get().Version,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddGroup(&cobra.Group{ID: groupNode, Title: "A node:"}, &cobra.Group{ID: groupData, Title: "Its data:"},
		&cobra.Group{ID: groupDisk, Title: "Its disk:"},
		&cobra.Group{ID: groupMore, Title: "More:"})
	root.SetHelpCommandGroupID(groupMore)
	addAll(root, groupNode, runCommand(), joinCommand(), inviteCommand(), statusCommand(), topCommand(), peersCommand(), nodeCommand(), alarmsCommand(), scrubCommand(), offlineCommand(), onlineCommand())
	addAll(root, groupDisk, doctorCommand(), backupCommand(), restoreCommand(), checkpointCommand(), rekeyCommand())
	addAll(root, groupData, regionCommand(), getCommand(), setCommand(), delCommand(), incrCommand(), watchCommand(), leaseCommand())
	addAll(root, groupMore, demoCommand(), benchCommand(), configCommand(), versionCommand(), completionCommand())
	return named(root)
}

const (
	groupNode = "node"
	groupData = "data"
	groupDisk = "disk"
	groupMore = "more"
)

func addAll(root *cobra.Command, group string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// group makes a command that only holds others.
func group(c *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	c.AddCommand(subs...)
	return named(c)
}

// named makes a command that only holds others answer a wrong one with the nearest right one, in one line.
func named(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, s := range c.Commands() {
			names = append(names, s.Name())
		}
		if near := config.Nearest(args[0], names); near != "" {
			return usagef("unknown command %q for %q; did you mean %q?", args[0], cmd.CommandPath(), near)
		}
		return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return c
}

// args makes a check that between low and high arguments were given; names stand in its message.
func args(low, high int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) >= low && (high < 0 || len(got) <= high) {
			return nil
		}
		if names == "" {
			return usagef("%s takes no arguments, got %q", cmd.CommandPath(), got)
		}
		return usagef("%s wants %s, got %d arguments", cmd.CommandPath(), names, len(got))
	}
}

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/daemon"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/profile"
	"github.com/edgemem/edgemem/tiers"
)

const runLong = `Run one node until SIGTERM or SIGINT, which flush and say goodbye within five seconds;
a second signal ends it at once.

Without --join the first start creates a fabric, whose authority this node then holds.
With --join TICKET it becomes a member of the ticket's fabric; on a node that is a
member already that is a note, not an error. Identity, entries and certificate live in
the data directory, so later starts need neither.

The Redis protocol and HTTP bind to loopback unless told otherwise; elsewhere they need
a password or a token, which come from a file or a variable, never from a flag:
  EDGEMEM_RESP_PASSWORD or --resp-password-file
  EDGEMEM_HTTP_TOKEN or --http-token-file

A line on standard error says when the node is ready and on which addresses; under
systemd, Type=notify works. /readyz answers 200 from the same moment.`

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run a node",
		Long:  runLong,
		Example: `  edgemem run
  edgemem run --name truck-17 --tier device --data-dir /var/lib/edgemem --join TICKET
  edgemem run --tier edge --profile device --memory 16MB
  edgemem run --config /etc/edgemem/edgemem.yaml --log-format json
  edgemem run --resp unix:/run/edgemem/resp.sock --http off`,
		Args: args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, "") },
	}
	addRun(cmd)
	return cmd
}

func joinCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "join TICKET",
		Short:   "Run a node that joins with a ticket: run --join TICKET",
		Long:    "Run a node that joins with a ticket; the same as 'edgemem run --join TICKET'.\n\n" + runLong,
		Example: `  edgemem join "$(ssh cloud edgemem invite)" --name truck-17 --tier device`,
		Args:    args(1, 1, "one TICKET"),
		RunE:    func(cmd *cobra.Command, args []string) error { return run(cmd, args[0]) },
	}
	addRun(cmd)
	_ = cmd.Flags().MarkHidden("join") // only fails for a flag that does not exist
	return cmd
}

// addRun declares every setting as a flag, and completions for those with few values.
func addRun(cmd *cobra.Command) {
	config.AddFlags(cmd.Flags())
	cmd.Flags().SortFlags = false
	cmd.Flags().String("config", "", "configuration `FILE`: yaml, toml or json")
	choices := map[string][]string{
		"tier":       tiers.Names(),
		"profile":    profile.Names(),
		"log-level":  {"debug", "info", "warn", "error"},
		"log-format": {"text", "json"},
	}
	for flag, values := range choices {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // only fails for a flag that does not exist
	}
}

func loadRun(cmd *cobra.Command) (*config.Loaded, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	loaded, err := config.Load(cmd.Flags(), file)
	if err != nil {
		return nil, err
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "edgemem: warning: %s\n", w)
	}
	return loaded, nil
}

func run(cmd *cobra.Command, ticket string) error {
	loaded, err := loadRun(cmd)
	if err != nil {
		return err
	}
	if ticket != "" {
		loaded.Config.Join = ticket
	}
	if err := loaded.Config.Validate(); err != nil {
		return err
	}
	return daemon.Run(cmd.Context(), loaded.Config, cmd.ErrOrStderr())
}

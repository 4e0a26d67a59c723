package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/profile"
)

func configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "Show or check the configuration",
		Example: `  edgemem config print
  edgemem config check /etc/edgemem/edgemem.yaml`,
	}, configPrintCommand(), configCheckCommand(), configProfilesCommand())
}

func configProfilesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "Print what --profile device and --profile server set",
		Long: `Print what the two profiles set. 'edgemem run --profile auto', the default, takes device for
nodes of that tier, for machines and cgroups with up to 512 MiB of memory, and for 32-bit
processors; 'edgemem status' says which, and why. A flag is stronger than a profile.`,
		Example: `  edgemem config profiles
  edgemem status -o json | jq .node.profile`,
		Args: args(0, 0, ""),
	}
	o := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.structured() {
			return o.print(cmd.OutOrStdout(), profile.Both())
		}
		t := newTable(cmd.OutOrStdout())
		t.row("SETTING", "DEVICE", "SERVER")
		for _, r := range profile.Table() {
			t.row(r[0], r[1], r[2])
		}
		return t.Flush()
	}
	return cmd
}

func configPrintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print every setting that 'run' would use, and where it comes from",
		Long: `Print every setting that 'edgemem run' with the same flags, variables and file would
use, and where each comes from. Secrets are masked. A setting that is wrong is named
on standard error, and the exit code is 2.`,
		Example: `  edgemem config print
  EDGEMEM_TIER=device edgemem config print --memory 64MB -o json`,
		Args: args(0, 0, ""),
	}
	addRun(cmd)
	o := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := loadRun(cmd)
		if err != nil {
			return err
		}
		if o.structured() {
			err = o.print(cmd.OutOrStdout(), loaded.Values)
		} else {
			err = printValues(cmd.OutOrStdout(), loaded.Values)
		}
		if err != nil {
			return err
		}
		return loaded.Config.Validate()
	}
	return cmd
}

func printValues(w io.Writer, values []config.Value) error {
	t := newTable(w)
	t.row("SETTING", "VALUE", "SOURCE")
	for _, v := range values {
		text := fmt.Sprint(v.Value)
		if list, ok := v.Value.([]string); ok {
			text = strings.Join(list, ",")
		}
		if text == "" {
			text = "–"
		}
		t.row(v.Key, text, v.Source)
	}
	return t.Flush()
}

func configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file without starting anything",
		Long: `Check a configuration file (yaml, toml or json) over the defaults, without flags and
variables and without starting anything. Each mistake is named; a key that does not
exist comes with the nearest one that does.`,
		Example: "  edgemem config check /etc/edgemem/edgemem.yaml",
		Args:    args(1, 1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := config.LoadFile(args[0])
			if err != nil {
				return err
			}
			if err := loaded.Config.Validate(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: good\n", args[0])
			return err
		},
	}
}

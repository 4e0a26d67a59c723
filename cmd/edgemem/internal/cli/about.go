package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
)

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  edgemem version -o json",
		Args:    args(0, 0, ""),
	}
	o := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		info := build.Get()
		if o.structured() {
			return o.print(cmd.OutOrStdout(), info)
		}
		commit := info.Commit
		if commit == "" {
			commit = "unknown"
		}
		if info.Modified {
			commit += ", modified"
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "edgemem %s (commit %s) %s %s/%s\n", info.Version, commit, info.Go, info.OS, info.Arch)
		return err
	}
	return cmd
}

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a completion script for bash, zsh or fish",
		Example: `  source <(edgemem completion bash)
  edgemem completion zsh > "${fpath[1]}/_edgemem"
  edgemem completion fish > ~/.config/fish/completions/edgemem.fish`,
		ValidArgs: shells,
		Args:      args(1, 1, "bash, zsh or fish"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return usagef("no completion for %q: want bash, zsh or fish", args[0])
		},
	}
}

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/persist"
)

func rekeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Give an encrypted store another key, while its node is stopped",
		Long: `Give the encrypted store of a stopped node another key. The data stays as it is: it is
encrypted with a data key of the store's own, and only that is encrypted anew, so it takes
no time. Whoever has the old key and an old copy of the directory can still read that
copy; to encrypt all data anew, back the node up and restore it with another key.

Backups that were made before need the old key.`,
		Example: `  edgemem rekey --data-dir /var/lib/edgemem --key-file old.key --new-key-file new.key`,
		Args:    args(0, 0, ""),
	}
	addStore(cmd)
	o := outputFlag(cmd)
	newFile := cmd.Flags().String("new-key-file", "", "`FILE` with the key that is to open the store from now on")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := settingsOf(cmd)
		if err != nil {
			return err
		}
		if c.KeyFile == "" || *newFile == "" {
			return usagef("rekey wants --key-file, with the key that the store has, and --new-key-file")
		}
		old, err := c.Key()
		if err != nil {
			return err
		}
		next, err := config.ReadKey(*newFile)
		if err != nil {
			return usagef("--new-key-file: %w", err)
		}
		if err := persist.Rekey(datadir.StorePath(c.DataDir), old, next); err != nil {
			return explainStore(c.DataDir, err)
		}
		if o.structured() {
			return o.print(cmd.OutOrStdout(), map[string]any{"data_dir": c.DataDir, "rekeyed": true})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s opens with %s from now on\n", c.DataDir, *newFile)
		return err
	}
	return cmd
}

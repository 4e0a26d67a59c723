package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/datadir"
	"github.com/edgemem/edgemem/persist"
)

// addStore declares the flags by which cmd finds its daemon, or opens the store of one that is stopped.
func addStore(cmd *cobra.Command) {
	config.AddStoreFlags(cmd.Flags())
	cmd.Flags().String("config", "", "configuration `FILE` to take the data directory and the key file from")
	_ = cmd.MarkFlagDirname("data-dir") // only fails for a flag that does not exist
}

// settingsOf gives the settings that cmd's flags, the variables and the file come to.
func settingsOf(cmd *cobra.Command) (config.Config, error) {
	loaded, err := loadRun(cmd)
	if err != nil {
		return config.Config{}, err
	}
	if loaded.Config.DataDir == "" {
		return loaded.Config, usageError{errors.New("no data directory: give --data-dir")}
	}
	return loaded.Config, nil
}

// openStopped opens the store of a daemon that is stopped.
func openStopped(cmd *cobra.Command, c config.Config) (*persist.Store, error) {
	if err := datadir.Ready(c.DataDir, slog.New(slog.DiscardHandler)); err != nil {
		return nil, fmt.Errorf("--data-dir %s: %w", c.DataDir, err)
	}
	if !datadir.HasStore(c.DataDir) {
		return nil, fmt.Errorf("%w on %s, and there is no store: name its --data-dir", control.ErrUnreachable, c.DataDir)
	}
	key, err := c.Key()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := persist.Open(persist.Config{Dir: datadir.StorePath(c.DataDir), Key: key, Profile: datadir.Profile(c.Tier), Logger: log, ReclaimInterval: -1})
	return s, explainStore(c.DataDir, err)
}

// explainStore names the flag that an error of a store is about.
func explainStore(dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, persist.ErrKey):
		return fmt.Errorf("--key-file: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--data-dir %s: there is no store: %w", dir, err)
	default:
		return fmt.Errorf("--data-dir %s: %w", dir, err)
	}
}

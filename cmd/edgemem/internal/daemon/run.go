package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/config"
)

const (
	// closeTimeout is the promise that SIGTERM ends the process, less a margin to say that it did not.
	closeTimeout = 4500 * time.Millisecond
	// exitBySignal is what a shell reports for a process that SIGINT ended.
	exitBySignal = 130
)

// ErrSlowClose means that closing did not finish in time.
var ErrSlowClose = fmt.Errorf("daemon: closing was given up after %v: what was acknowledged as disk is on disk, "+
	"the last writes that were acknowledged as memory may be lost here unless a peer has them", closeTimeout)

// Run runs a node until ctx ends or a signal asks for the end, and returns nil after a clean close.
func Run(ctx context.Context, cfg config.Config, stderr io.Writer) error {
	signals := make(chan os.Signal, 2) // one to close, one to end at once; more say nothing new
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan struct{})
	defer close(finished)
	go obey(signals, finished, cancel, func() { os.Exit(exitBySignal) })

	log := newLogger(&cfg, stderr)
	limitMemory(&cfg, log)
	d, err := Open(ctx, cfg, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to end before it began
		}
		return err
	}
	d.announce(stderr)
	defer d.memory.settle()()
	select {
	case <-ctx.Done():
		log.Info("closing")
	case err = <-d.broken:
		err = fmt.Errorf("a local interface stopped: %w", err)
	}
	return errors.Join(err, closeInTime(d))
}

// obey turns the first signal into the wish to close and the second into the end.
func obey(signals <-chan os.Signal, finished <-chan struct{}, closing, end func()) {
	for _, act := range []func(){closing, end} {
		select {
		case <-signals:
			act()
		case <-finished:
			return
		}
	}
}

func closeInTime(d *Daemon) error {
	closed := make(chan error, 1) // one answer, never blocks
	go func() { closed <- d.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeTimeout):
		return ErrSlowClose
	}
}

func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // Validate has seen it
	return slog.New(newHandler(cfg, w, level))
}

func newHandler(cfg *config.Config, w io.Writer, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// announce says that the node is ready, whatever the log's level: people and scripts wait for this line.
func (d *Daemon) announce(w io.Writer) {
	n := d.node()
	if d.cfg.LogFormat == "json" {
		slog.New(newHandler(&d.cfg, w, slog.LevelInfo)).Info("ready", "name", n.Name, "tier", n.Tier, "id", n.ID,
			"resp", n.RESP, "http", n.HTTP, "listen", n.Listen, "data_dir", n.DataDir)
		return
	}
	fmt.Fprintf(w, "edgemem: %s is ready: resp=%s http=%s listen=%s data-dir=%s\n",
		n.Name, n.RESP, n.HTTP, strings.Join(n.Listen, ","), n.DataDir)
}

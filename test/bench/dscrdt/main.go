// Command dscrdt measures go-ds-crdt for the benchmarks beside it. It is a module of its own, so that
// edgemem does not depend on what it is compared with.
//
//	dscrdt PROBE [flags]
//
// A probe prints one JSON object of figures, from name to number, on its last line.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"
	"time"
)

// A probe registers its flags and gives the function to run once they are parsed.
type probe func(fs *flag.FlagSet) func(context.Context) (figures, error)

type figures map[string]float64

var probes = map[string]probe{
	"write":   probeWrite,
	"hop":     probeHop,
	"catchup": probeCatchup,
	"load":    probeLoad,
	"regions": probeRegions,
	"disk":    probeDisk,
}

// probeTimeMax ends a probe that hangs.
const probeTimeMax = 10 * time.Minute

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dscrdt:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) == 0 || probes[args[0]] == nil {
		return fmt.Errorf("want one of the probes %s", strings.Join(probeNames(), ", "))
	}
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	do := probes[args[0]](fs)
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeMax)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	got, err := do(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return json.NewEncoder(out).Encode(got)
}

func probeNames() []string {
	var names []string
	for name := range probes {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

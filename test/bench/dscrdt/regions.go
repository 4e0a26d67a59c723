package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// probeRegions gives the memory that one replica with one entry takes, of many in one process. They have no network:
// with one, each would have a topic of its own as well.
func probeRegions(fs *flag.FlagSet) func(context.Context) (figures, error) {
	count := fs.Int("n", 500, "replicas")
	return func(ctx context.Context) (figures, error) {
		before, err := settledRSS()
		if err != nil {
			return nil, err
		}
		for i := range *count {
			n, err := openAlone(ctx, options(nil))
			if err != nil {
				return nil, err
			}
			defer n.close()
			if err := n.crdt.Put(ctx, key(i), value()); err != nil {
				return nil, err
			}
		}
		after, err := settledRSS()
		return figures{"bytes": (after - before) / float64(*count)}, err
	}
}

// settledRSS is the memory of this process in RAM, after the collector has given back what it can, in bytes.
func settledRSS() (float64, error) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in /proc/self/status")
}

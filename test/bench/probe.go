package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// A probe registers its flags and gives the function to run once they are parsed. It runs in a
// process of its own.
type probe func(fs *flag.FlagSet) func(context.Context) (values, error)

// runProbe prints the figures of one probe as a JSON object.
func runProbe(ctx context.Context, args []string, out io.Writer) error {
	probes := allProbes()
	names := strings.Join(slices.Sorted(maps.Keys(probes)), ", ")
	if len(args) == 0 || probes[args[0]] == nil {
		return fmt.Errorf("probe: want one of %s", names)
	}
	fs := flag.NewFlagSet("bench probe "+args[0], flag.ContinueOnError)
	do := probes[args[0]](fs)
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	got, err := do(ctx)
	if err != nil {
		return fmt.Errorf("probe %s: %w", args[0], err)
	}
	return json.NewEncoder(out).Encode(got)
}

// probe runs one of this program's probes in a child.
func (e *env) probe(ctx context.Context, args ...string) (values, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return e.figures(ctx, self, append([]string{"probe"}, args...)...)
}

// reference runs one of go-ds-crdt's probes in a child.
func (e *env) reference(ctx context.Context, args ...string) (values, error) {
	program, err := e.dscrdt()
	if err != nil {
		return nil, err
	}
	return e.figures(ctx, program, args...)
}

// figures runs a program and reads the JSON object on the last line that it prints.
func (e *env) figures(ctx context.Context, program string, args ...string) (values, error) {
	text, err := e.output(ctx, e.dir, program, args...)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var got values
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		return nil, fmt.Errorf("%s: the last line is not a JSON object of numbers: %w", strings.Join(args, " "), err)
	}
	return got, nil
}

// probeSide is a side that runs one probe; rename gives its figures the row's keys.
func (e *env) probeSide(name string, rename map[string]string, args ...string) side {
	return side{name, func(ctx context.Context) (values, error) {
		return renamed(rename)(e.probe(ctx, args...))
	}}
}

func (e *env) referenceSide(name string, rename map[string]string, args ...string) side {
	return side{name, func(ctx context.Context) (values, error) {
		return renamed(rename)(e.reference(ctx, args...))
	}}
}

func renamed(names map[string]string) func(values, error) (values, error) {
	return func(got values, err error) (values, error) {
		for from, to := range names {
			if v, ok := got[from]; ok {
				got[to] = v
			}
		}
		return got, err
	}
}

// inFolder gives a probe a folder of its own, which goes when it ends.
func inFolder(probe func(ctx context.Context, dir string) (values, error)) func(context.Context) (values, error) {
	return func(ctx context.Context) (values, error) {
		dir, err := os.MkdirTemp("", "edgemem-probe-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		return probe(ctx, dir)
	}
}

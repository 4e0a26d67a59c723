package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// runTimeMax ends a run that hangs.
const runTimeMax = 60 * time.Minute

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeMax)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		err = runProbe(ctx, os.Args[2:], os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	match  *regexp.Regexp
	short  bool
	list   bool
	rounds int
	output string
	save   string
	dir    string
	daemon string
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	pattern := fs.String("run", ".", "rows to run, by regular expression on their name")
	fs.BoolVar(&o.short, "short", false, "small sizes and one round: shows that the rows run")
	fs.BoolVar(&o.list, "list", false, "list the rows and end")
	fs.IntVar(&o.rounds, "rounds", 0, "rounds of each row; 0 for the row's own number")
	fs.StringVar(&o.output, "o", "table", "what to print: table or json")
	fs.StringVar(&o.save, "save", "", "file to write the JSON to as well")
	fs.StringVar(&o.dir, "dir", "", "directory for the data of the programs measured; empty for a temporary one")
	fs.StringVar(&o.daemon, "edgemem", "", "edgemem program to measure; empty to build the one of this tree")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", fs.Arg(0))
	}
	if o.output != "table" && o.output != "json" {
		return o, fmt.Errorf("-o %s: want table or json", o.output)
	}
	if o.rounds < 0 {
		return o, fmt.Errorf("-rounds %d: want 0 or more", o.rounds)
	}
	o.match, err = regexp.Compile(*pattern)
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	rows := chosen(o.match)
	if len(rows) == 0 {
		return fmt.Errorf("-run %v matches no row: -list shows them", o.match)
	}
	if o.list {
		listRows(stdout, rows)
		return nil
	}
	env, err := newEnv(o, stderr)
	if err != nil {
		return err
	}
	defer env.close()
	rep := newReport(o)
	for _, r := range rows {
		rep.Rows = append(rep.Rows, r.measure(ctx, env)...)
		if ctx.Err() != nil {
			break
		}
	}
	if err := errors.Join(rep.write(stdout, o.output), rep.saveTo(o.save)); err != nil {
		return err
	}
	return errors.Join(ctx.Err(), rep.failed())
}

func chosen(match *regexp.Regexp) []row {
	var some []row
	for _, r := range allRows() {
		if match.MatchString(r.name) {
			some = append(some, r)
		}
	}
	return some
}

func listRows(w io.Writer, rows []row) {
	for _, r := range rows {
		for _, f := range r.figures {
			fmt.Fprintf(w, "%-14s %-58s %s\n", r.name, f.title, f.reach)
		}
	}
}

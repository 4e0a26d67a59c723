package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/dataset"
)

// Options say how to run the demo.
type Options struct {
	Input string // NDJSON, CSV or TSV, also gzipped; "" takes this machine's own data
	Key   string // the field of Input that is the key; "" picks one
	Limit int    // records to load; 0 loads all
	Keep  bool   // leave the mesh running until ctx ends
	Out   io.Writer
}

var (
	// ErrFailed means that the demo ran and something did not hold; what, was printed.
	ErrFailed = errors.New("demo: something did not hold")
	// ErrInterrupted means that ctx ended before the demo did.
	ErrInterrupted = errors.New("demo: interrupted; its daemons are stopped and its files removed")
)

const (
	region = "default" // of Redis database 0, where plain clients are
	// awayWrites are made on the connected side while the device is away, deviceWrites on the device.
	awayWrites   = 12_000
	deviceWrites = 3_000
	ticketLife   = time.Minute
)

type demo struct {
	opts                Options
	screen              *screen
	root                string // temporary directory
	cloud, edge, device *node
	oracle              *oracle
	conflicts           []conflict
	figures             figures
	failures            int
}

func (d *demo) nodes() []*node {
	var running []*node
	for _, n := range []*node{d.device, d.edge, d.cloud} {
		if n != nil {
			running = append(running, n)
		}
	}
	return running
}

// Run does the whole of it and cleans up. Errors: ErrFailed, ErrInterrupted, and what made it impossible.
func Run(ctx context.Context, o Options) (err error) {
	source, err := dataset.Open(o.Input, o.Key)
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "edgemem-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d := &demo{opts: o, screen: newScreen(o.Out), root: root, oracle: newOracle(), conflicts: conflicts()}
	defer func() { err = errors.Join(err, d.stopAll(), os.RemoveAll(d.root)) }()
	d.screen.title("edgemem demo: a device, an edge server and a cloud share one memory")
	began := time.Now()
	for _, step := range []func(context.Context, dataset.Source) error{
		d.stepStart, d.stepLoad, d.stepPropagate, d.stepRoam, d.stepPart, d.stepReturn, d.stepProve,
	} {
		if err := step(ctx, source); err != nil {
			return explain(ctx, err)
		}
	}
	took := time.Since(began)
	if o.Keep {
		d.keep(ctx)
	}
	d.stepStop()
	if d.failures > 0 {
		d.screen.bad("%d checks failed", d.failures)
		return ErrFailed
	}
	d.screen.title(fmt.Sprintf("\nEverything held, in %s.", span(took)))
	return nil
}

// explain tells an interruption from a failure: whatever broke, broke because of it.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return fmt.Errorf("demo: %w", err)
}

// stepStop ends the daemons and holds them to their promise: flushed, with exit code 0, within 5 seconds.
func (d *demo) stepStop() {
	d.screen.begin("Stop all three")
	began := time.Now()
	if err := d.stopAll(); err != nil {
		d.fail("%v", err)
		return
	}
	d.screen.ok("flushed, said goodbye and ended with exit code 0 in %s", span(time.Since(began)))
}

// stopAll ends the daemons that run, at once.
func (d *demo) stopAll() error {
	nodes := d.nodes()
	d.cloud, d.edge, d.device = nil, nil, nil
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			if err := n.stop(); err != nil {
				errs[i] = fmt.Errorf("%w%s", err, n.lastWords())
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *demo) stepStart(ctx context.Context, _ dataset.Source) (err error) {
	d.screen.begin("Start three daemons, each a process of its own, and join them by ticket")
	if d.cloud, err = start(ctx, d.root, "cloud", ""); err != nil {
		return err
	}
	d.announce(d.cloud, "founded the fabric")
	for _, other := range []struct {
		at   **node
		tier string
	}{{&d.edge, "edge"}, {&d.device, "device"}} {
		inv, err := d.cloud.control.Invite(ctx, ticketLife, 1)
		if err != nil {
			return err
		}
		if *other.at, err = start(ctx, d.root, other.tier, inv.Ticket); err != nil {
			return err
		}
		d.announce(*other.at, "joined by ticket")
	}
	return d.waitConnected(ctx)
}

func (d *demo) announce(n *node, how string) {
	d.screen.ok("%-6s  %-18s  ready in %-7s  %s", n.name, how, span(n.readyIn),
		d.screen.paint(dim, fmt.Sprintf("redis-cli -p %s", port(n.status.Node.RESP))))
}

func (d *demo) stepLoad(ctx context.Context, source dataset.Source) error {
	d.screen.begin("Load %s into the device", source.Name)
	before, err := d.traffic(ctx)
	if err != nil {
		return err
	}
	l, err := d.load(ctx, d.device, source, d.opts.Limit)
	if err != nil {
		return err
	}
	if l.records == 0 {
		return fmt.Errorf("%s holds no records", source.Name)
	}
	d.screen.ok("%s records, %s of keys and values, written in %s", count(l.records), size(l.payload), span(l.took))
	spread := time.Now()
	if err := d.waitEqual(ctx); err != nil {
		return err
	}
	d.screen.ok("all three hold the same, %s after the last write", span(time.Since(spread)))
	d.figures.load = l
	d.figures.loadSpread = time.Since(spread)
	d.figures.loadWire, err = d.trafficSince(ctx, before)
	return err
}

func (d *demo) stepPropagate(ctx context.Context, _ dataset.Source) (err error) {
	d.screen.begin("Write one by one on the device, and watch the cloud")
	if d.figures.pings, err = d.ping(ctx); err != nil {
		return err
	}
	p50, p99 := percentile(d.figures.pings, 50), percentile(d.figures.pings, 99)
	d.screen.ok("%d writes: half arrive within %s, 99 of 100 within %s", len(d.figures.pings), span(p50), span(p99))
	return nil
}

func (d *demo) stepPart(ctx context.Context, _ dataset.Source) error {
	d.screen.begin("Take the device off line, and write on both sides")
	if err := d.prepare(); err != nil {
		return err
	}
	if err := d.waitEqual(ctx); err != nil {
		return err
	}
	if err := d.device.control.SetOffline(ctx, true); err != nil {
		return err
	}
	d.screen.ok("the device has left the mesh; its clients notice nothing")
	away, err := d.writeAway()
	if err != nil {
		return err
	}
	here, err := d.writeOnDevice()
	if err != nil {
		return err
	}
	if err := d.collide(ctx); err != nil {
		return err
	}
	d.figures.away, d.figures.here = away, here
	d.screen.ok("%s writes on the cloud and the edge, %s on the device", count(away.writes), count(here.writes))
	d.screen.ok("%d keys written by both, against each other", both(away, here)+len(d.conflicts))
	return d.checkApart(ctx)
}

// checkApart makes sure that the partition was one: otherwise the rest proves nothing.
func (d *demo) checkApart(ctx context.Context) error {
	s, err := d.statuses(ctx)
	if err != nil {
		return err
	}
	if same(s) {
		d.fail("the device holds what the cloud holds, though it is off line")
	}
	for _, p := range s[0].Peers {
		if p.Connected {
			d.fail("the device is connected to %s, though it is off line", p.Name)
		}
	}
	return nil
}

func (d *demo) stepReturn(ctx context.Context, _ dataset.Source) error {
	d.screen.begin("Bring the device back")
	before, err := d.traffic(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := d.device.control.SetOffline(ctx, false); err != nil {
		return err
	}
	if err := d.waitEqual(ctx); err != nil {
		return err
	}
	d.figures.catchUp = time.Since(began)
	if d.figures.catchUpWire, err = d.trafficSince(ctx, before); err != nil {
		return err
	}
	s, err := d.device.control.Status(ctx)
	if err != nil {
		return err
	}
	d.figures.pull = s.Node.Sync.LastPull
	d.screen.ok("the same on all three, %s after the command", span(d.figures.catchUp))
	return nil
}

func (d *demo) stepProve(ctx context.Context, _ dataset.Source) error {
	d.screen.begin("Prove it: read every key of every node and compare with what must be there")
	s, err := d.statuses(ctx)
	if err != nil {
		return err
	}
	d.proveDigests(s)
	d.proveContents(d.readBack(ctx))
	if err := d.proveConflicts(); err != nil {
		return err
	}
	return d.printFigures()
}

func (d *demo) proveDigests(s []control.Status) {
	if !same(s) {
		d.fail("digests differ")
		return
	}
	r, _ := regionOf(s[0])
	d.screen.ok("digests agree: %s", r.Digest)
}

func (d *demo) proveContents(reports []report) {
	for _, r := range reports {
		switch {
		case r.err != nil:
			d.fail("%v", r.err)
		case r.dbsize != int64(len(d.oracle.keys)):
			d.fail("%s counts %d keys, want %d", r.node.name, r.dbsize, len(d.oracle.keys))
		case len(r.faults) == 0:
			d.screen.ok("%-6s  %s keys read, each holds what it must", r.node.name, count(r.keys))
		}
		for i, f := range r.faults {
			if i == faultsShown {
				d.screen.bad("%s: and %d more", r.node.name, len(r.faults)-i)
				break
			}
			d.screen.bad("%s", f)
		}
		d.failures += len(r.faults)
	}
	if d.failures == 0 {
		d.screen.ok("no write of %s is lost", count(d.oracle.writes))
	}
}

// proveConflicts judges each conflict on every node and prints the table.
func (d *demo) proveConflicts() error {
	rows := [][]string{{"DEVICE ‖ CLOUD", "RULE", "OUTCOME", ""}}
	var problems []string
	for _, c := range d.conflicts {
		verdict, found := "ok", ""
		for _, n := range d.nodes() {
			f, problem, err := c.judge(n)
			if err != nil {
				return err
			}
			if found = f; problem != "" {
				verdict = "FAIL"
				problems = append(problems, fmt.Sprintf("%s on %s: %s", c.key, n.name, problem))
			}
		}
		rows = append(rows, []string{c.what, c.rule, found, verdict})
	}
	fmt.Fprintln(d.screen.w)
	d.screen.table(rows, func(_, col int, text string) string {
		switch {
		case col == 3 && text == "ok":
			return d.screen.paint(green, text)
		case col == 3:
			return d.screen.paint(red, text)
		}
		return text
	})
	for _, p := range problems {
		d.fail("%s", p)
	}
	return nil
}

func (d *demo) fail(format string, args ...any) {
	d.failures++
	d.screen.bad(format, args...)
}

// keep shows how to play with the mesh and waits for the end.
func (d *demo) keep(ctx context.Context) {
	self, err := os.Executable()
	if err != nil {
		self = "edgemem"
	}
	d.screen.begin("The mesh stays up until Ctrl-C")
	for _, n := range d.nodes() {
		d.screen.line(fmt.Sprintf("redis-cli -p %-6s  # %s", port(n.status.Node.RESP), n.name))
	}
	d.screen.line(fmt.Sprintf("redis-cli -p %s SET greeting hello; redis-cli -p %s GET greeting",
		port(d.device.status.Node.RESP), port(d.cloud.status.Node.RESP)))
	d.screen.line(fmt.Sprintf("%s status --data-dir %s", self, d.device.dir))
	d.screen.line(fmt.Sprintf("%s offline --data-dir %s", self, d.device.dir))
	d.screen.line(fmt.Sprintf("curl -s http://%s/metrics", d.cloud.status.Node.HTTP))
	<-ctx.Done()
}

package demo

import (
	"context"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
	"github.com/edgemem/edgemem/fabric"
)

const (
	pings = 200
	// pingInterval is longer than the window in which pushes are gathered, so that each is a write after
	// a pause, as single writes are.
	pingInterval = 10 * time.Millisecond
	// pingBudget ends the measurement early on a machine that is busy with other things.
	pingBudget = 5 * time.Second
	pingPrefix = "ping:"
	// warmInterval is how often the first ping is repeated until it is heard.
	warmInterval = 10 * time.Millisecond
	// pingTimeout is long enough for the slowest repair of a lost push.
	pingTimeout = 60 * time.Second
)

// figures are what the demo measured; wire counts are bytes received, by node in the order of nodes.
type figures struct {
	load        loaded
	loadSpread  time.Duration
	loadWire    []int64
	pings       []time.Duration
	away, here  written
	catchUp     time.Duration
	catchUpWire []int64
	pull        *fabric.PullReport // the device's own, of the catch-up
}

// ping writes on the device, each when the one before has arrived, and takes the time until the cloud
// tells its watchers. The watch pushes: nothing here asks in a loop.
func (d *demo) ping(ctx context.Context) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	events, err := d.cloud.control.Watch(ctx, region, pingPrefix)
	if err != nil {
		return nil, err
	}
	h := hear(events)
	defer h.wait()
	defer cancel()
	if err := d.pingUntilHeard(ctx, h); err != nil {
		return nil, err
	}
	var took []time.Duration
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for began := time.Now(); len(took) < pings && time.Since(began) < pingBudget; {
		<-tick.C
		one, err := d.pingOnce(ctx, fmt.Sprintf("%s%03d", pingPrefix, len(took)), h)
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
	return took, nil
}

// hearing takes the events of a watch as they come.
type hearing struct {
	keys chan string   // unbuffered: the next is taken when the last is dealt with
	done chan struct{} // closed when the watch has ended
	err  error         // why, once done is closed
	quit chan struct{}
}

func hear(events iter.Seq2[control.Event, error]) *hearing {
	h := &hearing{keys: make(chan string), done: make(chan struct{}), quit: make(chan struct{})}
	go func() {
		defer close(h.done)
		for ev, err := range events {
			if err != nil {
				h.err = err
				return
			}
			select {
			case h.keys <- ev.Key:
			case <-h.quit:
				return
			}
		}
	}()
	return h
}

// wait ends the hearing; the watch's context must have ended.
func (h *hearing) wait() {
	close(h.quit)
	<-h.done
}

// pingUntilHeard makes sure that the watch is in place: it begins shortly after it was asked for.
func (d *demo) pingUntilHeard(ctx context.Context, h *hearing) error {
	key := pingPrefix + "first"
	tick := time.NewTicker(warmInterval)
	defer tick.Stop()
	for {
		d.oracle.set(key, "ping")
		if _, err := d.device.resp.Do("SET", key, "ping"); err != nil {
			return fmt.Errorf("device answered SET: %w", err)
		}
		select {
		case <-h.keys:
			return nil
		case <-h.done:
			return h.ended(ctx)
		case <-tick.C:
		}
	}
}

func (d *demo) pingOnce(ctx context.Context, key string, h *hearing) (time.Duration, error) {
	d.oracle.set(key, "ping")
	began := time.Now()
	if _, err := d.device.resp.Do("SET", key, "ping"); err != nil {
		return 0, fmt.Errorf("device answered SET: %w", err)
	}
	for {
		select {
		case got := <-h.keys:
			if got == key {
				return time.Since(began), nil
			}
		case <-h.done:
			return 0, h.ended(ctx)
		}
	}
}

func (h *hearing) ended(ctx context.Context) error {
	if h.err == nil {
		return fmt.Errorf("the watch on the cloud ended: %w", context.Cause(ctx))
	}
	return fmt.Errorf("the watch on the cloud ended: %w", h.err)
}

func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func (d *demo) printFigures() error {
	f := d.figures
	seconds := f.load.took.Seconds()
	rows := [][]string{
		{"FIGURE", "MEASURED", "HOW"},
		{"load", fmt.Sprintf("%s records/s", count(int(float64(f.load.records)/seconds))),
			fmt.Sprintf("%s commands through RESP, one connection, pipelines of %d", count(f.load.commands), pipelineCommands)},
		{"the rest of the load arrives", span(f.loadSpread), "from the last reply until three digests agree"},
		{"propagation, p50 / p99", span(percentile(f.pings, 50)) + " / " + span(percentile(f.pings, 99)),
			fmt.Sprintf("%d single writes, one each %s, from SET on the device to a watch on the cloud", len(f.pings), span(pingInterval))},
		{"catch-up", span(f.catchUp), fmt.Sprintf("%s writes missed, %s brought; until three digests agree", count(f.away.writes), count(f.here.writes))},
		{"round trips", f.roundTrips(), "of the pull in which the device got what it had missed"},
		{"wire, load", f.wire(f.loadWire[1:], 2*f.load.payload), "received by edge and cloud, against keys and values"},
		{"wire, catch-up", f.wire(f.catchUpWire, f.away.payload+2*f.here.payload), "received by all three, against keys and values that moved"},
		{"memory", d.memory(), "resident, device / edge / cloud"},
	}
	fmt.Fprintln(d.screen.w)
	d.screen.table(rows, func(_, col int, text string) string {
		if col == 2 {
			return d.screen.paint(dim, text)
		}
		return text
	})
	d.screen.note("%s", machine())
	return nil
}

// machine says what else the figures depend on.
func machine() string {
	text := fmt.Sprintf("measured on %d cores", runtime.NumCPU())
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ := strings.Cut(string(b), " ")
		text += ", with a load average of " + load
	}
	return text
}

func (f figures) roundTrips() string {
	if f.pull == nil {
		return "–"
	}
	return fmt.Sprintf("%d for %s writes", f.pull.Rounds, count(int(f.pull.News)))
}

func (f figures) wire(received []int64, payload int64) string {
	var sum int64
	for _, n := range received {
		sum += n
	}
	return fmt.Sprintf("%s for %s (%.2f ×)", size(sum), size(payload), float64(sum)/float64(max(1, payload)))
}

// memory reads the resident size of the daemons where /proc tells it.
func (d *demo) memory() string {
	var parts []string
	for _, n := range d.nodes() {
		parts = append(parts, resident(n.cmd.Process.Pid))
	}
	return strings.Join(parts, " / ")
}

func resident(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "–"
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // the kernel wrote it
			return size(kib << 10)
		}
	}
	return "–"
}

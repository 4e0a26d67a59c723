package scenario

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Report is what came out of a run.
type Report struct {
	Scenario  *Scenario
	Log       []string
	Converged bool
	Took      time.Duration // from the last write or event to equal replicas
	Ended     time.Duration // virtual
	Wall      time.Duration
	HeapBytes uint64

	Writes   int
	Traced   int
	Spread   Spread // of the traced writes
	LogN     float64
	Servers  Copies
	Devices  Copies
	Frames   int64
	Lost     int64
	Pulls    int64
	Refused  int64 // told to come back later
	Replies  int64 // of pullers, in reconciliations
	Chunks   int64
	Payload  int64 // bytes of frames and chunks, each counted once
	Nodes    Bytes // in and out
	Tiers    []Bytes
	Served   int
	Waited   int
	PeakOut  float64 // bytes a second
	PeakTier string
}

// Spread is how writes spread.
type Spread struct {
	Everywhere int // of the traced
	HopsMax    int
	HopsMean   float64
	TimeMax    time.Duration // until everywhere
	TimeMedian time.Duration
}

// Copies is how often nodes got a pushed frame.
type Copies struct {
	Mean       float64
	Max        int
	Duplicates int64
}

// Bytes is what nodes sent and took.
type Bytes struct {
	Name           string
	Mean, P99, Max int64
}

func (w *world) report() *Report {
	rep := &Report{
		Scenario: w.s, Log: w.log, Converged: w.equal >= 0 && w.pending == 0, Ended: w.now,
		Writes: w.writes, Traced: len(w.traced), LogN: math.Log(float64(len(w.nodes))) / math.Log(float64(w.s.Gossip.Degree)),
		Frames: w.frames, Lost: w.lostFrames, Pulls: w.pulls, Refused: w.refused, Replies: w.replies, Chunks: w.chunks,
		Payload: w.frameBytes + w.chunkBytes, Spread: w.spreadOf(),
	}
	if rep.Converged {
		rep.Took = max(w.equal-w.last, 0)
	}
	rep.Servers = w.copies(false)
	rep.Devices = w.copies(true)
	rep.Nodes = bytesOf("all", w.nodes)
	for t := range w.s.Tier {
		rep.Tiers = append(rep.Tiers, bytesOf(w.s.Tier[t].Name, slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n.tierID != t })))
	}
	for _, n := range w.nodes {
		rep.Served, rep.Waited = max(rep.Served, n.use.served), max(rep.Waited, n.use.waited)
		if n.use.peak > rep.PeakOut {
			rep.PeakOut, rep.PeakTier = n.use.peak, n.tier.Name
		}
	}
	return rep
}

func (w *world) spreadOf() (s Spread) {
	var times []time.Duration
	hops, n := 0, 0
	for _, t := range w.traced {
		for i := range w.nodes {
			if h := t.hops[i]; h > 0 {
				hops, n, s.HopsMax = hops+h, n+1, max(s.HopsMax, h)
			}
		}
		if t.left == 0 {
			times = append(times, t.took)
		}
	}
	if s.Everywhere = len(times); s.Everywhere > 0 {
		slices.Sort(times)
		s.TimeMax, s.TimeMedian = times[len(times)-1], times[len(times)/2]
	}
	s.HopsMean = float64(hops) / float64(max(n, 1))
	return s
}

func (w *world) copies(devices bool) (c Copies) {
	var copies, frames int64
	for _, n := range w.nodes {
		if n.device() == devices {
			copies, frames = copies+n.use.copies, frames+n.use.frames
		}
	}
	c.Mean = float64(copies) / float64(max(frames, 1))
	c.Duplicates = copies - frames
	if c.Max = w.copiesMax[0]; devices {
		c.Max = w.copiesMax[1]
	}
	return c
}

func bytesOf(name string, nodes []*node) Bytes {
	b := Bytes{Name: name}
	var all []int64
	for _, n := range nodes {
		all = append(all, n.use.in+n.use.out)
		b.Mean += n.use.in + n.use.out
	}
	slices.Sort(all)
	b.Mean /= int64(len(all))
	b.P99, b.Max = all[(len(all)-1)*99/100], all[len(all)-1]
	return b
}

// Check compares the report with what the file expects, and gives what is not so.
func (rep *Report) Check() (wrong []string) {
	e := &rep.Scenario.Expect
	if !rep.Converged {
		wrong = append(wrong, fmt.Sprintf("replicas are unequal after %v", rep.Ended))
	}
	limit := func(what string, have, most float64) {
		if most > 0 && have > most {
			wrong = append(wrong, fmt.Sprintf("%s: %.4g, at most %.4g expected", what, have, most))
		}
	}
	limit("seconds from the last event to equal replicas", rep.Took.Seconds(), time.Duration(e.Within).Seconds())
	limit("hops of one write", float64(rep.Spread.HopsMax), e.Hops*rep.LogN)
	limit("copies of a frame at a server", rep.Servers.Mean, e.ServerCopies)
	limit("copies of a frame at a device", rep.Devices.Mean, e.DeviceCopies)
	limit("pulls served at once", float64(rep.Served), float64(e.Served))
	limit("Mbit/s out of one node", rep.PeakOut*8/1e6, e.PeakMbit)
	limit("bytes in and out of one node", float64(rep.Nodes.Max), float64(e.NodeBytesMax))
	if e.Hops > 0 && rep.Spread.Everywhere < rep.Traced {
		wrong = append(wrong, fmt.Sprintf("%d of %d traced writes are not everywhere", rep.Traced-rep.Spread.Everywhere, rep.Traced))
	}
	return wrong
}

// String is the report as a table.
func (rep *Report) String() string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s%s\n", name, fmt.Sprintf(format, args...))
	}
	s := rep.Scenario
	row("scenario", "%s, seed %d: %s", s.Name, s.Seed, s.About)
	var tiers []string
	total := 0
	for _, t := range s.Tier {
		tiers = append(tiers, fmt.Sprintf("%d %s", t.Nodes, t.Name))
		total += t.Nodes
	}
	row("nodes", "%d: %s; %d connections a server, gossip degree %d, log_D N = %.2f", total, strings.Join(tiers, ", "), s.Overlay.Connections, s.Gossip.Degree, rep.LogN)
	for _, l := range rep.Log {
		row("", "%s", l)
	}
	if rep.Converged {
		row("converged", "%v after the last event, %.3fs of virtual time in all", rep.Took.Round(time.Millisecond), rep.Ended.Seconds())
	} else {
		row("converged", "NO, within %.3fs of virtual time", rep.Ended.Seconds())
	}
	row("writes", "%d, %d traced: %d everywhere, within %v (median %v)", rep.Writes, rep.Traced, rep.Spread.Everywhere,
		rep.Spread.TimeMax.Round(time.Microsecond), rep.Spread.TimeMedian.Round(time.Microsecond))
	row("hops", "max %d, mean %.2f; 2 × log_D N = %.2f", rep.Spread.HopsMax, rep.Spread.HopsMean, 2*rep.LogN)
	row("copies", "of %d frames: a server %.2f (max %d), a device %.2f (max %d); %d duplicates, %d copies lost", rep.Frames,
		rep.Servers.Mean, rep.Servers.Max, rep.Devices.Mean, rep.Devices.Max, rep.Servers.Duplicates+rep.Devices.Duplicates, rep.Lost)
	for _, t := range append([]Bytes{rep.Nodes}, rep.Tiers...) {
		row("bytes", "%-9s mean %s, p99 %s, max %s", t.Name, size(t.Mean), size(t.P99), size(t.Max))
	}
	row("pulls", "%d, %d messages, %d replies; most served at once %d, most in a line %d, sent away %d", rep.Pulls, rep.Chunks, rep.Replies, rep.Served, rep.Waited, rep.Refused)
	row("peak", "%s/s out of a %s node", size(int64(rep.PeakOut)), rep.PeakTier)
	row("run", "%v, %s of heap", rep.Wall.Round(time.Millisecond), size(int64(rep.HeapBytes)))
	return b.String()
}

func size(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

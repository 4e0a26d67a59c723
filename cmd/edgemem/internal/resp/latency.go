package resp

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// latencyBuckets is how many powers of two of microseconds are told apart: up to 35 minutes.
const latencyBuckets = 32

// histogram counts calls by how long they took: bucket i those of up to 1<<i microseconds.
type histogram [latencyBuckets]atomic.Int64

// note counts calls that took so long each, on the average.
func (h *histogram) note(calls, nanos int64) {
	micros := max(nanos/max(calls, 1)/1000, 1)
	h[min(bits.Len64(uint64(micros-1)), latencyBuckets-1)].Add(calls)
}

// The events that are watched. Times are those of what a client sent at once.
const (
	eventCommand = "command"
	eventFast    = "fast-command"
	eventAck     = "acknowledgement"
)

// latencySamples is how many samples of an event are kept, at most one for each second: the worst in it.
const latencySamples = 160

// latency is what was slow. Events are three.
type latency struct {
	threshold atomic.Int64 // milliseconds; 0: nothing is watched

	mu     sync.Mutex
	events map[string]*latencyEvent
}

type latencyEvent struct {
	samples []latencySample // the newest last
	worst   int64           // ms
}

type latencySample struct{ at, millis int64 }

// note keeps a sample, if it is slow enough.
func (l *latency) note(event string, took time.Duration) {
	threshold := l.threshold.Load()
	if threshold == 0 || took < time.Duration(threshold)*time.Millisecond {
		return
	}
	s := latencySample{time.Now().Unix(), took.Milliseconds()}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events == nil {
		l.events = map[string]*latencyEvent{}
	}
	e := l.events[event]
	if e == nil {
		e = &latencyEvent{}
		l.events[event] = e
	}
	e.worst = max(e.worst, s.millis)
	if n := len(e.samples); n > 0 && e.samples[n-1].at == s.at {
		e.samples[n-1].millis = max(e.samples[n-1].millis, s.millis)
		return
	}
	if e.samples = append(e.samples, s); len(e.samples) > latencySamples {
		e.samples = slices.Delete(e.samples, 0, 1)
	}
}

// of copies what is known of an event.
func (l *latency) of(event string) (samples []latencySample, worst int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.events[event]; e != nil {
		return slices.Clone(e.samples), e.worst
	}
	return nil, 0
}

// reset forgets events, all where none is named, and counts those that there were.
func (l *latency) reset(events ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(events) == 0 {
		n = len(l.events)
		l.events = nil
	}
	for _, event := range events {
		if l.events[event] != nil {
			n++
			delete(l.events, event)
		}
	}
	return n
}

func latencyCommands() []*command {
	const all = "nondeterministic_output request_policy:all_nodes response_policy:special"
	sub := func(name string, arity int, since, summary, note string, run func(c *client)) *command {
		return &command{name: "latency|" + name, arity: arity, flags: "admin noscript loading stale", tips: all, group: "server", since: since,
			cost: "O(1)", summary: summary, note: note, run: run}
	}
	help := sub("help", 2, "2.8.13", "Lists the subcommands.", "", func(c *client) { c.help(latencyHelp) })
	help.flags, help.tips = "loading stale", ""
	reset := sub("reset", -2, "2.8.13", "Forgets what was slow, of some events or of all.", "", func(c *client) { c.int(int64(c.srv.latency.reset(c.texts(2)...))) })
	reset.tips = "request_policy:all_nodes response_policy:all_succeeded"
	return []*command{
		{name: "latency", arity: -2, group: "server", since: "2.8.13", cost: "by subcommand", summary: "Commands about what is slow.", subs: []*command{
			sub("latest", 2, "2.8.13", "Tells the latest slow moment of each event, and the worst: command, fast-command, acknowledgement.",
				"Of this node. Time is taken over what a client sent at once, and for acknowledgements over what waited together. CONFIG SET latency-monitor-threshold says what is slow.", latencyLatest),
			sub("history", 3, "2.8.13", "Lists the slow moments of an event: the worst of each second, 160 at most.", "", latencyHistory),
			reset,
			sub("doctor", 2, "2.8.13", "Says in words what was slow.", "", func(c *client) { c.verbatim(c.srv.latency.report()) }),
			sub("histogram", -2, "7.0.0", "Counts the calls of commands by how long they took, microseconds.", "Of calls that came together the average counts. CONFIG RESETSTAT sets it to zero.", latencyHistogram),
			help,
			{name: "latency|graph", refusal: "graphs are drawn from /metrics, or by edgemem top"},
		}},
	}
}

// texts copies the arguments from one on.
func (c *client) texts(from int) (out []string) {
	for _, arg := range c.args[from:] {
		out = append(out, string(arg))
	}
	return out
}

var latencyEvents = []string{eventAck, eventCommand, eventFast}

func latencyLatest(c *client) {
	type latest struct {
		event  string
		sample latencySample
		worst  int64
	}
	var all []latest
	for _, event := range latencyEvents {
		if samples, worst := c.srv.latency.of(event); len(samples) > 0 {
			all = append(all, latest{event, samples[len(samples)-1], worst})
		}
	}
	c.array(len(all))
	for _, x := range all {
		c.array(4)
		c.bulkString(x.event)
		c.int(x.sample.at)
		c.int(x.sample.millis)
		c.int(x.worst)
	}
}

func latencyHistory(c *client) {
	samples, _ := c.srv.latency.of(string(c.args[2]))
	c.array(len(samples))
	for _, s := range samples {
		c.array(2)
		c.int(s.at)
		c.int(s.millis)
	}
}

// report is LATENCY DOCTOR.
func (l *latency) report() string {
	threshold := l.threshold.Load()
	if threshold == 0 {
		return "Nothing is watched: CONFIG SET latency-monitor-threshold <milliseconds> says from when on a moment is slow."
	}
	var b strings.Builder
	for _, event := range latencyEvents {
		samples, worst := l.of(event)
		if len(samples) == 0 {
			continue
		}
		sum := int64(0)
		for _, s := range samples {
			sum += s.millis
		}
		fmt.Fprintf(&b, "%s: slow in %d seconds since %s, by %d ms on the average and %d ms at worst. ", event, len(samples),
			time.Unix(samples[0].at, 0).UTC().Format(time.RFC3339), sum/int64(len(samples)), worst)
		switch event {
		case eventAck:
			b.WriteString("Writes wait for the disk, or for other holders: look at the region's acknowledgement, the disk and the peers (INFO crdt).\n")
		case eventCommand:
			b.WriteString("SLOWLOG GET tells which commands.\n")
		default:
			b.WriteString("These take constant time each: the machine is short of processors, or long pipelines come at once.\n")
		}
	}
	if b.Len() == 0 {
		return fmt.Sprintf("Nothing took %d ms or more.", threshold)
	}
	return b.String()
}

func latencyHistogram(c *client) {
	var named []*command
	add := func(cmd *command) {
		for _, one := range append([]*command{cmd}, cmd.subs...) {
			if c.srv.stats.commands[one.index].took.Load() != nil && !slices.Contains(named, one) {
				named = append(named, one)
			}
		}
	}
	for _, cmd := range c.srv.table.listed {
		if len(c.args) == 2 {
			add(cmd)
		}
	}
	for _, name := range c.args[2:] {
		if cmd := c.srv.table.told(name); cmd != nil {
			add(cmd)
		}
	}
	c.mapOf(len(named))
	for _, cmd := range named {
		h := c.srv.stats.commands[cmd.index].took.Load()
		var at, upto []int64
		sum := int64(0)
		for i := range h {
			if n := h[i].Load(); n > 0 {
				sum += n
				at, upto = append(at, 1<<i), append(upto, sum)
			}
		}
		c.bulkString(cmd.name)
		c.mapOf(2)
		c.bulkString("calls")
		c.int(sum)
		c.bulkString("histogram_usec")
		c.mapOf(len(at))
		for i := range at {
			c.int(at[i])
			c.int(upto[i])
		}
	}
}

var latencyHelp = []string{
	"LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"DOCTOR", "    Return a human readable latency analysis report.",
	"HISTORY <event>", "    Return time-latency samples for the <event> class.",
	"LATEST", "    Return the latest latency samples for all events.",
	"RESET [<event> ...]", "    Reset latency data of one or more <event> classes.", "    (default: reset all data for all event classes)",
	"HISTOGRAM [COMMAND ...]", "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
	"    If no commands are specified then all histograms are replied.",
	"HELP", "    Prints this help.",
}

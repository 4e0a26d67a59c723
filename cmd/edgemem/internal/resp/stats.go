package resp

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// counters are the server's statistics: plain atomics, written by every client.
type counters struct {
	connections, rejected, stalled, overBudget atomic.Int64
	slowListeners, feedLags                    atomic.Int64
	protocolErrors, unknown, failedAcks        atomic.Int64
	bytesIn, bytesOut                          atomic.Int64
	ackWaits, ackNanos                         atomic.Int64
	hits, misses                               atomic.Int64
	commands                                   []commandCounters // by command.index
}

type commandCounters struct {
	calls, failed, rejected, nanos atomic.Int64
	took                           atomic.Pointer[histogram] // nil: it was not called yet
}

// run collects the statistics of one client's consecutive calls of one command, so that a pipeline
// touches the shared counters once.
type run struct {
	cmd                     *command
	calls, failed, rejected int64
	hits, misses            int64
	begun                   int64 // on the server's clock
}

func (r *run) begin(now int64) { *r = run{begun: now} }

// flush adds what was collected to the server's counters and starts afresh.
func (r *run) flush(to *counters, now int64) {
	if r.cmd != nil && r.calls > 0 {
		k := &to.commands[r.cmd.index]
		k.calls.Add(r.calls - r.rejected)
		k.nanos.Add(now - r.begun)
		if n := r.calls - r.rejected; n > 0 {
			h := k.took.Load()
			if h == nil {
				k.took.CompareAndSwap(nil, new(histogram))
				h = k.took.Load()
			}
			if h != nil { // CONFIG RESETSTAT may come in between
				h.note(n, now-r.begun)
			}
		}
		if r.rejected > 0 {
			k.rejected.Add(r.rejected)
		}
		if r.failed > r.rejected {
			k.failed.Add(r.failed - r.rejected)
		}
		if r.hits+r.misses > 0 {
			to.hits.Add(r.hits)
			to.misses.Add(r.misses)
		}
	}
	r.begin(now)
}

// Stats is what a server has done so far.
type Stats struct {
	Clients        int   // connected now
	Connections    int64 // accepted since the start
	Rejected       int64 // connections turned away at Limits.Clients
	Stalled        int64 // connections closed because they did not move
	SlowListeners  int64 // connections closed because their messages were not read
	OverBudget     int64 // connections closed because of Limits.BufferedBytes
	Commands       int64 // run
	Errors         int64 // error replies, of every kind
	Unknown        int64 // commands that are not in the table
	ProtocolErrors int64 // connections closed because of bad framing
	FailedAcks     int64 // writes whose acknowledgement failed
	AckWaits       int64 // pipelines that waited for an acknowledgement
	AckTime        time.Duration
	BytesIn        int64
	BytesOut       int64
	BufferedBytes  int64          // query and reply buffers beyond each client's first 64 KiB
	Hits, Misses   int64          // of keys read by GET, MGET, HGET and their like
	ByCommand      []CommandStats // of the commands that were called, sorted by name
}

// CommandStats is what one command has done so far. Its time is that of running the calls, without the
// wait for acknowledgements and the network.
type CommandStats struct {
	Name     string // "client|list" for a subcommand
	Calls    int64  // run
	Failed   int64  // run, and answered with an error
	Rejected int64  // not run: wrong arguments, no authentication, not supported
	Time     time.Duration
}

// Stats reads the counters. They move on while it reads.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	clients := len(s.clients)
	s.mu.Unlock()
	k := &s.stats
	out := Stats{
		Clients: clients, Connections: k.connections.Load(), Rejected: k.rejected.Load(), Stalled: k.stalled.Load(),
		OverBudget: k.overBudget.Load(), SlowListeners: k.slowListeners.Load(), Unknown: k.unknown.Load(), ProtocolErrors: k.protocolErrors.Load(),
		FailedAcks: k.failedAcks.Load(), AckWaits: k.ackWaits.Load(), AckTime: time.Duration(k.ackNanos.Load()),
		BytesIn: k.bytesIn.Load(), BytesOut: k.bytesOut.Load(), BufferedBytes: s.buffered.Load(),
		Hits: k.hits.Load(), Misses: k.misses.Load(), ByCommand: s.byCommand(),
	}
	out.Errors = out.Unknown + out.ProtocolErrors + out.FailedAcks
	for _, cmd := range out.ByCommand {
		out.Commands += cmd.Calls
		out.Errors += cmd.Failed + cmd.Rejected
	}
	return out
}

func (s *Server) byCommand() []CommandStats {
	var out []CommandStats
	add := func(cmd *command) {
		k := &s.stats.commands[cmd.index]
		line := CommandStats{cmd.name, k.calls.Load(), k.failed.Load(), k.rejected.Load(), time.Duration(k.nanos.Load())}
		if line.Calls+line.Rejected > 0 {
			out = append(out, line)
		}
	}
	for _, cmd := range s.table.byName {
		add(cmd)
		for _, sub := range cmd.subs {
			add(sub)
		}
	}
	slices.SortFunc(out, func(a, b CommandStats) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// reset sets every counter to zero, for CONFIG RESETSTAT.
func (k *counters) reset() {
	for _, n := range []*atomic.Int64{
		&k.connections, &k.rejected, &k.stalled, &k.overBudget, &k.slowListeners, &k.feedLags, &k.protocolErrors, &k.unknown, &k.failedAcks,
		&k.bytesIn, &k.bytesOut, &k.ackWaits, &k.ackNanos, &k.hits, &k.misses,
	} {
		n.Store(0)
	}
	for i := range k.commands {
		cmd := &k.commands[i]
		cmd.calls.Store(0)
		cmd.failed.Store(0)
		cmd.rejected.Store(0)
		cmd.nanos.Store(0)
		cmd.took.Store(nil)
	}
}

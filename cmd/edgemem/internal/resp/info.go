package resp

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/edgemem/edgemem/fabric"
)

// infoSection is one part of INFO.
type infoSection struct {
	name, title string
	byDefault   bool // part of INFO without arguments
	write       func(s *Server, w *infoWriter)
}

// infoSections lists them in the order of the reply.
func infoSections() []infoSection {
	return []infoSection{
		{"server", "Server", true, (*Server).infoServer},
		{"clients", "Clients", true, (*Server).infoClients},
		{"memory", "Memory", true, (*Server).infoMemory},
		{"persistence", "Persistence", true, (*Server).infoPersistence},
		{"stats", "Stats", true, (*Server).infoStats},
		{"replication", "Replication", true, (*Server).infoReplication},
		{"cpu", "CPU", true, (*Server).infoCPU},
		{"commandstats", "Commandstats", false, (*Server).infoCommands},
		{"cluster", "Cluster", true, func(_ *Server, w *infoWriter) { w.line("cluster_enabled", 0) }},
		{"keyspace", "Keyspace", true, (*Server).infoKeyspace},
		{"crdt", "CRDT", true, (*Server).infoCRDT},
	}
}

// infoWriter collects "name:value" lines.
type infoWriter struct {
	strings.Builder
	regions []fabric.RegionStatus
}

func (w *infoWriter) line(name string, value any) { fmt.Fprintf(w, "%s:%v\r\n", name, value) }

// info is INFO [section …].
func info(c *client) {
	wanted := make(map[string]bool)
	for _, arg := range c.args[1:] {
		wanted[strings.ToLower(cut(arg))] = true
	}
	every := wanted["all"] || wanted["everything"]
	usual := len(c.args) == 1 || wanted["default"]
	w := &infoWriter{regions: c.srv.cfg.Fabric.Regions()}
	for _, section := range infoSections() {
		if !every && !wanted[section.name] && !(usual && section.byDefault) {
			continue
		}
		if w.Len() > 0 {
			w.WriteString("\r\n")
		}
		w.WriteString("# " + section.title + "\r\n")
		section.write(c.srv, w)
	}
	c.verbatim(w.String())
}

func (s *Server) infoServer(w *infoWriter) {
	up := time.Since(s.start)
	w.line("redis_version", redisVersion)
	w.line("redis_mode", "standalone")
	w.line("edgemem_version", oneLine(s.cfg.Version))
	w.line("edgemem_node", oneLine(s.cfg.NodeName))
	w.line("edgemem_origin", s.cfg.Fabric.Origin())
	w.line("os", runtime.GOOS+" "+runtime.GOARCH)
	w.line("arch_bits", strconv.IntSize)
	w.line("go_version", runtime.Version())
	w.line("process_id", os.Getpid())
	w.line("run_id", s.runID)
	w.line("tcp_port", tcpPort(s.cfg.Listener.Addr()))
	w.line("server_time_usec", time.Now().UnixMicro())
	w.line("uptime_in_seconds", int64(up.Seconds()))
	w.line("uptime_in_days", int64(up.Hours()/24))
}

func (s *Server) infoClients(w *infoWriter) {
	st := s.Stats()
	w.line("connected_clients", st.Clients)
	w.line("maxclients", s.limits.Clients)
	w.line("client_buffers_bytes", st.BufferedBytes)
	w.line("client_buffers_max_bytes", s.limits.BufferedBytes)
	w.line("blocked_clients", s.queues.blocked())
	w.line("tracking_clients", s.tracking.clients())
}

func (s *Server) infoMemory(w *infoWriter) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	rss := residentBytes()
	f := s.cfg.Fabric.Memory()
	w.line("used_memory", m.HeapAlloc+uint64(f.Used))
	w.line("used_memory_human", human(m.HeapAlloc+uint64(f.Used)))
	w.line("used_memory_rss", rss)
	w.line("used_memory_rss_human", human(rss))
	w.line("used_memory_dataset", regionBytes(w.regions))
	w.line("maxmemory", f.Budget)
	w.line("maxmemory_human", human(uint64(f.Budget)))
	w.line("maxmemory_policy", "noeviction")
	w.line("mem_allocator", "edgemem")
	w.line("mem_pressure", f.Level)
	w.line("mem_region_bytes", f.Used)
	w.line("mem_pool_bytes", f.Mapped)
	w.line("mem_go_heap_bytes", m.HeapAlloc)
	e := s.cfg.Fabric.Eviction()
	w.line("mem_eviction", e.Policy)
	w.line("mem_values_on_disk", e.Away)
	w.line("mem_values_on_disk_bytes", e.AwayBytes)
	w.line("mem_values_packed", e.Packed)
	w.line("mem_values_packed_bytes", e.PackedBytes)
	w.line("mem_values_packed_size", e.PackedSize)
	w.line("evicted_values", e.Evicted)
	w.line("evicted_value_bytes", e.EvictedBytes)
	w.line("value_faults", e.Faults)
	w.line("value_faults_kept", e.Returned)
	w.line("value_faults_failed", e.Unreadable)
	if hits := s.Stats().Hits; hits > 0 {
		w.line("value_hit_ratio", fmt.Sprintf("%.4f", max(0, 1-float64(e.Faults)/float64(hits))))
	}
}

func (s *Server) infoPersistence(w *infoWriter) {
	w.line("loading", 0)
	w.line("async_loading", 0)
	w.line("rdb_bgsave_in_progress", 0)
	w.line("rdb_last_bgsave_status", "ok")
	w.line("aof_enabled", zeroOne(durable(w.regions)))
	w.line("aof_rewrite_in_progress", 0)
	w.line("aof_last_write_status", okOrErr(s.stats.failedAcks.Load() == 0))
}

func (s *Server) infoStats(w *infoWriter) {
	st := s.Stats()
	w.line("total_connections_received", st.Connections)
	w.line("total_commands_processed", st.Commands)
	w.line("total_net_input_bytes", st.BytesIn)
	w.line("total_net_output_bytes", st.BytesOut)
	w.line("rejected_connections", st.Rejected)
	w.line("stalled_connections", st.Stalled)
	w.line("over_budget_connections", st.OverBudget)
	w.line("slow_listener_connections", st.SlowListeners)
	w.line("feed_lags", s.stats.feedLags.Load())
	w.line("pubsub_channels", s.hub.names(ofChannel))
	w.line("pubsub_patterns", s.hub.names(ofPattern))
	w.line("pubsubshard_channels", s.hub.names(ofShard))
	m := s.cfg.Fabric.MessageStats()
	w.line("pubsub_listening_nodes", m.Listening)
	w.line("pubsub_copies_sent", m.Sent+m.Forwarded)
	w.line("pubsub_messages_received", m.Received)
	w.line("pubsub_messages_dropped", m.Dropped())
	w.line("protocol_errors", st.ProtocolErrors)
	w.line("unknown_commands", st.Unknown)
	w.line("total_error_replies", st.Errors)
	w.line("keyspace_hits", st.Hits)
	w.line("keyspace_misses", st.Misses)
	w.line("evicted_keys", 0)
	w.line("acknowledgement_waits", st.AckWaits)
	w.line("acknowledgement_wait_usec", st.AckTime.Microseconds())
	w.line("acknowledgement_failures", st.FailedAcks)
}

// infoReplication says what clients look for: every node takes writes.
func (s *Server) infoReplication(w *infoWriter) {
	w.line("role", "master")
	w.line("connected_slaves", 0)
	w.line("master_replid", s.runID)
	w.line("master_repl_offset", 0)
}

func (s *Server) infoCPU(w *infoWriter) {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		w.line("used_cpu_sys", seconds(use.Stime))
		w.line("used_cpu_user", seconds(use.Utime))
	}
}

func (s *Server) infoCommands(w *infoWriter) {
	for _, cmd := range s.Stats().ByCommand {
		usec := cmd.Time.Microseconds()
		w.line("cmdstat_"+cmd.Name, fmt.Sprintf("calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
			cmd.Calls, usec, float64(cmd.Time.Nanoseconds())/1e3/float64(max(cmd.Calls, 1)), cmd.Rejected, cmd.Failed))
	}
}

// infoKeyspace has one line a region: db<number> for those that a number selects, as in Redis.
func (s *Server) infoKeyspace(w *infoWriter) {
	for _, r := range w.regions {
		name := "region_" + r.Name
		if n := databaseOf(r.Name); n >= 0 {
			name = "db" + strconv.FormatInt(n, 10)
		}
		if r.Entries > 0 {
			w.line(name, fmt.Sprintf("keys=%d,expires=0,avg_ttl=0", r.Entries))
		}
	}
}

// infoCRDT tells how far replication is, region by region and peer by peer.
func (s *Server) infoCRDT(w *infoWriter) {
	w.line("regions", len(w.regions))
	w.line("alarms", len(s.cfg.Fabric.Alarms()))
	for _, r := range w.regions {
		ranges := 0
		for _, origin := range r.Context {
			ranges += len(origin.Above)
		}
		w.line("region_"+r.Name, fmt.Sprintf("ack=%s,entries=%d,bytes=%d,ghosts=%d,origins=%d,ranges_above_base=%d,gaps=%d,digest=%s",
			r.Ack, r.Entries, r.Bytes, r.Ghosts, len(r.Context), ranges, zeroOne(r.Gaps), r.Digest))
		w.line("merges_"+r.Name, fmt.Sprintf("local_writes=%d,pushed=%d,pushed_twice=%d,left_for_pull=%d,chunks=%d,pulled=%d,ghosts_pruned=%d,clock_skewed=%d",
			r.Stats.LocalWrites, r.Stats.PushApplied, r.Stats.PushOld, r.Stats.PushDropped, r.Stats.ChunksMerged, r.Stats.TipsMerged, r.Stats.GhostsPruned, r.Stats.ClockSkewed))
		w.line("complete_"+r.Name, fmt.Sprintf("age_ms=%d,nodes=%d,through_others=%d,dark=%d",
			completeAge(r), len(r.Complete.Of), len(r.Complete.Through), len(r.Complete.Dark)))
		for _, peer := range slices.Sorted(maps.Keys(r.Lag)) {
			lag := r.Lag[peer]
			w.line("lag_"+r.Name+"_"+string(peer), fmt.Sprintf("connected=%d,writes=%d,bytes=%d,behind_ms=%d,missing=%d,age_ms=%d",
				zeroOne(lag.Up), lag.Writes, lag.Bytes, lag.BehindMS, lag.Missing, lag.AgeMS))
		}
	}
}

// completeAge is since when everything is here that the members heard of had, in ms; -1 where nothing can be said.
func completeAge(r fabric.RegionStatus) int64 {
	if r.Complete.UpTo.IsZero() {
		return -1
	}
	return r.At.Sub(r.Complete.UpTo).Milliseconds()
}

// durable says whether a write to the default region is acknowledged from disk.
func durable(regions []fabric.RegionStatus) bool {
	for _, r := range regions {
		if r.Name == defaultRegion {
			return r.Ack != fabric.AckMemory
		}
	}
	return false
}

func (s *Server) durable() bool { return durable(s.cfg.Fabric.Regions()) }

func regionBytes(regions []fabric.RegionStatus) (sum int64) {
	for _, r := range regions {
		sum += int64(r.Bytes)
	}
	return sum
}

// residentBytes is the process's resident memory, 0 where /proc does not tell.
func residentBytes() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// human writes bytes as Redis does: two decimals and a letter.
func human(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + "B"
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < len("BKMGT")-1 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.2f%c", f, "BKMGT"[unit])
}

func seconds(t syscall.Timeval) string { return fmt.Sprintf("%d.%06d", t.Sec, t.Usec) }

func zeroOne(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func okOrErr(ok bool) string {
	if ok {
		return "ok"
	}
	return "err"
}

// oneLine keeps text from the configuration within its line of INFO.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// newRunID is 40 hexadecimal digits, as Redis's run id.
func newRunID() string {
	var id [20]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

package daemon

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/build"
	"github.com/edgemem/edgemem/cmd/edgemem/internal/resp"
	"github.com/edgemem/edgemem/persist"
)

// newRegistry makes the node's own registry, so that two nodes in one process do not mix.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildMetric(),
	)
	return r
}

func buildMetric() prometheus.Collector {
	info := build.Get()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "edgemem_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": info.Version, "commit": info.Commit, "go": info.Go},
	})
	g.Set(1)
	return g
}

// collector reads the store and the RESP server at each scrape; the fabric and p2p register their own metrics.
// Labels are few and fixed: the number of series depends on the table of Redis commands, and never on what
// clients or peers send.
type collector struct {
	d     *Daemon
	descs map[string]*prometheus.Desc
}

func newCollector(d *Daemon) *collector {
	c := &collector{d, map[string]*prometheus.Desc{}}
	for _, m := range []struct {
		name, help string
		labels     []string
	}{
		{"ready", "1 once the node serves.", nil},
		{"offline", "1 while the node is off line on purpose.", nil},
		{"store_commits_total", "Batches synced to disk.", nil},
		{"store_records_total", "Records in them.", nil},
		{"store_synced_bytes_total", "Bytes in them.", nil},
		{"store_refused_total", "Batches refused because the disk is full.", nil},
		{"store_commit_seconds", "Time of the last commit.", nil},
		{"store_failed", "1 if the store takes no more commits.", nil},
		{"store_disk_bytes", "Disk taken.", []string{"part"}},
		{"store_free_bytes", "Disk left on the file system.", nil},
		{"resp_clients", "Clients connected.", nil},
		{"resp_connections_total", "Connections accepted.", nil},
		{"resp_rejected_total", "Connections turned away at the limit.", nil},
		{"resp_errors_total", "Error replies.", nil},
		{"resp_bytes_total", "Bytes of the Redis protocol.", []string{"direction"}},
		{"resp_commands_total", "Commands run.", []string{"command"}},
		{"resp_command_seconds_total", "Time spent in commands.", []string{"command"}},
	} {
		c.descs[m.name] = prometheus.NewDesc("edgemem_"+m.name, m.help, m.labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := sink{c.descs, out}
	s.yes("ready", c.d.Ready() == nil)
	s.yes("offline", c.d.host.Offline())
	s.store(c.d.store)
	if c.d.resp != nil {
		s.resp(c.d.resp.Stats())
	}
}

// sink sends values under the names of the table.
type sink struct {
	descs map[string]*prometheus.Desc
	out   chan<- prometheus.Metric
}

func (s sink) send(name string, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if strings.HasSuffix(name, "_total") {
		kind = prometheus.CounterValue
	}
	s.out <- prometheus.MustNewConstMetric(s.descs[name], kind, value, labels...)
}

func (s sink) yes(name string, is bool) {
	value := 0.0
	if is {
		value = 1
	}
	s.send(name, value)
}

func (s sink) store(store *persist.Store) {
	st, err := store.Stats()
	if err != nil {
		return // it is closing; the series are absent for this scrape
	}
	s.send("store_commits_total", float64(st.Commits))
	s.send("store_records_total", float64(st.Records))
	s.send("store_synced_bytes_total", float64(st.SyncedBytes))
	s.send("store_refused_total", float64(st.Refused))
	s.send("store_commit_seconds", st.LastCommit.Seconds())
	s.yes("store_failed", st.Failed != nil)
	s.send("store_disk_bytes", float64(st.LSMBytes), "tables")
	s.send("store_disk_bytes", float64(st.LogBytes), "log")
	s.send("store_disk_bytes", float64(st.JournalBytes), "journal")
	s.send("store_disk_bytes", float64(st.ValueLogBytes), "values")
	s.send("store_free_bytes", float64(st.FreeBytes))
}

func (s sink) resp(st resp.Stats) {
	s.send("resp_clients", float64(st.Clients))
	s.send("resp_connections_total", float64(st.Connections))
	s.send("resp_rejected_total", float64(st.Rejected))
	s.send("resp_errors_total", float64(st.Errors))
	s.send("resp_bytes_total", float64(st.BytesIn), "in")
	s.send("resp_bytes_total", float64(st.BytesOut), "out")
	for _, c := range st.ByCommand {
		s.send("resp_commands_total", float64(c.Calls), c.Name)
		s.send("resp_command_seconds_total", c.Time.Seconds(), c.Name)
	}
}

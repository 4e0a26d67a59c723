package fabric

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// regionsInMetrics bounds the regions with series of their own, so that a region per vehicle does not
// become a series per vehicle; the rest is in the totals.
const regionsInMetrics = 100

// metric describes one series of a region or of the fabric.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func regionMetric(name, help string, kind prometheus.ValueType) metric {
	return metric{prometheus.NewDesc("edgemem_region_"+name, help, []string{"region"}, nil), kind}
}

func fabricMetric(name, help string, kind prometheus.ValueType) metric {
	return metric{prometheus.NewDesc("edgemem_"+name, help, nil, nil), kind}
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

var (
	regionEntries  = regionMetric("entries", "Keys that show something.", gauge)
	regionBytes    = regionMetric("bytes", "Bytes of keys and values, without indexes and causal metadata.", gauge)
	regionGhosts   = regionMetric("ghosts", "Removes that are remembered.", gauge)
	regionWrites   = regionMetric("local_writes_total", "Dots issued here.", counter)
	regionPushed   = regionMetric("pushed_writes_merged_total", "Pushed writes merged.", counter)
	regionEarly    = regionMetric("pushed_writes_early_total", "Pushed writes kept back until what they cover arrived.", counter)
	regionChunks   = regionMetric("chunks_merged_total", "Chunks of pulls merged.", counter)
	regionPruned   = regionMetric("ghosts_pruned_total", "Removes forgotten to keep the budget.", counter)
	regionSkewed   = regionMetric("clock_skewed_total", "Stamps from peers too far ahead to follow.", counter)
	regionOrigins  = regionMetric("origins", "Origins in the causal context.", gauge)
	regionLag      = metric{prometheus.NewDesc("edgemem_region_lag_writes", "Writes of ours that a peer lacked when it was last heard of.", []string{"region", "peer"}, nil), gauge}
	regionMissing  = metric{prometheus.NewDesc("edgemem_region_missing_writes", "Writes of a peer that we lack, as last heard.", []string{"region", "peer"}, nil), gauge}
	fabricRegions  = fabricMetric("regions", "Regions in use.", gauge)
	fabricEntries  = fabricMetric("entries", "Keys that show something, in all regions.", gauge)
	fabricSize     = fabricMetric("entry_bytes", "Keys and values of all regions, without indexes and causal metadata.", gauge)
	fabricGhosts   = fabricMetric("ghosts", "Removes that are remembered, in all regions.", gauge)
	fabricGaps     = fabricMetric("regions_with_gaps", "Regions in which writes are known to be missing here.", gauge)
	fabricLag      = fabricMetric("lag_writes", "Writes that the peer furthest behind was last heard to lack, over all regions.", gauge)
	fabricPeers    = fabricMetric("peers_connected", "Members connected.", gauge)
	fabricFrames   = fabricMetric("push_frames_total", "Push frames published.", counter)
	fabricPushed   = fabricMetric("push_bytes_total", "Bytes of push frames published.", counter)
	fabricSkipped  = fabricMetric("push_skipped_total", "Pushes left to pulls because the mesh was behind.", counter)
	fabricPulls    = fabricMetric("pulls_total", "Pulls from peers.", counter)
	fabricRounds   = fabricMetric("pull_round_trips_total", "Round trips that pulls took.", counter)
	fabricPulled   = fabricMetric("pull_bytes_total", "Bytes received by pulls.", counter)
	fabricServed   = fabricMetric("pull_served_bytes_total", "Bytes sent to peers that pulled.", counter)
	fabricFailures = fabricMetric("pull_failures_total", "Pulls that broke off.", counter)
)

// collector reads the metrics when they are scraped.
type collector struct{ f *Fabric }

func (f *Fabric) registerMetrics() error {
	if f.cfg.Registerer == nil {
		return nil
	}
	if err := f.cfg.Registerer.Register(collector{f}); err != nil {
		return fmt.Errorf("fabric: register metrics: %w", err)
	}
	f.measured = true
	return nil
}

func (f *Fabric) unregisterMetrics() {
	if f.measured {
		f.cfg.Registerer.Unregister(collector{f})
	}
}

// Describe lists the series.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range []metric{
		regionEntries, regionBytes, regionGhosts, regionWrites, regionPushed, regionEarly, regionChunks, regionPruned,
		regionSkewed, regionOrigins, regionLag, regionMissing, fabricRegions, fabricEntries, fabricSize, fabricGhosts,
		fabricGaps, fabricLag, fabricPeers, fabricFrames,
		fabricPushed, fabricSkipped, fabricPulls, fabricRounds, fabricPulled, fabricServed, fabricFailures,
	} {
		ch <- m.desc
	}
}

// Collect reads them.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	c.collectRegions(ch)
	s := c.f.SyncStats()
	fabricPeers.send(ch, s.PeersUp)
	for _, x := range []struct {
		m metric
		n uint64
	}{
		{fabricFrames, s.PushFrames}, {fabricPushed, s.PushBytes}, {fabricSkipped, s.PushSkipped}, {fabricPulls, s.Pulls},
		{fabricRounds, s.PullRounds}, {fabricPulled, s.PullBytes}, {fabricServed, s.ServedBytes}, {fabricFailures, s.PullFailures},
	} {
		x.m.send(ch, int(x.n))
	}
}

func (c collector) collectRegions(ch chan<- prometheus.Metric) {
	var entries, size, ghosts, gaps, lag int
	regions := c.f.Regions()
	for i, s := range regions {
		entries += s.Entries
		size += int(s.Bytes)
		ghosts += s.Ghosts
		lag += s.worstLag()
		if s.Gaps {
			gaps++
		}
		if i < regionsInMetrics {
			s.collect(ch)
		}
	}
	for _, x := range []struct {
		m metric
		n int
	}{
		{fabricRegions, len(regions)}, {fabricEntries, entries}, {fabricSize, size}, {fabricGhosts, ghosts},
		{fabricGaps, gaps}, {fabricLag, lag},
	} {
		x.m.send(ch, x.n)
	}
}

func (s *RegionStatus) worstLag() (worst int) {
	for _, lag := range s.Lag {
		worst = max(worst, int(lag.Writes))
	}
	return worst
}

func (s *RegionStatus) collect(ch chan<- prometheus.Metric) {
	for _, x := range []struct {
		m metric
		n int
	}{
		{regionEntries, s.Entries}, {regionBytes, int(s.Bytes)}, {regionGhosts, s.Ghosts}, {regionOrigins, len(s.Context)},
		{regionWrites, int(s.Stats.LocalWrites)}, {regionPushed, int(s.Stats.PushApplied)}, {regionEarly, int(s.Stats.PushWaiting)},
		{regionChunks, int(s.Stats.ChunksMerged)}, {regionPruned, int(s.Stats.GhostsPruned)}, {regionSkewed, int(s.Stats.ClockSkewed)},
	} {
		x.m.send(ch, x.n, s.Name)
	}
	for id, lag := range s.Lag {
		regionLag.send(ch, int(lag.Writes), s.Name, string(id))
		regionMissing.send(ch, int(lag.Missing), s.Name, string(id))
	}
}

func (m metric) send(ch chan<- prometheus.Metric, n int, labels ...string) {
	ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(n), labels...)
}

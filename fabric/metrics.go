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

func pullMetric(name, help string) metric {
	return metric{prometheus.NewDesc("edgemem_pull_running_"+name, help, []string{"region", "peer"}, nil), gauge}
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

var (
	regionEntries  = regionMetric("entries", "Keys that show something.", gauge)
	regionBytes    = regionMetric("bytes", "Bytes of keys and values, without indexes and causal metadata.", gauge)
	regionHeld     = regionMetric("memory_bytes", "What the region takes of the node's memory budget.", gauge)
	regionQuota    = regionMetric("quota_bytes", "What it may take. Absent if it has no quota.", gauge)
	regionReserved = regionMetric("reserved_bytes", "What this node keeps for it. Absent if it has no reservation.", gauge)
	regionRefused  = regionMetric("refused_writes_total", "Local writes refused for lack of memory or quota.", counter)
	regionGhosts   = regionMetric("ghosts", "Removes that are remembered.", gauge)
	regionWrites   = regionMetric("local_writes_total", "Dots issued here.", counter)
	regionPushed   = regionMetric("pushed_writes_merged_total", "Pushed writes merged.", counter)
	regionEarly    = regionMetric("pushed_writes_early_total", "Pushed writes kept back until what they cover arrived.", counter)
	regionChunks   = regionMetric("chunks_merged_total", "Chunks of pulls merged.", counter)
	regionPruned   = regionMetric("ghosts_pruned_total", "Removes forgotten to keep the budget.", counter)
	regionSkewed   = regionMetric("clock_skewed_total", "Stamps from peers too far ahead to follow.", counter)
	regionOrigins  = regionMetric("origins", "Origins in the causal context.", gauge)
	regionEnded    = regionMetric("ended_origins", "Those of them that are of no running incarnation.", gauge)
	regionLag      = regionMetric("lag_writes", "Writes seen here that the peer furthest behind was last heard to lack.", gauge)
	regionBehind   = regionMetric("lag_seconds", "Age of the oldest write seen here that some peer was last heard to lack.", gauge)
	regionMissing  = regionMetric("missing_writes", "Writes seen at the peer furthest ahead, as last heard, that are not here.", gauge)
	regionComplete = regionMetric("complete_age_seconds", "Time since when everything that the members heard of had is known to be here. Absent if nothing can be said.", gauge)
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
	fabricPutOff   = fabricMetric("pulls_put_off_total", "Pulls that a busy peer put off.", counter)
	fabricServing  = fabricMetric("pulls_serving", "Pulls by peers that are being answered.", gauge)
	fabricWaiting  = fabricMetric("pulls_waiting", "Pulls by peers that wait for a place.", gauge)
	fabricRefused  = fabricMetric("pulls_refused_total", "Pulls by peers that were told to come back later.", counter)
	pullCovered    = pullMetric("covered_ratio", "How much of a region the running pull has brought, 0 to 1.")
	pullBytes      = pullMetric("bytes", "Bytes that the running pull has brought of a region.")
	pullETA        = pullMetric("eta_seconds", "Estimate of how long the running pull will take for a region.")
	fabricFailures = fabricMetric("pull_failures_total", "Pulls that broke off.", counter)
)

var (
	messagesListening = fabricMetric("messages_listening_nodes", "Other nodes that listen to channels, as far as is known.", gauge)
	messagesPublished = fabricMetric("messages_published_total", "Messages published on channels here.", counter)
	messagesSent      = fabricMetric("messages_sent_total", "Copies of those, sent to neighbours.", counter)
	messagesReceived  = fabricMetric("messages_received_total", "Messages received from neighbours.", counter)
	messagesForwarded = fabricMetric("messages_forwarded_total", "Copies of those, passed on to other neighbours.", counter)
	messagesRefused   = fabricMetric("messages_words_refused_total", "Words about who listens that were beyond a bound.", counter)
	messagesCopies    = fabricMetric("messages_duplicates_total", "Messages received again, and delivered once.", counter)
	messagesDropped   = metric{prometheus.NewDesc("edgemem_messages_dropped_total", "Messages lost to a bound or a broken link, by reason: "+
		"queue, stream, rate, route or subscription.", []string{"reason"}, nil), counter}
)

var (
	remoteAsked     = fabricMetric("remote_requests_total", "Requests to other nodes about regions that have no copy here.", counter)
	remoteHedged    = fabricMetric("remote_hedged_total", "Of them reads that were asked of a second node, too.", counter)
	remoteUnreached = fabricMetric("remote_unreached_total", "Times that no node which holds the region answered.", counter)
	remoteUncertain = fabricMetric("remote_uncertain_writes_total", "Writes of which it is not known whether they were done.", counter)
	queueWaiting    = fabricMetric("queued_writes", "Writes that wait here until a holder of their region is reached.", gauge)
	queueBytes      = fabricMetric("queued_write_bytes", "What they take.", gauge)
	queueQueued     = fabricMetric("queued_writes_total", "Writes that were queued.", counter)
	queueRefused    = fabricMetric("queued_writes_refused_total", "Writes that were not, for want of room.", counter)
	queueDelivered  = fabricMetric("queued_writes_delivered_total", "Queued writes that a holder has merged.", counter)
	remoteServed    = fabricMetric("remote_served_total", "Requests of other nodes that were answered here.", counter)
)

func (s *RemoteStats) collect(ch chan<- prometheus.Metric) {
	for _, x := range []struct {
		m metric
		n uint64
	}{
		{remoteAsked, s.Asked}, {remoteHedged, s.Hedged}, {remoteUnreached, s.Unreached}, {remoteUncertain, s.Uncertain}, {remoteServed, s.Served},
	} {
		x.m.send(ch, int(x.n))
	}
}

func (s *QueueStats) collect(ch chan<- prometheus.Metric) {
	queueWaiting.send(ch, s.Waiting)
	queueBytes.send(ch, s.Bytes)
	queueQueued.send(ch, int(s.Queued))
	queueRefused.send(ch, int(s.Refused))
	queueDelivered.send(ch, int(s.Delivered))
}

func (s *MessageStats) collect(ch chan<- prometheus.Metric) {
	messagesListening.send(ch, s.Listening)
	for _, x := range []struct {
		m metric
		n uint64
	}{
		{messagesPublished, s.Published}, {messagesSent, s.Sent}, {messagesReceived, s.Received}, {messagesForwarded, s.Forwarded},
		{messagesRefused, s.RefusedWords}, {messagesCopies, s.Duplicates},
	} {
		x.m.send(ch, int(x.n))
	}
	for _, x := range []struct {
		reason string
		n      uint64
	}{
		{"queue", s.DroppedQueue}, {"stream", s.DroppedStream}, {"rate", s.DroppedRate}, {"route", s.DroppedRoute}, {"subscription", s.DroppedHere},
	} {
		messagesDropped.send(ch, int(x.n), x.reason)
	}
}

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
		regionEntries, regionBytes, regionHeld, regionQuota, regionReserved, regionRefused, regionGhosts, regionWrites, regionPushed, regionEarly, regionChunks, regionPruned,
		regionSkewed, regionOrigins, regionEnded, regionLag, regionBehind, regionMissing, regionComplete, fabricRegions, fabricEntries, fabricSize, fabricGhosts,
		fabricGaps, fabricLag, fabricPeers, fabricFrames,
		fabricPushed, fabricSkipped, fabricPulls, fabricRounds, fabricPulled, fabricServed, fabricFailures,
		scrubPasses, scrubAudited, scrubCompared, scrubDiverged, scrubMended, scrubRewrote, scrubRestored,
		fabricNodes, fabricAlarms, peerLag, peerLagBytes, peerBehind, peerMissing,
		fabricPutOff, fabricServing, fabricWaiting, fabricRefused, pullCovered, pullBytes, pullETA,
		diskFull, diskUnsaved, diskRefused,
		messagesListening, messagesPublished, messagesSent, messagesReceived, messagesForwarded, messagesRefused, messagesCopies, messagesDropped,
		remoteAsked, remoteHedged, remoteUnreached, remoteUncertain, remoteServed,
		queueWaiting, queueBytes, queueQueued, queueRefused, queueDelivered,
		movesPromoted, movesDemoted, movesFailed, movesBytes, movesCarried, movesSaved, movesReports,
		memoryLevel, memoryUsed, memoryMapped, memoryBudget, memoryRefused, memoryLine, memoryRefusing, memoryReserved, memoryUnused, memoryLacking, regionsQuotaFull, regionsOverQuota,
		memoryAway, memoryAwayBytes, memoryPacked, memoryPackedBytes, memoryPackedSize, memoryEvicted, memoryFaults, memoryReturned, memoryUnreadable,
	} {
		ch <- m.desc
	}
}

// Collect reads them.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	all := c.f.Status()
	all.collectRegions(ch)
	all.collectNodes(ch)
	all.collectAlarms(ch, c.f.cfg.Node)
	c.f.ScrubStats().collect(ch)
	c.f.Disk().collect(ch)
	c.f.collectMemory(ch)
	messages := c.f.MessageStats()
	messages.collect(ch)
	remote := c.f.RemoteStats()
	remote.collect(ch)
	moves := c.f.MoveStats()
	moves.collect(ch)
	queue := c.f.QueueStats()
	queue.collect(ch)
	s := c.f.SyncStats()
	fabricPeers.send(ch, s.PeersUp)
	for _, x := range []struct {
		m metric
		n uint64
	}{
		{fabricFrames, s.PushFrames}, {fabricPushed, s.PushBytes}, {fabricSkipped, s.PushSkipped}, {fabricPulls, s.Pulls},
		{fabricRounds, s.PullRounds}, {fabricPulled, s.PullBytes}, {fabricServed, s.ServedBytes}, {fabricFailures, s.PullFailures},
		{fabricPutOff, s.PullsPutOff}, {fabricServing, uint64(s.Gate.Serving)}, {fabricWaiting, uint64(s.Gate.Waiting)},
		{fabricRefused, s.Gate.Refused},
	} {
		x.m.send(ch, int(x.n))
	}
	for _, p := range s.Pulling[:min(len(s.Pulling), regionsInMetrics)] {
		p.collect(ch)
	}
}

func (all *Status) collectRegions(ch chan<- prometheus.Metric) {
	var entries, size, ghosts, gaps, lag int
	for i := range all.Regions {
		s := &all.Regions[i]
		entries += s.Entries
		size += int(s.Bytes)
		ghosts += s.Ghosts
		lag += int(s.worst().Writes)
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
		{fabricRegions, len(all.Regions)}, {fabricEntries, entries}, {fabricSize, size}, {fabricGhosts, ghosts},
		{fabricGaps, gaps}, {fabricLag, lag},
	} {
		x.m.send(ch, x.n)
	}
}

// worst takes each figure from the peer for which it is largest.
func (s *RegionStatus) worst() (worst Lag) {
	for _, lag := range s.Lag {
		worst.Writes = max(worst.Writes, lag.Writes)
		worst.Missing = max(worst.Missing, lag.Missing)
		worst.BehindMS = max(worst.BehindMS, lag.BehindMS)
	}
	return worst
}

func (s *RegionStatus) collect(ch chan<- prometheus.Metric) {
	worst := s.worst()
	for _, x := range []struct {
		m metric
		n int
	}{
		{regionEntries, s.Entries}, {regionBytes, int(s.Bytes)}, {regionHeld, int(s.Memory.Held)}, {regionRefused, int(s.Memory.Refused)}, {regionGhosts, s.Ghosts}, {regionOrigins, len(s.Context)},
		{regionWrites, int(s.Stats.LocalWrites)}, {regionPushed, int(s.Stats.PushApplied)}, {regionEarly, int(s.Stats.PushWaiting)},
		{regionEnded, s.Ended.Origins}, {regionLag, int(worst.Writes)}, {regionMissing, int(worst.Missing)},
		{regionChunks, int(s.Stats.ChunksMerged)}, {regionPruned, int(s.Stats.GhostsPruned)}, {regionSkewed, int(s.Stats.ClockSkewed)},
	} {
		x.m.send(ch, x.n, s.Name)
	}
	if m := s.Memory; m.Quota > 0 {
		regionQuota.send(ch, int(m.Quota), s.Name)
	}
	if m := s.Memory; m.Reserve > 0 {
		regionReserved.send(ch, int(m.Granted), s.Name)
	}
	regionBehind.sendFloat(ch, seconds(worst.BehindMS), s.Name)
	if !s.Complete.UpTo.IsZero() {
		regionComplete.sendFloat(ch, s.At.Sub(s.Complete.UpTo).Seconds(), s.Name)
	}
}

func seconds(ms int64) float64 { return float64(ms) / 1000 }

func (p *PullProgress) collect(ch chan<- prometheus.Metric) {
	pullCovered.sendFloat(ch, p.Covered, p.Region, string(p.Peer))
	pullBytes.sendFloat(ch, float64(p.Bytes), p.Region, string(p.Peer))
	if p.ETAMillis >= 0 {
		pullETA.sendFloat(ch, seconds(p.ETAMillis), p.Region, string(p.Peer))
	}
}

func (m metric) send(ch chan<- prometheus.Metric, n int, labels ...string) {
	m.sendFloat(ch, float64(n), labels...)
}

func (m metric) sendFloat(ch chan<- prometheus.Metric, x float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(m.desc, m.kind, x, labels...)
}

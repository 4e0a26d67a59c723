package fabric

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
)

// peersInMetrics bounds the members with series of their own: those that are furthest behind. The number of series does not
// grow with members times regions.
const peersInMetrics = 50

func labelled(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("edgemem_"+name, help, labels, nil), gauge}
}

var (
	fabricNodes  = labelled("nodes", "Members known, by state: connected, away (heard of lately), dark (not heard of), retired.", "state")
	fabricAlarms = labelled("alarms", "Alarms that stand, by kind, about this node (self) or about others.", "kind", "about")
	peerLag      = labelled("peer_lag_writes", "Writes seen here that the peer was last heard to lack, in all regions.", "peer")
	peerLagBytes = labelled("peer_lag_bytes", "What they come to, by the mean size of an entry.", "peer")
	peerBehind   = labelled("peer_lag_seconds", "Age of the oldest write seen here that the peer was last heard to lack.", "peer")
	peerMissing  = labelled("peer_missing_writes", "Writes seen at the peer, as last heard, that are not here.", "peer")

	scrubPasses   = fabricMetric("scrub_passes_total", "Scrubs of all regions, with one member each.", counter)
	scrubAudited  = fabricMetric("scrub_regions_audited_total", "Regions whose digest was recomputed from their entries.", counter)
	scrubRewrote  = fabricMetric("scrub_records_rewritten_total", "Records on disk that were wrong, and written anew.", counter)
	scrubRestored = fabricMetric("scrub_values_restored_total", "Values in memory that were wrong, and read back from disk.", counter)
	scrubCompared = fabricMetric("scrub_regions_compared_total", "Regions that two members had seen alike, and compared.", counter)
	scrubDiverged = fabricMetric("scrub_regions_diverged_total", "Those of them that held something else.", counter)
	scrubMended   = fabricMetric("scrub_values_mended_total", "Values written again here because replicas diverged.", counter)
)

// state is the one word for how a member is.
func (n *NodeStatus) state() string {
	switch {
	case n.Connected:
		return "connected"
	case n.Retired != nil:
		return "retired"
	case n.Dark:
		return "dark"
	}
	return "away"
}

func (all *Status) collectNodes(ch chan<- prometheus.Metric) {
	states := map[string]int{}
	var behind []*NodeStatus
	for i := range all.Nodes {
		n := &all.Nodes[i]
		if n.Self {
			continue
		}
		states[n.state()]++
		if n.Lag != nil {
			behind = append(behind, n)
		}
	}
	for _, s := range []string{"connected", "away", "dark", "retired"} {
		fabricNodes.send(ch, states[s], s)
	}
	slices.SortFunc(behind, func(a, b *NodeStatus) int {
		return cmp.Or(cmp.Compare(b.Lag.Writes, a.Lag.Writes), cmp.Compare(a.ID, b.ID))
	})
	for _, n := range behind[:min(len(behind), peersInMetrics)] {
		id := string(n.ID)
		peerLag.send(ch, int(n.Lag.Writes), id)
		peerLagBytes.send(ch, int(n.Lag.Bytes), id)
		peerBehind.sendFloat(ch, seconds(n.Lag.BehindMS), id)
		peerMissing.send(ch, int(n.Lag.Missing), id)
	}
}

func (s ScrubStats) collect(ch chan<- prometheus.Metric) {
	for _, x := range []struct {
		m metric
		n uint64
	}{
		{scrubPasses, s.Passes}, {scrubAudited, s.Audited}, {scrubCompared, s.Compared}, {scrubDiverged, s.Diverged}, {scrubMended, s.Mended},
		{scrubRewrote, s.Rewritten}, {scrubRestored, s.Restored},
	} {
		x.m.send(ch, int(x.n))
	}
}

func (all *Status) collectAlarms(ch chan<- prometheus.Metric, self crdt.NodeID) {
	count := map[[2]string]int{}
	for _, a := range all.Alarms {
		about := "others"
		if a.Node == self {
			about = "self"
		}
		count[[2]string{a.Kind, about}]++
	}
	for _, kind := range alarmKinds {
		for _, about := range []string{"self", "others"} {
			fabricAlarms.send(ch, count[[2]string{kind, about}], kind, about)
		}
	}
}

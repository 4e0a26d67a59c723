package p2p

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// hostMetrics are the numbers of a host for Prometheus. They count whether registered or not.
type hostMetrics struct {
	proofsFailed  prometheus.Counter
	relay         relayCounts
	gossipDropped *prometheus.CounterVec
	all           []prometheus.Collector
	registered    []prometheus.Collector
}

func newHostMetrics(h *Host) *hostMetrics {
	m := &hostMetrics{
		proofsFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "edgemem_p2p_proofs_failed_total", Help: "Connections closed because the other side did not prove membership.",
		}),
		gossipDropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edgemem_p2p_gossip_dropped_total", Help: "Gossip messages dropped because a queue was full; pulls repair them.",
		}, []string{"queue"}),
	}
	m.all = []prometheus.Collector{
		m.proofsFailed, m.gossipDropped,
		gauge("edgemem_p2p_peers_connected", "Members connected now.", func() float64 { return float64(h.spans.count()) }),
		gauge("edgemem_p2p_members_known", "Other members of the fabric known to this node.", func() float64 { return float64(h.members.count()) }),
		bytesTotal(h, "tcp", "in", func(b Bandwidth) int64 { return b.TCP.In }),
		bytesTotal(h, "tcp", "out", func(b Bandwidth) int64 { return b.TCP.Out }),
		bytesTotal(h, "quic", "in", func(b Bandwidth) int64 { return b.QUIC.In }),
		bytesTotal(h, "quic", "out", func(b Bandwidth) int64 { return b.QUIC.Out }),
	}
	m.all = append(m.all, m.relay.collectors()...)
	return m
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

func bytesTotal(h *Host, transport, direction string, value func(Bandwidth) int64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name:        "edgemem_p2p_bytes_total",
		Help:        "Bytes on the wire, without the headers of TCP, UDP and IP.",
		ConstLabels: prometheus.Labels{"transport": transport, "direction": direction},
	}, func() float64 { return float64(value(h.Bandwidth())) })
}

func (m *hostMetrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("p2p: register metrics: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (m *hostMetrics) unregister(r prometheus.Registerer) {
	for _, c := range m.registered {
		r.Unregister(c)
	}
}

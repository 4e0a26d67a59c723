package p2p

import "github.com/prometheus/client_golang/prometheus"

// Paths of frames, as metrics name them.
const (
	pathDirect = "direct" // by push stream to every neighbour, not passed on
	pathFeed   = "feed"   // by push stream, passed on
	pathTopic  = "topic"  // by gossipsub
)

func pathOf(kind byte) string {
	if kind == pushDirect {
		return pathDirect
	}
	return pathFeed
}

// Reasons for dropping frames. Each comes with a notice to pull.
const (
	dropPeer   = "peer"     // the queue to a peer was full
	dropStream = "stream"   // they waited for a peer when its stream ended
	dropTopic  = "outbound" // gossipsub's queue to a peer was full
	dropHere   = "inbound"  // onGossip was too slow for the topic
)

// gauges show the plan.
func (d *direct) gauges() []prometheus.Collector {
	is := func(w way, name string) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edgemem_p2p_push_way", Help: "1 for the way that frames of this node go now, else 0.",
			ConstLabels: prometheus.Labels{"way": name},
		}, func() float64 {
			if d.current().way == w {
				return 1
			}
			return 0
		})
	}
	return []prometheus.Collector{
		is(byStream, "direct"), is(byTopic, "topic"), is(byFeeder, "feeder"),
		gauge("edgemem_p2p_push_fed", "Peers that this node feeds: devices, and peers behind a relay.",
			func() float64 { return float64(len(d.current().feeds)) }),
	}
}

// pushMetrics count frames by path, once for each copy.
type pushMetrics struct {
	frames, copies, dropped, missed *prometheus.CounterVec
}

// newPushMetrics gives the metrics of pushes, with dropped among them, and what is to be registered besides.
func newPushMetrics(dropped *prometheus.CounterVec) (*pushMetrics, []prometheus.Collector) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &pushMetrics{
		frames:  counter("edgemem_p2p_push_frames_total", "Copies of pushed frames, by path and direction.", "path", "direction"),
		copies:  counter("edgemem_p2p_push_duplicates_total", "Copies of pushed frames that had arrived before, by path.", "path"),
		missed:  counter("edgemem_p2p_push_missed_total", "Notices that frames were dropped, by direction; a pull follows each.", "direction"),
		dropped: dropped,
	}
	return m, []prometheus.Collector{m.frames, m.copies, m.missed}
}

func (m *pushMetrics) in(path string) prometheus.Counter { return m.frames.WithLabelValues(path, "in") }

func (m *pushMetrics) out(path string) prometheus.Counter {
	return m.frames.WithLabelValues(path, "out")
}

func (m *pushMetrics) duplicates(path string) prometheus.Counter {
	return m.copies.WithLabelValues(path)
}

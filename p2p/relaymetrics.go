package p2p

import (
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/prometheus/client_golang/prometheus"
)

// relayCounts is what the relay of this node does. It hears from libp2p's relay.
type relayCounts struct {
	reservations, circuits, bytes, refused atomic.Int64
}

var _ relay.MetricsTracer = (*relayCounts)(nil)

func (c *relayCounts) collectors() []prometheus.Collector {
	total := func(name, help string, v *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	return []prometheus.Collector{
		gauge("edgemem_p2p_relay_reservations", "Members that are reachable through this node.", func() float64 { return float64(c.reservations.Load()) }),
		gauge("edgemem_p2p_relay_circuits", "Connections between other members that this node passes on.", func() float64 { return float64(c.circuits.Load()) }),
		total("edgemem_p2p_relay_bytes_total", "Bytes that this node passed on between other members.", &c.bytes),
		total("edgemem_p2p_relay_refused_total", "Reservations and circuits that this node refused, at its limits or for want of a reservation.", &c.refused),
	}
}

// RelayStatus implements relay.MetricsTracer.
func (c *relayCounts) RelayStatus(bool) {}

// ConnectionOpened implements relay.MetricsTracer.
func (c *relayCounts) ConnectionOpened() { c.circuits.Add(1) }

// ConnectionClosed implements relay.MetricsTracer.
func (c *relayCounts) ConnectionClosed(time.Duration) { c.circuits.Add(-1) }

// ConnectionRequestHandled implements relay.MetricsTracer.
func (c *relayCounts) ConnectionRequestHandled(s pb.Status) { c.count(s) }

// ReservationRequestHandled implements relay.MetricsTracer.
func (c *relayCounts) ReservationRequestHandled(s pb.Status) { c.count(s) }

func (c *relayCounts) count(s pb.Status) {
	if s != pb.Status_OK {
		c.refused.Add(1)
	}
}

// ReservationAllowed implements relay.MetricsTracer.
func (c *relayCounts) ReservationAllowed(renewed bool) {
	if !renewed {
		c.reservations.Add(1)
	}
}

// ReservationClosed implements relay.MetricsTracer.
func (c *relayCounts) ReservationClosed(n int) { c.reservations.Add(-int64(n)) }

// BytesTransferred implements relay.MetricsTracer.
func (c *relayCounts) BytesTransferred(n int) { c.bytes.Add(int64(n)) }

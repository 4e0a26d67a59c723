package p2p

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// Relay says whether, and within what limits, this node passes connections on between members that cannot reach each
// other. Only members can reserve and connect; what strangers ask for is reset at the door.
type Relay struct {
	// Mode is "on", "off" or "auto": on at regional and cloud nodes, which are meant to be reachable. Default "auto".
	Mode string

	// Reservations is how many members may be reachable through this node at once; a further one asks elsewhere.
	// Each costs about 280 bytes of traffic, and again whenever it is renewed, every 50 minutes. Default 512.
	Reservations int

	// Circuits is how many connections one member may have through this node at once, made and received together;
	// a further one is refused. Default 32. A circuit takes two streams and two buffers of 16 KiB.
	Circuits int

	// CircuitBytes and CircuitTime bound one circuit, the bytes for each way. At the limit it is cut, and its ends
	// make another one, trying a direct way first. Default 256 MiB and 1 hour.
	CircuitBytes int64
	CircuitTime  time.Duration
}

// Bounds on what a configuration may ask for.
const (
	reservationsMax = 1 << 16
	circuitsMax     = 1 << 10
	circuitTimeMin  = time.Minute
	circuitBytesMin = 1 << 20
	// relayBuffer is what each way of a circuit copies at a time.
	relayBuffer = 16 << 10
)

func (r *Relay) setDefaults(tier string) {
	if r.Mode == "" || r.Mode == "auto" {
		r.Mode = map[bool]string{true: "on", false: "off"}[isServer(tier)]
	}
	if r.Reservations == 0 {
		r.Reservations = 512
	}
	if r.Circuits == 0 {
		r.Circuits = 32
	}
	if r.CircuitBytes == 0 {
		r.CircuitBytes = 256 << 20
	}
	if r.CircuitTime == 0 {
		r.CircuitTime = time.Hour
	}
}

func (r *Relay) validate() error {
	switch {
	case r.Mode != "on" && r.Mode != "off":
		return fmt.Errorf("mode %q is not one of auto, on, off", r.Mode)
	case r.Reservations < 1 || r.Reservations > reservationsMax:
		return fmt.Errorf("%d reservations: want 1 to %d", r.Reservations, reservationsMax)
	case r.Circuits < 1 || r.Circuits > circuitsMax:
		return fmt.Errorf("%d circuits of one member: want 1 to %d", r.Circuits, circuitsMax)
	case r.CircuitBytes < circuitBytesMin:
		return fmt.Errorf("%d bytes a circuit: want at least %d", r.CircuitBytes, circuitBytesMin)
	case r.CircuitTime < circuitTimeMin:
		return fmt.Errorf("%v a circuit: want at least %v", r.CircuitTime, circuitTimeMin)
	}
	return nil
}

func (r *Relay) on() bool { return r.Mode == "on" }

// isServer tells the tiers that are meant to be reachable from everywhere.
func isServer(tier string) bool { return tier == "regional" || tier == "cloud" }

// reservationTime is how long a reservation lasts, unless the connection that it was made on ends before.
const reservationTime = time.Hour

// startRelay begins to serve as a relay.
func (h *Host) startRelay() (err error) {
	c := h.cfg.Relay
	if !c.on() {
		return nil
	}
	h.relay, err = relay.New(h.services,
		relay.WithResources(relay.Resources{
			Limit:           &relay.RelayLimit{Duration: c.CircuitTime, Data: c.CircuitBytes},
			ReservationTTL:  reservationTime,
			MaxReservations: c.Reservations,
			MaxCircuits:     c.Circuits,
			BufferSize:      relayBuffer,
			// Members are not strangers: a whole site may sit behind one address.
			MaxReservationsPerIP: c.Reservations, MaxReservationsPerASN: c.Reservations,
		}),
		relay.WithACL(membersOnly{h}),
		relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return false }), // members know where we are
		relay.WithMetricsTracer(&h.metrics.relay),
	)
	if err != nil {
		return fmt.Errorf("p2p: start the relay: %w", err)
	}
	return nil
}

// membersOnly is the relay's own look at who asks; the door has looked before.
type membersOnly struct{ h *Host }

var _ relay.ACLFilter = membersOnly{}

// AllowReserve implements relay.ACLFilter.
func (m membersOnly) AllowReserve(p peer.ID, _ ma.Multiaddr) bool { return m.h.spans.connected(p) }

// AllowConnect implements relay.ACLFilter.
func (m membersOnly) AllowConnect(from peer.ID, _ ma.Multiaddr, to peer.ID) bool {
	return m.h.spans.connected(from) && m.h.spans.connected(to)
}

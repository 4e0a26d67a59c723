package demo

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

const (
	// pollInterval is the grain of the times that are measured by asking.
	pollInterval = 2 * time.Millisecond
	// convergeTimeout is when the demo stops waiting and says what differs.
	convergeTimeout = 60 * time.Second
)

// statuses asks all nodes, in the order of nodes.
func (d *demo) statuses(ctx context.Context) ([]control.Status, error) {
	var all []control.Status
	for _, n := range d.nodes() {
		s, err := n.control.Status(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func regionOf(s control.Status) (control.Region, bool) {
	for _, r := range s.Regions {
		if r.Name == region {
			return r, true
		}
	}
	return control.Region{}, false
}

// same says whether all hold the same entries, by count and digest.
func same(all []control.Status) bool {
	first, ok := regionOf(all[0])
	for _, s := range all[1:] {
		r, found := regionOf(s)
		ok = ok && found && r.Entries == first.Entries && r.Digest == first.Digest
	}
	return ok
}

// poll asks until done says yes; what names the goal for the report of a failure.
func (d *demo) poll(ctx context.Context, what string, done func([]control.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, convergeTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		all, err := d.statuses(ctx)
		if err == nil && done(all) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %v%s", what, convergeTimeout, d.differences(all))
		case <-tick.C:
		}
	}
}

func (d *demo) waitEqual(ctx context.Context) error { return d.poll(ctx, "equal digests", same) }

// waitConnected waits until the device and the edge are each connected to the cloud.
func (d *demo) waitConnected(ctx context.Context) error {
	return d.poll(ctx, "connections", func(all []control.Status) bool {
		for _, s := range all {
			connected := 0
			for _, p := range s.Peers {
				if p.Connected {
					connected++
				}
			}
			if connected == 0 || s.Node.Name == d.cloud.name && connected < 2 {
				return false
			}
		}
		return true
	})
}

func (d *demo) differences(all []control.Status) string {
	text := ""
	for i, s := range all {
		r, _ := regionOf(s)
		text += fmt.Sprintf("\n%s: %d entries, digest %s", d.nodes()[i].name, r.Entries, r.Digest)
	}
	return text
}

// traffic gives the bytes that each node has received from the mesh, in the order of nodes: encryption,
// multiplexing and keep-alives are in it.
func (d *demo) traffic(ctx context.Context) ([]int64, error) {
	all, err := d.statuses(ctx)
	var in []int64
	for _, s := range all {
		in = append(in, s.Node.Bandwidth.InBytes)
	}
	return in, err
}

func (d *demo) trafficSince(ctx context.Context, before []int64) ([]int64, error) {
	after, err := d.traffic(ctx)
	for i := range after {
		after[i] -= before[i]
	}
	return after, err
}

func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return p
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/p2p"
)

// Probes over libp2p: two members of one fabric in this process, TCP on loopback between them. TCP and
// not QUIC, because go-ds-crdt and bare gossipsub are measured over TCP too, and its bytes can be counted.

const loopbackTCP = "/ip4/127.0.0.1/tcp/0"

// openHost founds a fabric in a folder of its own, or joins one with a ticket.
func openHost(ctx context.Context, dir, name, ticket string) (*p2p.Host, error) {
	return p2p.Open(ctx, p2p.Config{
		Dir: filepath.Join(dir, name), Name: name, Tier: "edge", Listen: []string{loopbackTCP}, Ticket: ticket,
	})
}

// A member is a running node, with the region that the probe writes to.
type member struct {
	host   *p2p.Host
	fabric *fabric.Fabric
	region *fabric.Region
}

func (m *member) close() {
	if m != nil {
		_ = m.fabric.Close() // closes the host; the process ends right after
	}
}

// start opens a fabric over the host. From here on the host dials and is dialled.
func start(ctx context.Context, h *p2p.Host) (*member, error) {
	f, err := fabric.Open(ctx, fabric.Config{Name: h.Name(), Tier: h.Tier(), Transport: h})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	r, err := f.Region(fabric.DefaultRegion)
	return &member{h, f, r}, err
}

// openMembers gives a running member and the host of a second one that has joined but not started.
func openMembers(ctx context.Context, dir string) (a *member, b *p2p.Host, err error) {
	h, err := openHost(ctx, dir, "a", "")
	if err != nil {
		return nil, nil, err
	}
	if a, err = start(ctx, h); err != nil {
		return nil, nil, err
	}
	ticket, err := h.Invite(p2p.InviteOptions{})
	if err != nil {
		return a, nil, err
	}
	b, err = openHost(ctx, dir, "b", ticket)
	return a, b, err
}

// probeHop gives the time from before a write at one member until a watch at its neighbour shows it.
func probeHop(fs *flag.FlagSet) func(context.Context) (values, error) {
	samples := fs.Int("n", 500, "writes to time")
	gap := fs.Duration("gap", 20*time.Millisecond, "rest between two writes")
	return inFolder(func(ctx context.Context, dir string) (values, error) {
		a, hb, err := openMembers(ctx, dir)
		defer a.close()
		if err != nil {
			return nil, err
		}
		b, err := start(ctx, hb)
		if err != nil {
			return nil, err
		}
		defer b.close()
		next, stop := iter.Pull2(b.region.Watch(ctx, ""))
		defer stop()
		value := valueSource(1)
		return timeHops(ctx, *samples, *gap, func(i int) error {
			return put(ctx, a.region, key(i), value())
		}, func(i int) error {
			return awaitKey(next, key(i))
		})
	})
}

// awaitKey takes events until one is about the key.
func awaitKey(next func() (fabric.WatchEvent, error, bool), want string) error {
	for {
		e, err, ok := next()
		switch {
		case !ok:
			return fmt.Errorf("the watch ended before %s came", want)
		case err != nil:
			return err
		case e.Key == want:
			return nil
		}
	}
}

// probeCatchup gives the seconds from the start of an empty member, which includes its dialling and
// its proof of membership, until it has everything; and the bytes that went over TCP meanwhile.
func probeCatchup(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 50_000, "entries")
	return inFolder(func(ctx context.Context, dir string) (values, error) {
		a, hb, err := openMembers(ctx, dir)
		defer a.close()
		if err != nil {
			return nil, err
		}
		if err := putAll(ctx, a.region, keysInOrder(*n), 1); err != nil {
			return nil, errors.Join(err, hb.Close())
		}
		before, began := tcpBytes(hb), time.Now()
		b, err := start(ctx, hb)
		if err != nil {
			return nil, err
		}
		defer b.close()
		if err := await(ctx, "catching up", 5*time.Minute, func() bool { return equal(a.region, b.region, a.fabric, b.fabric) }); err != nil {
			return nil, fmt.Errorf("%d of %d entries arrived: %w", entries(b.region), *n, err)
		}
		took := time.Since(began).Seconds()
		payload := float64(*n * (keyBytes + valueBytes))
		wire := float64(tcpBytes(hb) - before)
		return values{"seconds": took, "payload_bytes": payload, "wire_bytes": wire, "wire_ratio": wire / payload}, nil
	})
}

func tcpBytes(h *p2p.Host) int64 {
	b := h.Bandwidth().TCP
	return b.In + b.Out
}

// equal says whether both replicas hold the same, by the digest that operators see.
func equal(ra, rb *fabric.Region, fa, fb *fabric.Fabric) bool {
	if entries(ra) != entries(rb) {
		return false
	}
	sa, err1 := fa.RegionStatus(ra.Name())
	sb, err2 := fb.RegionStatus(rb.Name())
	return err1 == nil && err2 == nil && sa.Digest == sb.Digest
}

package main

import (
	"context"
	"flag"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// probePartition gives what it takes two large replicas to agree again after a partition in which each
// side wrote half of the differing keys: time in round trips of the link, and bytes both ways.
//
// The replicas are in this process, over the in-memory mesh with a slow link in between, so that the
// figure is the protocol's own: libp2p's handshake comes before it and its framing on top.
func probePartition(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 1_000_000, "entries that both sides have")
	differ := fs.Int("differ", 100, "entries that one of them changed")
	rtt := fs.Duration("rtt", 100*time.Millisecond, "round trip of the link")
	return func(ctx context.Context) (values, error) {
		var link slowLink
		mesh := fabric.NewMesh(1)
		a, err := openOnMesh(ctx, mesh, &link, "a")
		if err != nil {
			return nil, err
		}
		defer a.close()
		keys := keysInOrder(*n)
		if err := putAll(ctx, a.region, keys, 1); err != nil {
			return nil, err
		}
		b, err := openOnMesh(ctx, mesh, &link, "b")
		if err != nil {
			return nil, err
		}
		defer b.close()
		same := func() bool { return equal(a.region, b.region, a.fabric, b.fabric) }
		if err := await(ctx, "the first copy", 5*time.Minute, same); err != nil {
			return nil, err
		}
		mesh.Cut("a", "b")
		if err := divide(ctx, a, b, keys, *differ); err != nil {
			return nil, err
		}
		// What was written goes nowhere as pushes before the link is back, so that only the pull counts.
		time.Sleep(pushesOver)
		link.set(*rtt / 2)
		before, began := link.bytes.Load(), time.Now()
		mesh.Heal("a", "b")
		if err := await(ctx, "catching up", 5*time.Minute, same); err != nil {
			return nil, err
		}
		took, bytes := time.Since(began), float64(link.bytes.Load()-before)
		payload := float64(*differ * (keyBytes + valueBytes))
		return values{
			"trips": float64(took) / float64(*rtt), "ms": float64(took.Microseconds()) / 1000,
			"bytes": bytes, "payload_bytes": payload, "excess": (bytes - 4096) / payload,
		}, nil
	}
}

// pushesOver is many times the window in which a fabric collects writes for a push.
const pushesOver = 200 * time.Millisecond

func openOnMesh(ctx context.Context, mesh *fabric.Mesh, link *slowLink, name crdt.NodeID) (*member, error) {
	f, err := fabric.Open(ctx, fabric.Config{Name: string(name), Transport: link.over(mesh.Node(name))})
	if err != nil {
		return nil, err
	}
	r, err := f.Region(fabric.DefaultRegion)
	return &member{fabric: f, region: r}, err
}

// divide overwrites differ keys, spread over all of them, half on each side.
func divide(ctx context.Context, a, b *member, keys []string, differ int) error {
	next, step := valueSource(9), max(len(keys)/differ, 1)
	for i := range differ {
		side := a
		if i%2 == 1 {
			side = b
		}
		if err := put(ctx, side.region, keys[i*step], next()); err != nil {
			return err
		}
	}
	return nil
}

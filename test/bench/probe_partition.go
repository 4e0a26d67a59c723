package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Probes of what it takes two large replicas to agree again after a partition: round trips, bytes both ways, and the
// processor time of both. Round trips are counted on the streams, so that a busy machine does not count as one.
//
// The replicas are in this process, over the in-memory mesh with a slow link in between, so that the
// figure is the protocol's own: libp2p's handshake comes before it and its framing on top.

// probePartition lets each side write half of the differing keys.
func probePartition(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 1_000_000, "entries that both sides have")
	differ := fs.Int("differ", 100, "entries that one of them changed")
	rtt := fs.Duration("rtt", 100*time.Millisecond, "round trip of the link")
	return func(ctx context.Context) (values, error) {
		d, err := openDivided(ctx, *n, 0)
		defer d.close()
		if err != nil {
			return nil, err
		}
		for i := range *differ {
			side := []*member{d.a, d.b}[i%2]
			if err := put(ctx, side.region, d.spread(i, *differ), d.value()); err != nil {
				return nil, err
			}
		}
		got, err := d.heal(ctx, *rtt, *differ/2, *differ-*differ/2)
		if err != nil {
			return nil, err
		}
		payload := float64(*differ * (keyBytes + valueBytes))
		got["payload_bytes"], got["excess"] = payload, (got["bytes"]-4096)/payload
		return got, nil
	}
}

// probePruned lets one side, or both, change entries, every other one by removing it, and forget what was removed
// before the other side has heard of it. The other side is then below a floor: what it lacks cannot be told by
// intervals of writes, and the two must find out what differs. Every byte counts but those of the new values.
func probePruned(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 1_000_000, "entries that both sides have")
	differ := fs.Int("differ", 100, "entries that differ; every other one was removed")
	sides := fs.Int("sides", 1, "sides that made the changes: 1 or 2")
	rtt := fs.Duration("rtt", 100*time.Millisecond, "round trip of the link")
	return func(ctx context.Context) (values, error) {
		d, err := openDivided(ctx, *n, 1) // remembers one remove at most
		defer d.close()
		if err != nil {
			return nil, err
		}
		changers := []*member{d.a, d.b}[:*sides]
		for i := range *differ {
			if err := d.change(ctx, changers[i/2%len(changers)], i, *differ); err != nil {
				return nil, err
			}
		}
		for _, m := range changers {
			if err := await(ctx, "forgetting what was removed", time.Minute, m.forgot); err != nil {
				return nil, err
			}
		}
		got, err := d.heal(ctx, *rtt, *differ*(*sides-1)/2, *differ / *sides)
		if err != nil {
			return nil, err
		}
		if left, want := entries(d.b.region), *n-*differ/2; left != want {
			return nil, fmt.Errorf("%d entries are left, not %d", left, want)
		}
		got["bytes_each"] = (got["bytes"] - float64((*differ+1)/2*valueBytes)) / float64(*differ)
		return got, nil
	}
}

// change overwrites the differing entry i, or removes it if i is odd.
func (d *divided) change(ctx context.Context, m *member, i, differ int) error {
	k := d.spread(i, differ)
	if i%2 == 0 {
		return put(ctx, m.region, k, d.value())
	}
	return m.region.Update(ctx, func(tx *crdt.Tx) error { tx.Del(k); return nil })
}

// forgot says whether removes were forgotten, so that whoever has not seen them is below a floor.
func (m *member) forgot() bool {
	s, err := m.fabric.RegionStatus(m.region.Name())
	return err == nil && len(s.Floors) > 0 && s.Ghosts == 0
}

// divided are two replicas with equal entries and no link.
type divided struct {
	mesh  *fabric.Mesh
	link  slowLink
	a, b  *member
	keys  []string
	value func() []byte
}

func (d *divided) close() {
	if d != nil {
		d.a.close()
		d.b.close()
	}
}

// openDivided fills two replicas and cuts the link. maxGhosts is what each remembers of removes, 0 for the default.
func openDivided(ctx context.Context, n, maxGhosts int) (d *divided, err error) {
	d = &divided{mesh: fabric.NewMesh(1), keys: keysInOrder(n), value: valueSource(9)}
	if d.a, err = d.open(ctx, "a", maxGhosts); err != nil {
		return d, err
	}
	if err := putAll(ctx, d.a.region, d.keys, 1); err != nil {
		return d, err
	}
	if d.b, err = d.open(ctx, "b", maxGhosts); err != nil {
		return d, err
	}
	if err := await(ctx, "the first copy", 5*time.Minute, d.same); err != nil {
		return d, err
	}
	d.mesh.Cut("a", "b")
	return d, nil
}

func (d *divided) open(ctx context.Context, name crdt.NodeID, maxGhosts int) (*member, error) {
	f, err := fabric.Open(ctx, fabric.Config{Name: string(name), Transport: d.link.over(d.mesh.Node(name)), MaxGhosts: maxGhosts})
	if err != nil {
		return nil, err
	}
	r, err := f.Region(fabric.DefaultRegion)
	return &member{fabric: f, region: r}, err
}

func (d *divided) same() bool { return equal(d.a.region, d.b.region, d.a.fabric, d.b.fabric) }

// spread gives the key of the differing entry i; they lie far apart.
func (d *divided) spread(i, differ int) string { return d.keys[i*max(len(d.keys)/differ, 1)] }

// pushesOver is many times the window in which a fabric collects writes for a push.
const pushesOver = 200 * time.Millisecond

// heal brings the link back, now a slow one, and waits until both sides hold the same. Pushes of what was written have
// gone nowhere before, so that only the pulls count: one at each side, which must bring it as many writes as it lacks.
func (d *divided) heal(ctx context.Context, rtt time.Duration, lacksA, lacksB int) (values, error) {
	time.Sleep(pushesOver)
	d.link.set(rtt / 2)
	d.link.trips.Store(0)
	cpu, err := cpuTime(0)
	if err != nil {
		return nil, err
	}
	before, began := d.link.bytes.Load(), time.Now()
	d.mesh.Heal("a", "b")
	if err := await(ctx, "catching up", 5*time.Minute, d.same); err != nil {
		return nil, err
	}
	took, bytes, trips := time.Since(began), d.link.bytes.Load()-before, d.link.trips.Load()
	cpuAfter, err := cpuTime(0)
	if err != nil {
		return nil, err
	}
	for m, lacks := range map[*member]int{d.a: lacksA, d.b: lacksB} {
		if err := await(ctx, "the report of one pull that brought everything", time.Minute, func() bool { return m.pulled(lacks) }); err != nil {
			return nil, err // with two, the trips of both would count
		}
	}
	return values{
		"trips": float64(trips), "ms": float64(took.Microseconds()) / 1000, "bytes": float64(bytes),
		"cpu_ms": float64((cpuAfter - cpu).Microseconds()) / 1000,
	}, nil
}

// pulled says whether the last pull that brought something brought so many writes.
func (m *member) pulled(writes int) bool {
	last := m.fabric.SyncStats().LastPull
	return writes == 0 || last != nil && last.News >= uint64(writes)
}

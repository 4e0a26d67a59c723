package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
)

// regionRows are about what a region costs in which nothing happens.
func regionRows() []row {
	return []row{{
		name: "regions", rounds: 1, open: openRegions,
		figures: []figure{
			{key: "bytes", title: "10,000 regions of one entry: RSS per region", unit: bytesEach,
				refs: []string{dsName}, reach: "about 1 KB: ≤ 1,200 B", met: atMost(1200)},
			{key: "seconds", title: "the same, to give all to an empty replica", unit: seconds},
			{key: "rate", title: "the same, TCP bytes of an idle pair, both ways", unit: bytesRate,
				refs: []string{oneRegionName}, reach: "as with one region", met: atMostTimes(1.1)},
		},
	}}
}

// oneRegionName is what the traffic of many regions is compared with.
const oneRegionName = "one region"

func openRegions(_ context.Context, e *env) ([]side, func(), error) {
	settle, span := e.span(20*time.Second, time.Second).String(), e.span(60*time.Second, 2*time.Second).String()
	return []side{
		e.probeSide(oneRegionName, nil, "regions", "-n", "1", "-settle", settle, "-for", span),
		e.referenceSide(dsName, nil, "regions", "-n", fmt.Sprint(e.size(500, 20))),
		e.probeSide(edgemem, nil, "regions", "-n", fmt.Sprint(e.size(10_000, 200)), "-settle", settle, "-for", span),
	}, nil, nil
}

// probeRegions gives the memory that each of n regions with one entry takes on one member, the time until a second one
// has them all, and the bytes a second that pass between the two when nothing happens.
func probeRegions(fs *flag.FlagSet) func(context.Context) (values, error) {
	n := fs.Int("n", 10_000, "regions")
	settle := fs.Duration("settle", 20*time.Second, "rest before the bytes are counted")
	span := fs.Duration("for", 60*time.Second, "time to count them for")
	return inFolder(func(ctx context.Context, dir string) (values, error) {
		a, hb, err := openMembers(ctx, dir)
		defer a.close()
		if err != nil {
			return nil, err
		}
		each, err := a.rssPerRegion(ctx, *n)
		if err != nil {
			return nil, errors.Join(err, hb.Close())
		}
		began := time.Now()
		b, err := start(ctx, hb)
		defer b.close()
		if err != nil {
			return nil, err
		}
		if err := await(ctx, "all regions", 5*time.Minute, func() bool { return len(b.fabric.Regions()) == *n+1 }); err != nil {
			return nil, fmt.Errorf("%d of %d: %w", len(b.fabric.Regions())-1, *n, err)
		}
		took := time.Since(began)
		if err := pause(ctx, *settle); err != nil {
			return nil, err
		}
		before, began := tcpBytes(hb), time.Now()
		if err := pause(ctx, *span); err != nil {
			return nil, err
		}
		rate := float64(tcpBytes(hb)-before) / time.Since(began).Seconds()
		return values{"bytes": each, "seconds": took.Seconds(), "rate": rate}, nil
	})
}

func (m *member) rssPerRegion(ctx context.Context, n int) (float64, error) {
	before, err := settledRSS()
	if err != nil {
		return 0, err
	}
	value := valueSource(1)
	for i := range n {
		r, err := m.fabric.Region(fmt.Sprintf("tenant-%06d", i))
		if err != nil {
			return 0, err
		}
		if err := put(ctx, r, key(i), value()); err != nil {
			return 0, err
		}
	}
	after, err := settledRSS()
	return (after - before) / float64(n), err
}

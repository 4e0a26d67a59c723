package main

import (
	"context"
	"fmt"
	"time"
)

const (
	gossipName       = "gossipsub"
	gossipSignedName = "signed"
)

// meshRows are about two nodes.
func meshRows() []row {
	return []row{
		{
			name: "hop", rounds: 3, open: openHop,
			figures: []figure{
				{key: "p50_us", title: "one-hop propagation, idle, median", unit: microseconds,
					refs: []string{gossipName, gossipSignedName, dsName}, reach: "≤ 1.30 × gossipsub", met: atMostTimes(1.3)},
				{key: "p99_us", title: "the same, 99th percentile", unit: microseconds,
					refs: []string{gossipName, gossipSignedName, dsName}},
			},
		},
		{
			name: "load", rounds: 3, open: openLoad,
			figures: []figure{
				{key: "p99_ms", title: "one hop under 10,000 writes/s, 99th percentile", unit: milliseconds,
					refs: []string{gossipName, dsName}, reach: "≤ 20 ms", met: atMost(20)},
				{key: "p50_ms", title: "the same, median", unit: milliseconds, refs: []string{gossipName, dsName}},
				{key: "lost", title: "the same, writes that did not arrive", unit: percent,
					refs: []string{gossipName, dsName}, reach: "none", met: atMost(0)},
				{key: "ops", title: "the same, rate that was reached", unit: opsPerSecond, refs: []string{gossipName, dsName}},
			},
		},
		{
			name: "catchup", rounds: 3, open: openCatchup,
			figures: []figure{
				{key: "seconds", title: "catch-up of an empty replica, 50 k × 100 B", unit: seconds,
					refs: []string{dsName}, reach: "≤ 0.30 s", met: atMost(0.3)},
				{key: "wire_ratio", title: "the same, bytes on the wire to payload", unit: times,
					refs: []string{dsName}, reach: "≤ 1.05 ×", met: atMost(1.05)},
			},
		},
		{
			name: "partition", rounds: 3, open: openPartition,
			figures: []figure{
				{key: "trips", title: "catch-up after a partition, 100 of 1 M differ", unit: trips,
					refs: []string{dsName}, reach: "≤ 2 RTT", met: atMost(2)},
				{key: "excess", title: "the same, bytes less 4 KiB, to changed bytes", unit: times,
					refs: []string{dsName}, reach: "≤ 1.20 ×", met: atMost(1.2)},
				{key: "cpu_ms", title: "the same, processor time, both replicas", unit: milliseconds},
			},
		},
		{
			name: "pruned", rounds: 3, open: openPruned,
			figures: []figure{
				{key: "trips", title: "the same, half of them removes, forgotten there", unit: trips,
					refs: []string{dsName}, reach: "≤ 3 RTT", met: atMost(3)},
				{key: "bytes_each", title: "the same, bytes per difference beyond values", unit: bytesEach,
					refs: []string{dsName}, reach: "≤ 40 B", met: atMost(40)},
				{key: "cpu_ms", title: "the same, processor time, both replicas", unit: milliseconds},
				{key: "both_trips", title: "the same, both sides changed and forgot", unit: trips,
					refs: []string{dsName}, reach: "≤ 3 RTT", met: atMost(3)},
				{key: "both_bytes_each", title: "the same, bytes per difference beyond values", unit: bytesEach,
					refs: []string{dsName}, reach: "≤ 40 B", met: atMost(40)},
			},
		},
	}
}

func openHop(_ context.Context, e *env) ([]side, func(), error) {
	n := fmt.Sprint(e.size(500, 20))
	return []side{
		e.probeSide(gossipName, nil, "hop-gossipsub", "-n", n),
		e.probeSide(gossipSignedName, nil, "hop-gossipsub", "-signed", "-n", n),
		e.referenceSide(dsName, nil, "hop", "-n", fmt.Sprint(e.size(100, 5))),
		e.probeSide(edgemem, nil, "hop", "-n", n),
	}, nil, nil
}

// openLoad writes the same to all. Gossipsub alone drops what its queues do not hold; go-ds-crdt writes in batches.
func openLoad(_ context.Context, e *env) ([]side, func(), error) {
	span := e.span(10*time.Second, 500*time.Millisecond).String()
	return []side{
		e.probeSide(gossipName, nil, "load-gossip", "-for", span),
		e.referenceSide(dsName, nil, "load", "-for", span),
		e.probeSide(edgemem, nil, "load", "-for", span),
	}, nil, nil
}

// openCatchup measures go-ds-crdt's bytes with a proxy between its replicas; edgemem counts its own.
func openCatchup(_ context.Context, e *env) ([]side, func(), error) {
	n := e.size(50_000, 2_000)
	reference := side{dsName, func(ctx context.Context) (values, error) {
		got, wire, err := e.referenceOverProxy(ctx, 0, "catchup", "-n", fmt.Sprint(n), "-batch", "1000")
		if err != nil {
			return nil, err
		}
		got["wire_ratio"] = wire / got["payload_bytes"]
		return got, nil
	}}
	return []side{reference, e.probeSide(edgemem, nil, "catchup", "-n", fmt.Sprint(n))}, nil, nil
}

// partitionTrip is the round trip of the link in the rows about partitions.
const partitionTrip = 100 * time.Millisecond

// differing is how many entries differ after a partition.
const differing = 100

func openPartition(_ context.Context, e *env) ([]side, func(), error) {
	return []side{{dsName, e.referencePartition}, e.probeSide(edgemem, nil, "partition", "-rtt", partitionTrip.String(),
		"-n", fmt.Sprint(e.size(1_000_000, 5_000)), "-differ", fmt.Sprint(differing))}, nil, nil
}

// openPruned takes for go-ds-crdt what it takes it after any partition: it forgets nothing.
func openPruned(_ context.Context, e *env) ([]side, func(), error) {
	return []side{{dsName, e.referencePartition}, {edgemem, func(ctx context.Context) (values, error) {
		all := values{}
		for changers, prefix := range []string{"", "both_"} {
			got, err := e.probe(ctx, "pruned", "-rtt", partitionTrip.String(), "-n", fmt.Sprint(e.size(1_000_000, 5_000)),
				"-differ", fmt.Sprint(differing), "-sides", fmt.Sprint(changers+1))
			if err != nil {
				return nil, err
			}
			for k, v := range got {
				all[prefix+k] = v
			}
		}
		return all, nil
	}}}, nil, nil
}

// referencePartition lets go-ds-crdt catch up with as many writes as differ, and nothing else: the other entries would
// not make it faster. Its bytes count libp2p's handshakes, some KiB, as edgemem's do not.
func (e *env) referencePartition(ctx context.Context) (values, error) {
	trip := partitionTrip / 5
	got, wire, err := e.referenceOverProxy(ctx, trip/2, "catchup", "-n", fmt.Sprint(differing), "-batch", "1")
	if err != nil {
		return nil, err
	}
	took, each := got["seconds"]/trip.Seconds(), wire/differing-valueBytes
	return values{
		"trips": took, "excess": (wire - 4096) / got["payload_bytes"], "bytes_each": each, "both_trips": took, "both_bytes_each": each,
	}, nil
}

// referenceOverProxy runs a probe of go-ds-crdt whose two replicas talk through a proxy, and gives the
// bytes that went through as well.
func (e *env) referenceOverProxy(ctx context.Context, delay time.Duration, args ...string) (values, float64, error) {
	listen, err := freeAddr()
	if err != nil {
		return nil, 0, err
	}
	p, err := startProxy(listen, delay)
	if err != nil {
		return nil, 0, err
	}
	defer p.close()
	got, err := e.reference(ctx, append(args, "-listen", listen, "-dial", p.addr())...)
	return got, float64(p.bytes.Load()), err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// bareName is what a node is built from with nothing of edgemem in it.
const bareName = "bare stack"

// idlePeers is how many neighbours the idle device has.
const idlePeers = 3

func idleRows() []row {
	return []row{{
		name: "idle", rounds: 1, open: openIdle,
		figures: []figure{
			{key: "rss", title: "idle device, 3 peers: RSS", unit: bytesTotal, refs: []string{bareName}, reach: "≤ 40 MiB", met: atMost(40 << 20)},
			{key: "cpu", title: "the same: CPU", unit: percent, refs: []string{bareName}, reach: "≤ 0.3 %", met: atMost(0.3)},
			{key: "rate", title: "the same: TCP bytes per peer, both ways", unit: bytesRate, refs: []string{bareName}, reach: "≤ 20 B/s", met: atMost(20)},
			{key: "ready", title: "start of a joined, empty device to ready", unit: milliseconds, reach: "≤ 200 ms", met: atMost(200)},
			{key: "binary", title: "stripped binary", unit: bytesTotal, reach: "≤ 35 MB", met: atMost(35e6)},
		},
	}}
}

// openIdle measures a device among three neighbours that do nothing, after it has come to rest.
func openIdle(_ context.Context, e *env) ([]side, func(), error) {
	return []side{{bareName, e.idleBare}, {edgemem, e.idleDevice}}, nil, nil
}

func (e *env) idleDevice(ctx context.Context) (values, error) {
	hub, err := e.startDaemon(ctx, "", node{name: "hub"})
	if err != nil {
		return nil, err
	}
	defer hub.quit()
	join := func(name, tier string) (*daemon, error) {
		ticket, err := hub.invite(ctx, e)
		if err != nil {
			return nil, err
		}
		return e.startDaemon(ctx, "", node{name: name, tier: tier, ticket: ticket})
	}
	for i := range idlePeers - 1 {
		d, err := join(fmt.Sprint("peer-", i), "edge")
		if err != nil {
			return nil, err
		}
		defer d.quit()
	}
	device, err := join("device", "device")
	if err != nil {
		return nil, err
	}
	defer func() { device.quit() }()
	// Joining is not what a start costs: time the next one, with identity and membership in place.
	if err := device.stop(); err != nil {
		return nil, fmt.Errorf("device: %w\n%s", err, tail(device.said.String(), 2000))
	}
	if device, err = e.startDaemon(ctx, device.dir, node{name: "device", tier: "device"}); err != nil {
		return nil, err
	}
	err = device.await(ctx, "connected to all", func() bool {
		n, err := device.peersUp(ctx, e)
		return err == nil && n == idlePeers
	})
	if err != nil {
		return nil, err
	}
	got, err := e.watchIdle(ctx, device.pid())
	if err != nil {
		return nil, err
	}
	got["ready"] = float64(device.ready.Microseconds()) / 1000
	got["binary"], err = e.binaryBytes()
	return got, err
}

// watchIdle lets a process settle and then takes its memory, its share of a core, and what its TCP
// connections to peers carry.
func (e *env) watchIdle(ctx context.Context, pid int) (values, error) {
	settle, span := e.span(20*time.Second, time.Second), e.span(60*time.Second, 2*time.Second)
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	cpu, err1 := cpuTime(pid)
	wire, err2 := e.tcpBytesOf(ctx, pid)
	began := time.Now()
	if err := errors.Join(err1, err2, pause(ctx, span)); err != nil {
		return nil, err
	}
	cpuAfter, err1 := cpuTime(pid)
	wireAfter, err2 := e.tcpBytesOf(ctx, pid)
	took := time.Since(began).Seconds()
	rss, err3 := rssBytes(pid)
	return values{
		"rss": rss, "cpu": 100 * (cpuAfter - cpu).Seconds() / took, "rate": (wireAfter - wire) / took / idlePeers,
	}, errors.Join(err1, err2, err3)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var tcpCounts = regexp.MustCompile(`bytes_(?:sent|received):(\d+)`)

// tcpBytesOf sums what the open TCP connections of a process have carried, as ss shows it.
func (e *env) tcpBytesOf(ctx context.Context, pid int) (float64, error) {
	text, err := e.output(ctx, "", "ss", "-tinpOH")
	if err != nil {
		return 0, err
	}
	total, found := 0.0, false
	for line := range strings.Lines(text) {
		if !strings.Contains(line, fmt.Sprintf("pid=%d,", pid)) {
			continue
		}
		for _, m := range tcpCounts.FindAllStringSubmatch(line, -1) {
			n, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return 0, err
			}
			total, found = total+n, true
		}
	}
	if !found {
		return 0, fmt.Errorf("ss shows no TCP connection of process %d", pid)
	}
	return total, nil
}

package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"path/filepath"

	"github.com/edgemem/edgemem/test/sim/scenario"
)

// perfectName is what a tree of the gossip's degree would take.
const perfectName = "log_D N"

// thousandRows play fabrics of a thousand nodes on the real replication core, in virtual time: the figures are exact, and
// the same on every machine.
func thousandRows() []row {
	return []row{
		{
			name: "thousand", rounds: 1, open: openScenario("one-write-1000"),
			figures: []figure{
				{key: "hops", title: "simulated 1,000 nodes, one write: hops to the last", unit: count,
					refs: []string{perfectName}, reach: "≤ 2 × log_D N", met: atMostTimes(2)},
				{key: "server_copies", title: "the same, payload copies at a server, most", unit: count, reach: "≤ 4", met: atMost(4)},
				{key: "device_copies", title: "the same, at a device, most", unit: count, reach: "≤ 1", met: atMost(1)},
				{key: "seconds", title: "the same, virtual time to the last", unit: seconds},
			},
		},
		{name: "storm", rounds: 1, open: openScenario("storm-1000"), figures: stormFigures("1,000 nodes rejoin at once")},
		{name: "hubs", rounds: 1, open: openScenario("hubs-1000"), figures: stormFigures("997 devices rejoin at 3 hubs at once")},
	}
}

// stormFigures state the load; that it is bounded is what the scenario file holds it to.
func stormFigures(what string) []figure {
	return []figure{
		{key: "seconds", title: what + ": virtual time to equal", unit: seconds},
		{key: "served", title: "the same, pulls served at once by a node, most", unit: count, reach: "≤ 8", met: atMost(8)},
		{key: "waiting", title: "the same, pulls in a node's line, most", unit: count, reach: "≤ 64", met: atMost(64)},
		{key: "peak", title: "the same, out of a node in one second, most", unit: bytesTotal},
		{key: "node_bytes", title: "the same, in and out of a node, most", unit: bytesTotal},
	}
}

// openScenario plays one file of the simulator's.
func openScenario(name string) func(context.Context, *env) ([]side, func(), error) {
	file := filepath.Join(moduleRoot(), "test", "sim", "scenarios", name+".toml")
	return func(_ context.Context, e *env) ([]side, func(), error) {
		s, err := scenario.LoadFile(file)
		if err != nil {
			return nil, nil, err
		}
		return []side{{perfectName, func(context.Context) (values, error) {
			return values{"hops": perfectHops(s)}, nil
		}}, e.probeSide(edgemem, nil, "scenario", "-file", file)}, nil, nil
	}
}

func perfectHops(s *scenario.Scenario) float64 {
	nodes := 0
	for _, t := range s.Tier {
		nodes += t.Nodes
	}
	return math.Log(float64(nodes)) / math.Log(float64(s.Gossip.Degree))
}

// probeScenario plays a scenario, and fails where the outcome is not what the file expects.
func probeScenario(fs *flag.FlagSet) func(context.Context) (values, error) {
	file := fs.String("file", "", "scenario file")
	return func(context.Context) (values, error) {
		s, err := scenario.LoadFile(*file)
		if err != nil {
			return nil, err
		}
		rep, err := scenario.Run(s)
		if err != nil {
			return nil, err
		}
		if wrong := rep.Check(); len(wrong) > 0 {
			return nil, fmt.Errorf("%s: %q\n%s", s.Name, wrong, rep)
		}
		return values{
			"hops": float64(rep.Spread.HopsMax), "server_copies": float64(rep.Servers.Max), "device_copies": float64(rep.Devices.Max),
			"seconds": rep.Took.Seconds(), "served": float64(rep.Served), "waiting": float64(rep.Waited),
			"peak": rep.PeakOut, "node_bytes": float64(rep.Nodes.Max),
		}, nil
	}
}

package main

import "slices"

// allRows gives the rows in the order of the design's table.
func allRows() []row {
	return slices.Concat(localRows(), respRows(), meshRows(), diskRows(), idleRows(), laterRows())
}

// laterRows are figures of the design whose feature is not there yet.
func laterRows() []row {
	return []row{
		{name: "pruned", figures: []figure{
			{title: "catch-up after a partition, history pruned", unit: trips, reach: "≤ 3 RTT"},
			{title: "the same, bytes per difference beyond values", unit: bytesEach, reach: "≤ 40 B"},
		}},
		{name: "thousand", figures: []figure{
			{title: "simulated 1,000 nodes, one write, hops to all", unit: trips, reach: "≤ 2 × log_D N"},
		}},
	}
}

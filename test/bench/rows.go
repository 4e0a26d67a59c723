package main

import "slices"

// allRows gives the rows in the order of the design's table.
func allRows() []row {
	return slices.Concat(localRows(), respRows(), meshRows(), diskRows(), idleRows(), laterRows())
}

// laterRows are figures of the design whose feature is not there yet.
func laterRows() []row {
	return []row{
		{name: "thousand", figures: []figure{
			{title: "simulated 1,000 nodes, one write, hops to all", unit: trips, reach: "≤ 2 × log_D N"},
		}},
	}
}

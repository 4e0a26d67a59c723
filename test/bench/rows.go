package main

import "slices"

// allRows gives the rows in the order of the design's table.
func allRows() []row {
	return slices.Concat(localRows(), hotRows(), respRows(), meshRows(), regionRows(), thousandRows(), diskRows(), idleRows())
}

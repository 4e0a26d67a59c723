package main

// allRows gives the rows in the order of the design's table.
func allRows() []row { return nil }

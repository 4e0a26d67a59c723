package main

// allProbes names what this program can measure in a process of its own.
func allProbes() map[string]probe {
	return map[string]probe{
		"read-gomap":    probeReadGoMap,
		"gc-gomap":      probeGCGoMap,
		"hop-gossipsub": probeHopGossipsub,
		"write":         probeWrite,
		"read":          probeRead,
		"hot":           probeHot,
		"gc":            probeGC,
		"bytes":         probeBytes,
		"hop":           probeHop,
		"catchup":       probeCatchup,
		"partition":     probePartition,
		"pruned":        probePruned,
		"scenario":      probeScenario,
		"load":          probeLoad,
		"load-gossip":   probeLoadGossipsub,
		"regions":       probeRegions,
		"disk":          probeDisk,
		"bare":          probeBare,
	}
}

package main

// allProbes names what this program can measure in a process of its own.
func allProbes() map[string]probe {
	return map[string]probe{
		"read-gomap":    probeReadGoMap,
		"gc-gomap":      probeGCGoMap,
		"hop-gossipsub": probeHopGossipsub,
	}
}

package scenario

import (
	"math/rand/v2"
	"slices"
)

// regular makes a random graph in which each of n nodes has about degree neighbours: random rings laid over each
// other, and half a ring where the degree is odd. One ring alone connects it.
func regular(n, degree int, rng *rand.Rand) [][]int {
	g := make([][]int, n)
	join := func(a, b int) {
		if a != b && !slices.Contains(g[a], b) {
			g[a], g[b] = append(g[a], b), append(g[b], a)
		}
	}
	if n <= degree+1 {
		for a := range n {
			for b := range a {
				join(a, b)
			}
		}
		return g
	}
	for k := 0; k < degree; k += 2 {
		ring := newRing(g, n, rng)
		step := 1
		if k+1 == degree {
			step = 2
		}
		for i := 0; i < n; i += step {
			join(ring[i], ring[(i+1)%n])
		}
	}
	return g
}

// ringTries bounds the swaps that keep a ring from running along edges that are there.
const ringTries = 20

func newRing(g [][]int, n int, rng *rand.Rand) []int {
	ring := rng.Perm(n)
	taken := func(i int) bool { return slices.Contains(g[ring[i]], ring[(i+1)%n]) }
	for range ringTries {
		clean := true
		for i := range n {
			if taken(i) {
				clean = false
				j, k := (i+1)%n, rng.IntN(n)
				ring[j], ring[k] = ring[k], ring[j]
			}
		}
		if clean {
			break
		}
	}
	return ring
}

// build makes the nodes and connects them.
func (w *world) build() {
	var servers []*node
	for t := range w.s.Tier {
		tier := &w.s.Tier[t]
		for range tier.Nodes {
			n := newNode(len(w.nodes), t, tier)
			w.nodes = append(w.nodes, n)
			if tier.Attach == "" {
				servers = append(servers, n)
			}
		}
	}
	mesh := regular(len(servers), w.s.Gossip.Degree, w.rng)
	more := regular(len(servers), w.s.Overlay.Connections-w.s.Gossip.Degree, w.rng)
	for i, n := range servers {
		for _, j := range mesh[i] {
			w.link(n, servers[j], true)
		}
		for _, j := range more[i] {
			w.link(n, servers[j], false)
		}
	}
	for _, n := range w.nodes {
		if n.device() {
			w.attach(n)
		}
	}
}

// attach hangs a device on new servers of its tier.
func (w *world) attach(n *node) {
	var hosts []*node
	for _, h := range w.nodes {
		if h.tier.Name == n.tier.Attach && h.up {
			hosts = append(hosts, h)
		}
	}
	count := n.tier.LinksMin + w.rng.IntN(n.tier.LinksMax-n.tier.LinksMin+1)
	for _, i := range w.rng.Perm(len(hosts))[:min(count, len(hosts))] {
		w.link(n, hosts[i], true)
	}
}

// link connects two nodes. mesh says that gossip goes along it.
func (w *world) link(a, b *node, mesh bool) {
	if a.follower(b) != nil {
		return
	}
	a.links = append(a.links, &follower{self: a, peer: b, mesh: mesh})
	b.links = append(b.links, &follower{self: b, peer: a, mesh: mesh})
}

// unlink takes a device off all its servers.
func (w *world) unlink(n *node) {
	for _, f := range slices.Clone(n.links) {
		back := f.peer.follower(n)
		w.disconnected(f)
		w.disconnected(back)
		f.peer.links = slices.DeleteFunc(f.peer.links, func(x *follower) bool { return x == back })
	}
	n.links = nil
}

package place

import (
	"math"
	"slices"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/place"
)

// hopGame is the optimum of one hop and region: what the best past costs that ends without a copy behind the hop, and with one.
type hopGame struct{ out, in float64 }

// add goes on by a step. may says whether anything behind the hop can hold a copy.
func (g *hopGame) add(rent, upkeep, move float64, may bool) {
	out, in := g.out, g.in
	if !may {
		in = math.Inf(1)
	}
	out, in = min(out, in), min(in, out+move)
	g.out, g.in = out+rent, in+upkeep
}

// bound is a cost that no choice of holders goes below; see the package's comment.
func bound(tr *Trace, t *tree) (total float64) {
	games := make([]map[crdt.NodeID]*hopGame, len(tr.Regions))
	for i := range games {
		games[i] = map[crdt.NodeID]*hopGame{}
	}
	for _, s := range tr.Steps {
		for _, trip := range s.Moves {
			t.move(trip.Device, trip.Edge)
		}
		if len(s.Moves) > 0 {
			t.settle()
		}
		for _, use := range byRegion(s.Use) {
			i := use[0].Region
			total += boundStep(tr.Regions[i], games[i], use, t)
		}
	}
	for _, g := range games {
		for _, id := range sortedIDs(g) {
			total += min(g[id].out, g[id].in)
		}
	}
	return total
}

// boundStep takes in a step of one region, and gives what everybody pays for it: writes on their way to the root.
func boundStep(region Region, games map[crdt.NodeID]*hopGame, use []RegionUse, t *tree) (common float64) {
	rent, through := map[crdt.NodeID]float64{}, map[crdt.NodeID]int64{}
	var written int64
	for _, u := range use {
		written += u.Written
		for _, at := range t.up[u.Consumer] {
			through[at] += u.Written
			common += place.UsualWeights.Transfer(t.link(at), u.Written)
			if u.Reads > 0 {
				rent[at] += place.UsualWeights.Access(t.link(at), u.Reads, u.ReadBytes)
			}
		}
	}
	for at := range rent { // each by itself
		if games[at] == nil {
			games[at] = &hopGame{in: place.UsualWeights.Move(t.link(at), region.Bytes)}
		}
	}
	for at, g := range games { // each by itself
		g.add(rent[at], place.UsualWeights.Transfer(t.link(at), written-through[at]), place.UsualWeights.Move(t.link(at), region.Bytes), region.behind(t, at))
	}
	return common
}

// behind says whether a node behind a hop may hold the region. What a tier may, those outward of it may too, in every trace.
func (r Region) behind(t *tree, at crdt.NodeID) bool {
	return len(r.Tiers) == 0 || slices.Contains(r.Tiers, t.list[at].Tier)
}

// exact is the optimum over all sets of holders among candidates, which it takes 4^n steps for: n is small.
func exact(tr *Trace, t *tree, candidates []crdt.NodeID) (total float64) {
	sets := make([]holders, 1<<len(candidates))
	for i := range sets {
		sets[i] = holders{}
		for k, id := range candidates {
			if i>>k&1 == 1 {
				sets[i][id] = true
			}
		}
	}
	for i, region := range tr.Regions {
		total += exactRegion(tr, i, region, t, sets)
	}
	return total
}

func exactRegion(tr *Trace, i int, region Region, t *tree, sets []holders) float64 {
	best := make([]float64, len(sets))
	for k := range best {
		best[k] = math.Inf(1)
	}
	best[0] = 0
	feeds := make([]feed, len(sets))
	for k := range sets {
		feeds[k] = t.feed(sets[k])
	}
	change := changes(t, sets, region.Bytes)
	for _, s := range tr.Steps {
		var use []place.Use
		for _, u := range s.Use {
			if u.Region == i {
				use = append(use, u.Use)
			}
		}
		next := make([]float64, len(sets))
		for to := range sets {
			next[to] = math.Inf(1)
			for from := range sets {
				next[to] = min(next[to], best[from]+change[from][to])
			}
			reads, writes := t.use(sets[to], feeds[to], use)
			next[to] += reads + writes
		}
		best = next
	}
	return slices.Min(best)
}

// changes is what it costs to go from each set of holders to each.
func changes(t *tree, sets []holders, bytes int64) [][]float64 {
	out := make([][]float64, len(sets))
	for i, from := range sets {
		out[i] = make([]float64, len(sets))
		for k, to := range sets {
			now := holders{}
			for id := range from { // a copy of a set
				now[id] = true
			}
			gained := sortedIDs(to)
			slices.SortStableFunc(gained, func(a, b crdt.NodeID) int { return t.depth(a) - t.depth(b) })
			for _, id := range gained {
				if !now[id] {
					out[i][k] += t.gain(now, id, bytes)
					now[id] = true
				}
			}
		}
	}
	return out
}

func sortedIDs[V any, M ~map[crdt.NodeID]V](m M) []crdt.NodeID {
	ids := make([]crdt.NodeID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

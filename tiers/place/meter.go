package place

// Meter is the level of one node and region: 0, a copy here has no use; 1, rent has paid for the move. See the package's comment.
type Meter float64

// Rent takes in what reads cost without a copy here, or would, over a hop on which the move costs move.
func (m *Meter) Rent(cost, move float64) { m.add(cost, move) }

// Keep takes in what it costs to keep a copy here current, or would.
func (m *Meter) Keep(cost, move float64) { m.add(-cost, move) }

// add keeps the level in its range whatever it is given: a number that is none changes nothing.
func (m *Meter) add(cost, move float64) {
	if share := cost / max(move, costMin); share == share {
		*m = min(1, max(0, *m+Meter(share)))
	}
}

// thresholds are between which levels a node stays what it is.
type thresholds struct {
	gain Meter // a copy is wanted from here on
	drop Meter // it is not below, nor at 0
}

// wants says whether a copy is, where there is one or not.
func (t thresholds) wants(m Meter, held bool) bool {
	if held {
		return m > 0 && m >= t.drop
	}
	return m > 0 && m >= t.gain
}

// draw gives the thresholds of a region, by its name and a seed, so that all nodes that share the seed draw alike and none needs to ask.
func draw(c Config, region string) thresholds {
	if c.Steady {
		return thresholds{gain: 1}
	}
	// An even draw in (0, 1], from 53 bits of the hash.
	u := Meter(float64(hash(c.Seed, region)>>11+1) / (1 << 53))
	return thresholds{gain: min(1, u+Meter(c.Band/2)), drop: max(0, u-Meter(c.Band/2))}
}

// hash mixes a seed and a text: FNV-1a, then the finaliser of SplitMix64, since the top bits of the former are poor.
func hash(seed uint64, text string) uint64 {
	h := 14695981039346656037 ^ seed*0x9e3779b97f4a7c15
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

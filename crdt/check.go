package crdt

import "fmt"

// Check recomputes a region's digest from what its cells hold, a little at a time, while writes and merges go on. A value
// that changed in memory without a write shows, and so would a fault of our own.
type Check struct {
	r   *Region
	at  pos    // what is before was summed up
	sum uint64 // and is kept so by Region.count
}

// NewCheck begins a check. A region has one at a time: another replaces it.
func (r *Region) NewCheck() *Check {
	r.check = &Check{r: r, at: posMin}
	return r.check
}

// Step looks at about n cells. done is true after the last. Error: ErrDamaged, if the digest is another.
func (v *Check) Step(n int) (done bool, err error) {
	r := v.r
	if r.check != v {
		return true, nil // replaced
	}
	var last pos
	looked, stopped := 0, false
	r.eachCell(v.at, posMax, func(c *cell) bool {
		at := c.pos()
		if stopped = looked >= n && last.less(at) && (at.e != last.e || !r.twins(at.e)); stopped {
			return false
		}
		last = at
		looked++
		for i := range c.sibs {
			v.sum ^= r.siblingHash(c, &c.sibs[i])
		}
		return true
	})
	if stopped {
		v.at = last.next()
		return false, nil
	}
	if r.check = nil; v.sum != r.digest {
		return true, fmt.Errorf("region %q: %w: digest %016x, and what it holds makes %016x", r.name, ErrDamaged, r.digest, v.sum)
	}
	return true, nil
}

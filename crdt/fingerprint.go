package crdt

// Fingerprint tells states of one entry apart: it changes with every write and remove that comes to it, from here or by a
// merge, and when its expiry passes. It also changes when a ghost of it is forgotten,
// and an entry that left nothing has the one of an entry that never was. It takes time in proportion to the
// entry's members or fields.
func (v *View) Fingerprint(key string) (print uint64) {
	e := v.r.lookup(key)
	if !e.ok() {
		return 0
	}
	e.each(0, func(c *cell) bool {
		for i := range c.sibs {
			print ^= v.r.printOf(c.sibs[i].tip)
		}
		for _, g := range c.ghosts {
			print ^= v.r.printOf(g) ^ k1
		}
		return true
	})
	if !v.shows(e) {
		print ^= k0
	}
	return print
}

func (r *Region) printOf(t tip) uint64 {
	d := r.dot(t)
	return mix(originHash(d.Origin), uint64(d.Seq))
}

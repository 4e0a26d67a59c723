package crdt

// dirtyList is what the next TakeDirty writes: the positions of cells that changed, in the order of their first change, and
// the names of those that were taken out since. Both are bytes without pointers, because a million entries may wait.
type dirtyList struct {
	at    []pos
	gone  []byte // for each: key, kind, name
	lost  int    // cells in at that were taken out
	bytes int    // about what their records will have
	names int    // in gone
}

// mark notes that a cell changed. The handle says so too, and its record will.
func (d *dirtyList) mark(c *cell) {
	switch {
	case !c.empty():
		if !c.dirty {
			c.dirty = true
			d.list(c.at, c.size())
		}
	case c.ref != 0:
		if c.dirty {
			d.lost++
		}
		c.dirty = false
		d.remove(c)
	}
}

// list adds a cell that is not listed, and about how many bytes its record will have.
func (d *dirtyList) list(at pos, bytes int) {
	d.bytes += bytes
	d.at = append(d.at, at)
}

// remove notes a cell whose record goes.
func (d *dirtyList) remove(c *cell) {
	d.gone = appendBytes(d.gone, c.key)
	d.gone = append(d.gone, byte(c.kind))
	d.gone = appendBytes(d.gone, c.sub)
	d.names++
}

// len is how many records there are to write.
func (d *dirtyList) len() int {
	if d == nil {
		return 0
	}
	return len(d.at) - d.lost + d.names
}

// size is about how many bytes they will have.
func (d *dirtyList) size() int {
	if d == nil {
		return 0
	}
	return d.bytes
}

// unwritten is the list of what changed, to be added to.
func (r *Region) unwritten() *dirtyList {
	if r.dirty == nil {
		r.dirty = &dirtyList{}
	}
	return r.dirty
}

// written empties it. Where few cells changed since the last time it goes: most regions rest.
func (r *Region) written() {
	switch {
	case r.dirty == nil:
	case len(r.dirty.at)+r.dirty.names < handleKeep:
		r.dirty = nil
	default:
		r.dirty.reset()
	}
}

// dirtyKeep is for how many cells a list keeps its memory.
const dirtyKeep = 1 << 14

func (d *dirtyList) reset() {
	at, gone := d.at[:0], d.gone[:0]
	if cap(at) > dirtyKeep {
		at = nil
	}
	if cap(gone) > 16*dirtyKeep {
		gone = nil
	}
	*d = dirtyList{at: at, gone: gone}
}

package disk

import (
	"maps"
	"slices"
)

// folder holds names: those that are, those that are safe, and what led from one to the other.
type folder struct {
	names, safe map[string]*node
	pending     []move
}

// move is a change of names that happens whole or not at all: one comes, replacing what was there, or goes, or both.
type move struct {
	comes string
	node  *node
	goes  string
	made  bool // it survives whatever becomes of those before it
}

func newFolder() *folder { return &folder{names: map[string]*node{}, safe: map[string]*node{}} }

func (d *folder) do(m move) {
	d.pending = append(d.pending, m)
	m.apply(d.names)
}

func (m move) apply(names map[string]*node) {
	if m.goes != "" {
		delete(names, m.goes)
	}
	if m.comes != "" {
		names[m.comes] = m.node
	}
}

func (d *folder) sync() {
	d.safe = maps.Clone(d.names)
	d.pending = nil
}

// syncNode makes the names of one node safe, and leaves the others.
func (d *folder) syncNode(n *node) {
	for i := range d.pending {
		if d.pending[i].node == n {
			d.pending[i].made = true
		}
	}
}

func (d *folder) cut(fate *fate, r *Report) {
	keep := fate.prefix(len(d.pending))
	for i, m := range d.pending {
		if i < keep || m.made {
			m.apply(d.safe)
		} else {
			r.LostNames++
		}
	}
	d.names = maps.Clone(d.safe)
	d.pending = nil
}

func (d *folder) sorted() []string { return slices.Sorted(maps.Keys(d.names)) }

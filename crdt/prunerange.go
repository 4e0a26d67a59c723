package crdt

import "sort"

// PruneRange is Prune in parts: of the ghosts of origin it forgets those numbered above from and up to upto, and looks at no
// others, so that a caller who goes on from where it stopped holds the region for a short time only. Ghosts below the
// floor, which a reconciliation may have raised over them, go as well.
func (r *Region) PruneRange(origin Origin, from, upto Seq) {
	i, ok := r.byID[origin]
	if !ok {
		return
	}
	o := &r.origins[i]
	upto = min(upto, o.runs.Base)
	o.index.sort()
	ents := o.index.ents
	first := sort.Search(len(ents), func(k int) bool { return ents[k].seq > from })
	var cells []*cell
	for _, e := range ents[first:] {
		if e.seq > upto {
			break
		}
		if t := (tip{i, e.seq}); !e.c.gone && e.c.sibling(t) < 0 && e.c.hasTip(t) {
			cells = append(cells, e.c)
		}
	}
	for _, c := range cells {
		r.dropGhosts(c, i, upto)
	}
	if len(cells) > 0 && upto > o.floor && r.cfg.Mutant != MutantSilentPrune {
		o.floor, o.dirty = upto, true
		r.pruned++
	}
}

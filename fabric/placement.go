package fabric

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers"
	policy "github.com/edgemem/edgemem/tiers/place"
)

// Where the copies of a region are to be is in the catalogue, and so is who has one: every node finds every region, partitioned or not.
//
//	placement    everywhere, demand or pinned; nothing: everywhere
//	min_copies   how many live copies there are to be at least
//	tiers        names of the tiers that may hold it, with commas; nothing: all
//	labels       key=value that a holder must have, with commas; nothing: none
//	holder.NODE  since when, Unix ms, and the tier of the node
//
// A node announces itself as a holder of a region that is not everywhere. Of one that is, every member is a holder, and nobody needs to
// say so: a region for each vehicle costs no entry for each node. What was announced by nodes that are retired does not count.
//
// A region that is not everywhere is held at first by the node that made it so, and says so in the same write; and by those that have something
// of it. Others that hear of it are without a copy (Region.yield), until they take one (moves.go).

// ErrBadPlacement refuses a configuration.
var ErrBadPlacement = errors.New("fabric: bad placement of a region")

// Placement says where the copies of a region are to be. Default of each field: as it is; for a new region everywhere, 1, all tiers, no labels.
type Placement struct {
	// Kind is everywhere, demand or pinned.
	Kind string
	// MinCopies is how many live copies there are to be at least, up to copiesMax.
	MinCopies int
	// Tiers may hold it. Empty, but not nil: all.
	Tiers []string
	// Labels are those that a holder must have. Empty, but not nil: none. As Config.Labels.
	Labels map[string]string
}

const copiesMax = 1000

// Holder is a node that has a copy of a region.
type Holder struct {
	ID   crdt.NodeID `json:"id"`
	Name string      `json:"name"`
	Tier string      `json:"tier"`
}

const (
	fieldPlacement = "placement"
	fieldCopies    = "min_copies"
	fieldTiers     = "tiers"
	fieldLabels    = "labels"
	fieldHolder    = "holder."
)

// check says what is wrong.
func (p Placement) check() error {
	if p.Kind != "" {
		if _, err := policy.ParsePlacement(p.Kind); err != nil {
			return fmt.Errorf("%w: %w", ErrBadPlacement, err)
		}
	}
	if p.MinCopies < 0 || p.MinCopies > copiesMax {
		return fmt.Errorf("%w: %d copies: want 1 to %d, or 0 for what it has", ErrBadPlacement, p.MinCopies, copiesMax)
	}
	for _, t := range p.Tiers {
		if _, err := tiers.Parse(t); err != nil {
			return fmt.Errorf("%w: %w", ErrBadPlacement, err)
		}
	}
	if err := checkLabels(p.Labels); err != nil {
		return fmt.Errorf("%w: %w", ErrBadPlacement, err)
	}
	return nil
}

// declare writes it into the catalogue.
func (p Placement) declare(tx *crdt.Tx, name string) error {
	set := func(field, text string) error {
		_, err := tx.MapSet(name, field, []byte(text))
		return err
	}
	var err error
	if p.Kind != "" {
		err = set(fieldPlacement, p.Kind)
	}
	if p.MinCopies > 0 {
		err = errors.Join(err, set(fieldCopies, strconv.Itoa(p.MinCopies)))
	}
	if p.Tiers != nil {
		err = errors.Join(err, set(fieldTiers, strings.Join(inOrder(p.Tiers), ",")))
	}
	if p.Labels != nil {
		err = errors.Join(err, set(fieldLabels, encodeLabels(p.Labels)))
	}
	return err
}

// declareHeld has the catalogue say that this node holds a region of its own making, if it need not be everywhere, with the same write that says so.
func (f *Fabric) declareHeld(tx *crdt.Tx, name string, held bool) error {
	if f.cfg.Transport == nil || !held {
		return nil
	}
	p := parsePlacement(func(field string) string { b, _, _ := tx.MapGet(name, field); return string(b) })
	field := fieldHolder + string(f.cfg.Node)
	if _, said, _ := tx.MapGet(name, field); said || p.everywhere() {
		return nil
	}
	_, err := tx.MapSet(name, field, encodeNote(f.cfg.Now(), f.cfg.Tier))
	return err
}

// inOrder lists tiers once each, from the consumer outward.
func inOrder(names []string) (out []string) {
	for _, t := range tiers.Names() {
		if slices.Contains(names, t) {
			out = append(out, t)
		}
	}
	return out
}

// usualPlacement is that of a region of which the catalogue says nothing.
func usualPlacement() *Placement { return &Placement{Kind: policy.Everywhere.String(), MinCopies: 1} }

func readPlacement(v *crdt.View, name string) *Placement {
	return parsePlacement(func(field string) string { b, _, _ := v.MapGet(name, field); return string(b) })
}

// parsePlacement reads what the catalogue says. What cannot be read, since a newer version wrote it, is as if it were not there, but for the
// placement: one that is not known here is shown, and treated as everywhere.
func parsePlacement(text func(field string) string) *Placement {
	p := usualPlacement()
	if kind := shown(text(fieldPlacement)); kind != "" {
		p.Kind = kind
	}
	if n, err := strconv.Atoi(text(fieldCopies)); err == nil && n > 0 && n <= copiesMax {
		p.MinCopies = n
	}
	p.Tiers = inOrder(strings.Split(text(fieldTiers), ","))
	p.Labels = decodeLabels(text(fieldLabels))
	return p
}

// everywhere says that every member is a holder.
func (p *Placement) everywhere() bool {
	kind, err := policy.ParsePlacement(p.Kind)
	return err != nil || kind == policy.Everywhere
}

// Placement says where the region's copies are to be.
func (r *Region) Placement() Placement {
	if p := r.placed.Load(); p != nil {
		return *p
	}
	return *usualPlacement()
}

// announce has this node's name where it is a holder and does not say so, among the regions that are named; and takes it away where it is
// none, and where nothing but that is left of a region that was deleted meanwhile. The caller holds no lock.
func (f *Fabric) announce(names []string) {
	if f.cfg.Transport == nil {
		return
	}
	field := fieldHolder + string(f.cfg.Node)
	var here, gone []string
	_ = f.catalogue.View(func(v *crdt.View) { // a region of the fabric's own never loads
		for _, name := range names {
			_, said, _ := v.MapGet(name, field)
			_, declared, _ := v.MapGet(name, "ack")
			r := f.known(name)
			held := r == nil || r.Held()
			switch {
			case declared && !said && held && !readPlacement(v, name).everywhere():
				here = append(here, name)
			case said && (!declared || !held):
				gone = append(gone, name)
			}
		}
	})
	if len(here)+len(gone) == 0 {
		return
	}
	err := f.tell(func(tx *crdt.Tx) error {
		for _, name := range here {
			if _, err := tx.MapSet(name, field, encodeNote(f.cfg.Now(), f.cfg.Tier)); err != nil {
				return err
			}
		}
		for _, name := range gone {
			if _, err := tx.MapDel(name, field); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		f.cfg.Logger.Warn("holders of regions could not be announced", "regions", len(here)+len(gone), "err", err)
	}
	if err == nil {
		f.readCatalogue() // what it says of this node counts here, too
	}
}

// tell writes to the catalogue and waits for nothing: who waits for the disk may be the reader of a stream.
func (f *Fabric) tell(fn func(tx *crdt.Tx) error) error {
	c, _, err := f.catalogue.write(fn, false)
	if c.c != nil {
		c.c.hurry()
	}
	f.roster.wrote()
	return err
}

// holdersOf lists who holds a region, by name and id.
func (o *outlook) holdersOf(r *Region) []Holder {
	if p := r.placed.Load(); p == nil || p.everywhere() || r.f.cfg.Transport == nil {
		return o.everybody(r.f)
	}
	said := map[crdt.NodeID]string{}
	_ = r.f.catalogue.View(func(v *crdt.View) {
		_ = v.MapEach(r.name, func(field string, b []byte) bool { // no map: nobody said anything
			id, ok := strings.CutPrefix(field, fieldHolder)
			if _, tier, is := parseNote(b); ok && is && len(id) <= nodeIDMax && len(said) < nodesMax {
				said[crdt.NodeID(id)] = tier
			}
			return true
		})
	})
	out := []Holder{}
	for _, h := range o.everybody(r.f) {
		if _, ok := said[h.ID]; ok && h.ID != o.self || h.ID == o.self && r.Held() {
			out = append(out, h)
		}
		delete(said, h.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(said)) { // of whom nothing else is known here
		if !o.retired(id) {
			out = append(out, Holder{ID: id, Tier: said[id]})
		}
	}
	return out
}

// everybody lists the members that are not retired, this node among them, by name and id.
func (o *outlook) everybody(f *Fabric) []Holder {
	if o.all == nil {
		o.all = []Holder{{ID: o.self, Name: f.cfg.Name, Tier: f.cfg.Tier}}
		for i := range o.members {
			if m := &o.members[i]; !m.retired() {
				o.all = append(o.all, Holder{ID: m.id, Name: m.name, Tier: m.tier})
			}
		}
		slices.SortFunc(o.all, func(a, b Holder) int {
			return strings.Compare(a.Name+"\x00"+string(a.ID), b.Name+"\x00"+string(b.ID))
		})
	}
	return o.all
}

func (o *outlook) retired(id crdt.NodeID) bool {
	return slices.ContainsFunc(o.members, func(m member) bool { return m.id == id && m.retired() })
}

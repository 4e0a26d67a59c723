package fabric

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/tiers/offheap"
)

// A replica is this node's copy of a region, and a node need not have one of a region that is not everywhere. Then its core is empty, stays
// so whatever peers send, and nothing of it is on the disk: the region is known by its entry in the catalogue alone.
const (
	copyHere    int32 = iota // what users read and write
	copyNone                 // there is none
	copyComing               // merges are taken, users are not served yet, nothing goes to the disk
	copyLeaving              // users are not served any more; all else goes on
)

// ErrNotHeld answers who reads or writes a region of which this node has no copy. It is a *NotHeldError.
var ErrNotHeld = errors.New("fabric: this node has no copy of the region")

// NotHeldError says who has one.
type NotHeldError struct {
	Region  string
	Holders []Holder // as far as is known here
}

// Error names the region and some of its holders.
func (e *NotHeldError) Error() string {
	if len(e.Holders) == 0 {
		return fmt.Sprintf("%v: region %q: no holder is known here; connect this node to the others", ErrNotHeld, e.Region)
	}
	var names []string
	for _, h := range e.Holders[:min(len(e.Holders), holdersShown)] {
		name := h.Name
		if name == "" {
			name = string(h.ID)
		}
		names = append(names, name)
	}
	if more := len(e.Holders) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("%v: region %q: it is held by %s; package client, the Redis protocol and HTTP ask it there", ErrNotHeld, e.Region, strings.Join(names, ", "))
}

// Is makes it an ErrNotHeld.
func (e *NotHeldError) Is(target error) bool { return target == ErrNotHeld }

// holdersShown is how many holders an error names.
const holdersShown = 8

// errNone stands for a NotHeldError where the region's lock is held: the catalogue, which knows the holders, has a lock of its own.
var errNone = errors.New("fabric: no copy")

// Held reports whether this node has a copy of the region: always of one that is everywhere.
func (r *Region) Held() bool { return r.copy.Load() == copyHere }

// has reports whether there is a copy that peers may have, though users may not.
func (r *Region) has() bool {
	state := r.copy.Load()
	return state == copyHere || state == copyLeaving
}

// notHeld is the error that says who has a copy, or nil. The caller holds no lock.
func (r *Region) notHeld() error {
	if r.Held() {
		return nil
	}
	return r.nowhere()
}

func (r *Region) nowhere() error { return &NotHeldError{Region: r.name, Holders: r.f.Holders(r.name)} }

// Holders lists the nodes that have a copy of a region, by name and id, as far as is known here; none of a region that is not known. It
// takes time in proportion to the members.
func (f *Fabric) Holders(name string) []Holder {
	r := f.known(name)
	if r == nil {
		return nil
	}
	return f.look().holdersOf(r)
}

// unmapping is held while memory goes whose owners are gone: a pool may go with its heap.
var unmapping sync.Mutex

// lay makes the region's core a new one, and has the image of the old one taken off the disk. Who still reads the old one, a peer's pull for one,
// reads what is there for as long as it needs; its memory goes when nobody does. The caller holds mu.
func (r *Region) lay(state int32) {
	old := r.core
	if r.copy.Load() != copyNone && r.f.cfg.Storage != nil {
		r.gone = append(r.gone, old.Removal()...)
	}
	if p := r.pool; p != nil {
		runtime.AddCleanup(old, func(p *offheap.Pool) {
			unmapping.Lock()
			defer unmapping.Unlock()
			_ = p.Close() // what leaks is what is given up
		}, p)
	}
	seen := r.calm()
	r.pool, r.policy = nil, nil
	r.reads.Store(nil)
	r.core = r.f.family(r.system).NewRegion(r.name, r.f.Origin(), (*chunks)(r))
	if old.Self() == r.f.Origin() {
		r.core.Wrote(old.OwnTop())
	}
	r.core.SetCausal(r.causal.Load())
	r.copy.Store(state)
	r.govern()
	r.stir(seen)
	for _, p := range r.f.mesh.known() {
		p.anew(r.id)
	}
	r.news = nil
	r.life.Add(1)
	r.due()
	r.changes.raise()
}

// giveUp drops this node's copy, whatever others have: whether it may is for who calls it. What was written to it and not taken elsewhere
// is lost. Its records go with the next commit. The caller holds no lock.
func (r *Region) giveUp() {
	r.mu.Lock()
	if r.copy.Load() != copyNone {
		r.lay(copyNone)
		r.endWatches(true)
	}
	r.mu.Unlock()
	r.parted()
}

// yield has this node go without a copy of a region that others say they hold, where nothing of it is here and no move of it is under way.
// What holds something, and does not say so yet, says so. The caller holds no lock.
func (r *Region) yield() {
	if !r.Held() || r.f.cfg.Transport == nil || !r.moving.TryLock() {
		return
	}
	defer r.moving.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Held() && r.core.Entries() == 0 && len(r.core.Context()) == 0 {
		gone := r.gone
		r.lay(copyNone)
		r.gone = gone // what is here is not on the disk
		r.endWatches(true)
	}
}

// takeUp has this node hold a copy, an empty one for a start. The caller holds no lock.
func (r *Region) takeUp() {
	r.hold()
	r.parted()
}

// hold is takeUp that leaves it to the caller to say so in the catalogue.
func (r *Region) hold() {
	r.mu.Lock()
	r.copy.Store(copyHere)
	r.mu.Unlock()
	r.f.commits.mark(r, true)
	r.f.mesh.changed()
}

// parted follows a change of the copy: the disk has it soon, the others hear of it, and compare anew.
func (r *Region) parted() {
	r.f.commits.mark(r, true)
	r.f.announce([]string{r.name})
	r.f.mesh.changed()
}

// take gives what is to be written of the region. The caller holds mu.
func (r *Region) take() (recs []crdt.Record, err error) {
	recs, r.gone = r.gone, nil
	if !r.has() {
		return recs, nil
	}
	taken, err := r.core.TryTakeDirty()
	if len(recs) == 0 {
		return taken, err
	}
	return latest(append(recs, taken...)), err
}

// errParted ends what was begun on a copy that was given up since.
var errParted = errors.New("fabric: the copy of the region was given up meanwhile")

// since is errParted where the core is not the one of an earlier life. The caller holds mu, for reading at least.
func (r *Region) since(life uint32) error {
	if r.life.Load() != life {
		return fmt.Errorf("%w: %q", errParted, r.name)
	}
	return nil
}

// tend has the rounds begin anew with a core that is a new one. It is for the goroutine that makes them.
func (r *Region) tend() {
	if life := r.life.Load(); r.tended != life {
		r.tended, r.surveyed, r.surveyedAt, r.ages, r.tried, r.starts, r.allTold = life, nil, 0, nil, nil, 0, 0
	}
}

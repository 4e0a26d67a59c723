package fabric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A copy of a region that is not everywhere comes to a node, or goes from it, in steps each of which may be the last before a crash or a cut:
//
//	take   pull all of it from a holder ─▶ serve users; on the disk ─▶ say so in the catalogue
//	give   vows of enough other holders ─▶ serve users no more ─▶ rights of bounded counters go to another holder ─▶ vows anew, of what is
//	       there now ─▶ unsay it in the catalogue, on the disk ─▶ drop the copy, if nothing came since and the vows still hold
//
// What a crash leaves follows from the disk: a copy that is there is held, and said again; one that is not is not. A copy that was
// coming leaves nothing. A move that cannot be ended is undone.

var (
	// ErrMoving refuses a move of a copy that is on the move.
	ErrMoving = errors.New("fabric: a copy of the region is on the move here")
	// ErrCopies refuses to give up a copy that is needed, or to take one that may not be here.
	ErrCopies = errors.New("fabric: the placement of the region does not allow it")
)

const (
	takeRetry = 2 * time.Second        // between two tries to get a copy
	giveRetry = 200 * time.Millisecond // and to have others vow,
	giveTries = 10                     // of which there are so many while users wait
)

// moves are the copies that are coming.
type moves struct {
	mu     sync.Mutex
	coming map[*Region]*comer
}

// comer is one of them.
type comer struct {
	here chan struct{} // capacity 1: a holder has sent all that it had
}

// begin notes that a copy is coming, until end.
func (m *moves) begin(r *Region) *comer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.coming == nil {
		m.coming = map[*Region]*comer{}
	}
	a := &comer{make(chan struct{}, 1)}
	m.coming[r] = a
	return a
}

func (m *moves) end(r *Region) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.coming, r)
}

// from lists the regions that are coming and that a peer holds, by name.
func (m *moves) from(id crdt.NodeID) (out []*Region) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r := range m.coming {
		if r.keptBy(id) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, byName)
	return out
}

// came notes that all that a peer had of a region is here.
func (m *moves) came(r *Region, from crdt.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.coming[r]; a != nil && r.keptBy(from) {
		select {
		case a.here <- struct{}{}:
		default: // it was told
		}
	}
}

// between is called between the steps of a move.
func (f *Fabric) between(step string) {
	if f.cfg.step != nil {
		f.cfg.step(f.cfg.Node, step)
	}
}

// TakeCopy has this node hold the region, with all that a holder has of it, and returns when that is so and on the disk. If it holds it already
// there is nothing to do. Errors: ErrCopies, ErrMoving, ErrDiskFull, ErrMemoryFull, ErrQuota, *NotHeldError when ctx ends before a holder has
// sent all; then nothing is left of it. ErrNotDurable, ErrClosed.
func (r *Region) TakeCopy(ctx context.Context) error {
	if r.Held() {
		return nil
	}
	if err := r.mayTake(); err != nil {
		return err
	}
	if !r.moving.TryLock() {
		return fmt.Errorf("%w: %q", ErrMoving, r.name)
	}
	defer r.moving.Unlock()
	a := r.f.moves.begin(r)
	defer r.f.moves.end(r)
	r.mu.Lock()
	r.copy.CompareAndSwap(copyNone, copyComing)
	r.mu.Unlock()
	if err := r.arrive(ctx, a); err != nil {
		r.mu.Lock()
		if r.copy.Load() == copyComing {
			r.lay(copyNone)
		}
		r.mu.Unlock()
		return err
	}
	r.f.between("came")
	err := r.f.commits.mark(r, false).Sync(ctx)
	r.f.between("kept")
	r.parted()
	return err
}

// mayTake says why this node may not hold the region, or has no room.
func (r *Region) mayTake() error {
	p := r.Placement()
	if len(p.Tiers) > 0 && !slices.Contains(p.Tiers, r.f.cfg.Tier) {
		return fmt.Errorf("%w: region %q may be at tiers %v, and this node is at %s", ErrCopies, r.name, p.Tiers, r.f.cfg.Tier)
	}
	for key, val := range p.Labels {
		if r.f.cfg.Labels[key] != val {
			return fmt.Errorf("%w: region %q may be where %s=%s, and this node has %q", ErrCopies, r.name, key, val, r.f.cfg.Labels[key])
		}
	}
	if err := r.f.refuse(false); err != nil {
		return err
	}
	return r.short()
}

// arrive asks the holders until one has sent all, and this node's own earlier writes are here.
func (r *Region) arrive(ctx context.Context, a *comer) error {
	again := time.NewTicker(takeRetry)
	defer again.Stop()
	for {
		for _, p := range r.keeping(r.f.mesh.connected()) {
			p.ask(becauseConnected)
		}
		select {
		case <-a.here:
			if r.settled() {
				return nil
			}
		case <-again.C:
		case <-ctx.Done():
			return r.nowhere()
		case <-r.f.ctx.Done():
			return ErrClosed
		}
		if r.Held() { // it is everywhere by now
			return nil
		}
	}
}

// settled has users served, if all is here.
func (r *Region) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if top := r.core.OwnTop(); r.core.Partial() || top > 0 && !r.core.Covers(crdt.Context{r.core.Self(): crdt.Runs{Base: top}}) {
		return false
	}
	r.copy.CompareAndSwap(copyComing, copyHere)
	return true
}

// GiveCopy drops this node's copy, after as many other holders as there are to be copies, one at least, have vowed that they have all of it
// on their disks and keep it. Calls that come meanwhile get a *NotHeldError before they wrote anything. What the node holds of bounded counters
// goes to a connected holder; without one that can take it the copy stays. Errors: *NotHeldError, ErrMoving, ErrCopies, with which nothing
// changed, but that rights may be with another holder, ErrNotDurable, ErrClosed.
func (r *Region) GiveCopy(ctx context.Context) (err error) {
	if err := r.notHeld(); err != nil {
		return err
	}
	if !r.isPlaced() {
		return fmt.Errorf("%w: region %q is everywhere", ErrCopies, r.name)
	}
	if !r.moving.TryLock() {
		return fmt.Errorf("%w: %q", ErrMoving, r.name)
	}
	defer r.moving.Unlock()
	if _, _, err := r.vows(ctx); err != nil {
		return err
	}
	r.f.between("vowed")
	if err := r.leave(); err != nil {
		return err
	}
	defer func() {
		if err != nil && r.stay() {
			r.parted()
		}
	}()
	for try := 1; ; try++ {
		if err = r.part(ctx); err == nil {
			r.parted()
			return nil
		}
		if !errors.Is(err, ErrCopies) || try == giveTries || !sleep(ctx, giveRetry) {
			return err
		}
	}
}

// leave has users served no more.
func (r *Region) leave() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if left := time.Until(r.vowed); left > 0 {
		return fmt.Errorf("%w: this node has vowed to another to keep region %q for %v more", ErrCopies, r.name, left.Round(time.Second))
	}
	if !r.copy.CompareAndSwap(copyHere, copyLeaving) {
		return fmt.Errorf("%w: %q", ErrMoving, r.name)
	}
	return nil
}

// stay has users served again, unless the copy is gone.
func (r *Region) stay() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.copy.CompareAndSwap(copyLeaving, copyHere)
}

// part has others vow for what is here now, unsays that it is, and drops it. ErrCopies: it may be tried again.
func (r *Region) part(ctx context.Context) error {
	r.f.between("leaving")
	if left, err := r.passOn(copyLeaving, r.f.heirs()); left > 0 || err != nil {
		return errors.Join(fmt.Errorf("%w: region %q: nobody takes over this node's rights of %d bounded counters", ErrCopies, r.name, left), err)
	}
	as, began, err := r.vows(ctx)
	if err != nil {
		return err
	}
	r.f.between("vowed again")
	r.f.announce([]string{r.name})
	if err := r.f.Sync(ctx); err != nil {
		return err
	}
	r.f.between("unsaid")
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.copy.Load() != copyLeaving:
		return fmt.Errorf("%w: region %q is to be everywhere by now", ErrMoving, r.name)
	case r.core.ContextHash() != as:
		return fmt.Errorf("%w: something came to region %q that others may not have", ErrCopies, r.name)
	case time.Since(began) > vowFor/2:
		return fmt.Errorf("%w: the vows of others to keep region %q are too old", ErrCopies, r.name)
	}
	r.lay(copyNone)
	r.endWatches(true)
	return nil
}

// vows has as many other holders as there are to be copies, one at least, vow that they keep what is here, and gives the hash of its context and
// when they were asked first.
func (r *Region) vows(ctx context.Context) (as uint64, began time.Time, err error) {
	o := r.f.look()
	r.mu.RLock()
	request, as, partial := r.vowRequest(), r.core.ContextHash(), r.core.Partial()
	r.mu.RUnlock()
	if partial {
		return 0, began, fmt.Errorf("%w: region %q holds a part of what another node has, from a pull that is not over", ErrCopies, r.name)
	}
	began = time.Now()
	want, have := max(1, r.Placement().MinCopies), 0
	var refused []error
	keepers := slices.Clone(r.keeping(r.f.mesh.connected()))
	slices.SortStableFunc(keepers, func(a, b *peer) int { return tierOf(b.tier) - tierOf(a.tier) }) // who vows cannot give up soon: those who are to stay first
	for _, p := range keepers {
		if o.retired(p.id) {
			continue
		}
		if err := r.f.mesh.askVow(ctx, p, request); err != nil {
			refused = append(refused, err)
			continue
		}
		if have++; have == want {
			return as, began, nil
		}
	}
	if len(refused) == 0 {
		return 0, began, fmt.Errorf("%w: region %q: of %d other holders that are to keep it %d are connected", ErrCopies, r.name, want, have)
	}
	return 0, began, fmt.Errorf("%w: region %q: of %d other holders that are to keep it %d do: %w", ErrCopies, r.name, want, have, errors.Join(refused...))
}

package fabric

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// broker moves the rights of bounded counters to where they are short. A request is a part of the asker's row in the counter, and a grant of
// the holder's, so both travel as writes do, over several nodes and through earlier versions; nobody who is asked can lose more than half of
// what it holds at once.
//
//	a write is short of rights ─▶ want ─▶ ask the richest holder whose incarnation runs, those that are connected first
//	                                 ◀── its row arrives: take what it gave; ask again while it is not enough
//	a request arrives ─▶ answer it: up to half of what is here
//	Close ─▶ all that is here goes to a connected holder; and so do those of a region whose copy is given up
type broker struct {
	f    *Fabric
	wake chan struct{} // capacity 1: one signal stands for any number
	rnd  *rand.Rand    // of run

	mu    sync.Mutex
	asked map[*Region]struct{}  // with rows that want an answer, or gave
	wants map[counterName]*want // at most wantsMax; beyond it a want is dropped: whoever is short of rights says so again
}

type counterName struct {
	r   *Region
	key string
}

// want is rights that a write was short of.
type want struct {
	rights int64
	next   time.Time // when another holder is asked, if this one does not answer
	tries  int
}

const (
	wantsMax      = 4096
	wantTries     = 8                      // requests, after which a want is given up
	wantWait      = 200 * time.Millisecond // for the first answer; twice as long for each further one, with jitter
	wantWaitMax   = 10 * time.Second
	doesBounded   = "bounded" // in the record of a node that answers requests
	handOverRetry = 3         // holders that are tried at an end
)

func newBroker(f *Fabric) *broker {
	return &broker{f: f, wake: make(chan struct{}, 1), rnd: f.random(), asked: map[*Region]struct{}{}, wants: map[counterName]*want{}}
}

// mark notes that a region has rows for us. The caller holds its lock.
func (b *broker) mark(r *Region) {
	if !r.core.HasAsked() || r.f.cfg.Transport == nil || r.f.mesh.can&canBounded == 0 {
		return
	}
	b.mu.Lock()
	b.asked[r] = struct{}{}
	b.mu.Unlock()
	b.signal()
}

func (b *broker) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// WantRights has this node ask others for rights of a bounded counter until as many as that are here. It returns at once; what is not
// there after a while is given up. A counter that has less left than that is not asked about.
func (r *Region) WantRights(key string, rights int64) {
	b := r.f.broker
	if r.f.cfg.Transport == nil || r.system || rights <= 0 {
		return
	}
	b.mu.Lock()
	name := counterName{r, key}
	w := b.wants[name]
	switch {
	case w != nil:
		w.rights = max(w.rights, rights)
	case len(b.wants) < wantsMax:
		b.wants[name] = &want{rights: rights}
	}
	b.mu.Unlock()
	if w == nil {
		b.signal()
	}
}

func (b *broker) run() {
	b.f.roster.wrote() // what the durable image has of bounded counters: others may leave us their rights
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-b.f.ctx.Done():
			return
		case <-b.wake:
		case <-timer.C:
		}
		if wait := b.round(time.Now()); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// round answers what is asked, and asks for what is wanted. It says how long until the next request is due; 0: none is.
func (b *broker) round(now time.Time) (wait time.Duration) {
	b.mu.Lock()
	regions := sortedRegions(b.asked)
	clear(b.asked)
	names := make([]counterName, 0, len(b.wants))
	for name := range b.wants {
		names = append(names, name)
	}
	b.mu.Unlock()
	for _, r := range regions {
		b.answer(r)
	}
	slices.SortFunc(names, func(x, y counterName) int { return cmp.Or(byName(x.r, y.r), cmp.Compare(x.key, y.key)) })
	for _, name := range names {
		next, going := b.pursue(name, now, slices.Contains(regions, name.r))
		if left := next.Sub(now); going && (wait == 0 || left < wait) {
			wait = max(left, time.Millisecond)
		}
	}
	return wait
}

// answer takes what was given to this node in a region, and gives what others ask for.
func (b *broker) answer(r *Region) {
	r.mu.Lock()
	keys := r.core.TakeAsked()
	r.mu.Unlock()
	if len(keys) == 0 {
		return
	}
	_, err := r.Apply(func(tx *crdt.Tx) error {
		for _, key := range keys {
			if _, err := tx.BoundedAnswer(key); err != nil && !errors.Is(err, crdt.ErrNoBounded) && !errors.Is(err, crdt.ErrWrongType) && !errors.Is(err, crdt.ErrNoRights) {
				return err
			}
		}
		return nil
	})
	if err != nil { // whoever asked asks again, or another
		b.f.cfg.Logger.Debug("requests for rights are not answered", "region", r.name, "counters", len(keys), "err", err)
	}
}

// pursue asks for a want that is due, or that something came for. going is false where it is over.
func (b *broker) pursue(name counterName, now time.Time, news bool) (next time.Time, going bool) {
	b.mu.Lock()
	w := b.wants[name]
	if w == nil {
		b.mu.Unlock()
		return next, false
	}
	rights, due := w.rights, news || !w.next.After(now)
	next, tries := w.next, w.tries
	b.mu.Unlock()
	from, part, short := name.r.holder(name.key, rights)
	if !short || tries >= wantTries && due {
		b.mu.Lock()
		delete(b.wants, name)
		b.mu.Unlock()
		return next, false
	}
	if !due {
		return next, true
	}
	_, err := name.r.Apply(func(tx *crdt.Tx) error { return tx.BoundedAsk(name.key, from, part) })
	if err != nil {
		b.f.cfg.Logger.Debug("rights are not asked for", "region", name.r.name, "key", name.key, "err", err)
	}
	pause := min(wantWait<<tries, wantWaitMax)
	pause += time.Duration(b.rnd.Int64N(int64(pause / 2)))
	b.mu.Lock()
	defer b.mu.Unlock()
	w.next, w.tries = now.Add(pause), tries+1
	return w.next, true
}

// holder chooses whom to ask for rights, and for how many: for what is short, or half of what it has where that is more, since more will be
// wanted. short is false where enough is here, or can be nowhere, or with nobody who could answer.
func (r *Region) holder(key string, rights int64) (from crdt.Origin, part int64, short bool) {
	var all []crdt.BoundedRights
	var b crdt.Bounded
	loading := r.View(func(v *crdt.View) {
		b, _, _ = v.Bounded(key)
		all, _ = v.BoundedRights(key)
	})
	if loading != nil || b.Here >= rights || b.Left() < rights {
		return from, 0, false
	}
	writers := r.f.roster.writers()
	best := crdt.BoundedRights{}
	near := false
	for _, x := range all {
		node, runs := writers[x.Origin]
		if !runs || node == r.f.cfg.Node {
			continue
		}
		_, here := r.f.presence(node)
		if here && !near || here == near && x.Rights > best.Rights {
			best, near = x, here
		}
	}
	return best.Origin, max(rights-b.Here, best.Rights/2), best.Rights > 0
}

// handOver gives the rights of all bounded counters to a connected node: they would end with this incarnation.
func (f *Fabric) handOver() {
	lost := 0
	var heirs []heir
	for _, r := range f.all() {
		if !r.holdsRights() {
			continue
		}
		if heirs == nil {
			heirs = f.heirs()
		}
		n, err := r.passOn(copyHere, heirs)
		if lost += n; err != nil {
			f.cfg.Logger.Debug("rights are not passed on", "region", r.name, "err", err)
		}
	}
	if lost > 0 {
		f.cfg.Logger.Warn("the rights of this node to bounded counters end with it: nobody is connected to take them over. Begin the counters anew where they are missed", "counters", lost)
	}
}

func (r *Region) holdsRights() (some bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	r.core.BoundedHeld(func(string, int64) { some = true })
	return some
}

// passOn gives the rights of a region's bounded counters to the first of some heirs that hold the region and can take them, and takes back what
// this node asks others for. left counts the counters of which some stay here.
func (r *Region) passOn(state int32, heirs []heir) (left int, err error) {
	var to []crdt.Origin
	for _, h := range heirs {
		if r.keptBy(h.id) && len(to) < handOverRetry {
			to = append(to, h.origin)
		}
	}
	r.mu.RLock()
	held := map[string]int64{}
	r.core.BoundedHeld(func(key string, rights int64) { held[key] = rights })
	r.mu.RUnlock()
	if left = len(held); left == 0 || len(to) == 0 {
		return left, nil
	}
	_, _, err = r.writeAs(state, func(tx *crdt.Tx) error {
		for _, key := range slices.Sorted(maps.Keys(held)) {
			given, err := tx.BoundedLeave(key, to)
			if err != nil {
				return err
			}
			if given >= held[key] {
				left--
			}
		}
		return nil
	}, true)
	return left, err
}

// heir is an incarnation of a connected node that can take over rights.
type heir struct {
	origin crdt.Origin
	rank   int
	id     crdt.NodeID
}

// heirs lists them, the first to be tried first: cloud before device.
func (f *Fabric) heirs() (all []heir) {
	f.roster.mu.Lock()
	for id, rec := range f.roster.nodes {
		if c, ok := rec.origin(); ok && id != f.cfg.Node && rec.retired == nil && rec.does == doesBounded {
			all = append(all, heir{c.origin, slices.Index([]string{"cloud", "regional", "edge", "device"}, rec.tier), id})
		}
	}
	f.roster.mu.Unlock()
	all = slices.DeleteFunc(all, func(h heir) bool { _, here := f.presence(h.id); return !here })
	slices.SortFunc(all, func(a, b heir) int { return cmp.Or(cmp.Compare(uint(a.rank), uint(b.rank)), cmp.Compare(a.id, b.id)) })
	return all
}

// HeldRights is what one node, or an incarnation of one that has ended, holds of a bounded counter.
type HeldRights struct {
	Node   crdt.NodeID `json:"node,omitempty"` // none: the incarnation has ended, or is not known here
	Name   string      `json:"name,omitempty"`
	Origin crdt.Origin `json:"origin"`
	Rights int64       `json:"rights"`
}

// RightsOf lists who holds rights of the bounded counter at key, as far as is known here, the most first. Those of an incarnation that has
// ended nobody can spend. Errors: crdt.ErrWrongType, ErrLoading.
func (r *Region) RightsOf(key string) (out []HeldRights, err error) {
	var all []crdt.BoundedRights
	loading := r.View(func(v *crdt.View) { all, err = v.BoundedRights(key) })
	if err := cmp.Or(loading, err); err != nil || len(all) == 0 {
		return nil, err
	}
	writers, names := r.f.roster.writers(), r.f.nodeNames()
	for _, x := range all {
		node := writers[x.Origin]
		out = append(out, HeldRights{node, names[node], x.Origin, x.Rights})
	}
	slices.SortStableFunc(out, func(a, b HeldRights) int { return cmp.Compare(b.Rights, a.Rights) })
	return out, nil
}

// ErrNodeSilent says that a node has not written anything since it started, so that nothing can be given to it.
var ErrNodeSilent = errors.New("fabric: the node has not written since it started")

// does is what the node's record says that it can.
func (f *Fabric) does() string {
	if f.mesh.can&canBounded == 0 {
		return ""
	}
	return doesBounded
}

// originCalled gives the running incarnation of a node, by its id or name. Errors: ErrNoNode, ErrAmbiguous, ErrNodeSilent.
func (f *Fabric) originCalled(node string) (crdt.Origin, error) {
	id, err := f.nodeCalled(node)
	if err != nil {
		return crdt.Origin{}, err
	}
	if id == f.cfg.Node {
		return f.Origin(), nil
	}
	f.roster.mu.Lock()
	defer f.roster.mu.Unlock()
	rec := f.roster.record(id)
	c, ok := rec.origin()
	if !ok || rec.does != doesBounded {
		return crdt.Origin{}, fmt.Errorf("%w: %s", ErrNodeSilent, node)
	}
	return c.origin, nil
}

// GiveRights passes rights of the bounded counter at key on to a node, by its id or name, and gives how many these were: at most what is here.
// Errors: ErrNoNode, ErrAmbiguous, ErrNodeSilent, crdt.ErrNoBounded, crdt.ErrWrongType, and those of Region.Apply. The Commit waits for the
// acknowledgement.
func (r *Region) GiveRights(key, node string, rights int64) (given int64, c Commit, err error) {
	to, err := r.f.originCalled(node)
	if err != nil {
		return 0, c, err
	}
	c, err = r.Apply(func(tx *crdt.Tx) (err error) { given, err = tx.BoundedGive(key, to, rights); return err })
	return given, c, err
}

package fabric

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// ErrWatchLagged ends a watch whose reader was too slow. Read the state and watch again.
var ErrWatchLagged = errors.New("fabric: watcher fell behind")

// WatchEvent says that a key changed. Several changes in a row may be told as one.
type WatchEvent struct {
	Key   string
	Kind  crdt.Kind // what it shows now; KindNone: it is gone
	Local bool      // written here, not merged from a peer
	Swept bool      // this node removed it because its expiry had passed
	As    uint64    // crdt.View.Version of a view that shows the change; one that is lower may not
}

// watchQueue is how many changes a watcher may lag behind; beyond that its watch ends with ErrWatchLagged,
// so that a slow reader never holds up writers.
const watchQueue = 4096

type watcher struct {
	prefix string
	events chan WatchEvent
	lagged bool // closed because the queue was full,
	parted bool // or because the copy was given up
}

// Watch gives the changes of keys that start with prefix, from the call on, until ctx ends, the loop is left or
// the fabric is closed (ErrClosed), or this node has no copy, or gives it up (*NotHeldError). A key whose expiry passes is told when it is removed. Range over the
// result once; if it is never ranged over, it is let go when ctx ends.
func (r *Region) Watch(ctx context.Context, prefix string) iter.Seq2[WatchEvent, error] {
	w := &watcher{prefix: prefix, events: make(chan WatchEvent, watchQueue)}
	refused := r.addWatcher(w)
	forget := context.AfterFunc(ctx, func() { r.removeWatcher(w) })
	return func(yield func(WatchEvent, error) bool) {
		if refused != nil {
			if refused == errNone {
				refused = r.nowhere()
			}
			yield(WatchEvent{}, refused)
			return
		}
		defer func() { forget(); r.removeWatcher(w) }()
		for {
			select {
			case <-ctx.Done():
				return
			case ev, ok := <-w.events:
				if !ok {
					yield(WatchEvent{}, r.whyEnded(w))
					return
				}
				if !yield(ev, nil) {
					return
				}
			}
		}
	}
}

func (r *Region) whyEnded(w *watcher) error {
	r.mu.Lock()
	lagged, parted := w.lagged, w.parted
	r.mu.Unlock()
	switch {
	case lagged:
		return ErrWatchLagged
	case parted:
		return r.nowhere()
	}
	return ErrClosed
}

func (r *Region) addWatcher(w *watcher) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f.closed.Load() {
		return ErrClosed
	}
	if !r.Held() {
		return errNone
	}
	r.watchers = append(r.watchers, w)
	r.core.Track(true)
	return nil
}

func (r *Region) removeWatcher(w *watcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropWatcher(w)
}

func (r *Region) dropWatcher(w *watcher) {
	for i, x := range r.watchers {
		if x == w {
			r.watchers = append(r.watchers[:i:i], r.watchers[i+1:]...)
			break
		}
	}
	r.core.Track(len(r.watchers) > 0)
}

func (r *Region) closeWatchers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endWatches(false)
}

// endWatches ends them all. parted: the copy is given up. The caller holds mu.
func (r *Region) endWatches(parted bool) {
	r.changes.raise()
	for _, w := range r.watchers {
		w.parted = parted
		close(w.events)
	}
	r.watchers = nil
	r.core.Track(false)
}

// notify queues what changed. The caller holds mu, so that events are in the order of the changes; nobody's
// code runs here.
func (r *Region) notify(local bool) {
	r.changes.raise()
	if len(r.watchers) == 0 {
		return
	}
	v := r.core.View(r.f.now())
	for _, key := range r.core.TakeChanged() {
		ev := WatchEvent{Key: key, Kind: v.Kind(key), Local: local, As: r.core.Version()}
		ev.Swept = r.sweeping && ev.Kind == crdt.KindNone
		for _, w := range r.watchers {
			if !strings.HasPrefix(key, w.prefix) {
				continue
			}
			select {
			case w.events <- ev:
			default:
				w.lagged = true
			}
		}
	}
	for _, w := range r.watchers {
		if w.lagged {
			close(w.events)
			r.dropWatcher(w)
		}
	}
}

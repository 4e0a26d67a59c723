package fabric

import (
	"fmt"

	"github.com/edgemem/edgemem/crdt"
)

// A region that a peer speaks of may be new here. It gets a replica once the peer has shown something that it holds: a name
// alone, or a push that waits for what came before it, makes none, so that nobody fills a node with empty replicas.

// known gives the replica of a region that a peer speaks of, nil if there is none.
func (f *Fabric) known(name string) *Region {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.byName[name]
}

// welcome makes a replica for a region of which a peer has shown something, if show makes an empty one see anything. The
// replica that it gives, nil for none, has not seen it yet.
func (f *Fabric) welcome(name string, show func(empty *crdt.Region) error) (*Region, error) {
	if f.closed.Load() {
		return nil, ErrClosed
	}
	if err := checkRegionName(name); err != nil { // names that are reserved are for the regions of newer versions
		return nil, fmt.Errorf("%w: %w", errProtocol, err)
	}
	probe := crdt.NewRegion(crdt.Config{Name: name, Self: f.Origin(), MaxGhosts: f.cfg.MaxGhosts, HashKey: f.hashKey()})
	if err := show(probe); err != nil || probe.ContextHash() == 0 {
		return nil, err
	}
	return f.region(name)
}

// onPush merges a pushed frame. gap says that what came before it is missing.
func (f *Fabric) onPush(frame []byte) (gap bool, err error) {
	self := f.Origin()
	gap, err = f.merge(frame)
	return gap, f.undone(self, err)
}

func (f *Fabric) merge(frame []byte) (gap bool, err error) {
	name, err := crdt.PushRegion(frame)
	if err != nil {
		return false, err
	}
	if f.holdsMerges(name) != nil {
		return true, nil // as if it had been lost: a pull brings it when there is room
	}
	r := f.known(name)
	if r == nil {
		r, err = f.welcome(name, func(empty *crdt.Region) (err error) {
			gap, err = empty.Push(frame, f.now())
			return err
		})
		if r == nil || err != nil {
			return gap, err
		}
	}
	if r.copy.Load() == copyNone {
		return false, nil
	}
	r.changed(func(now int64) {
		if r.copy.Load() != copyNone { // it may have been given up meanwhile
			gap, err = r.core.Push(frame, now)
		}
	})
	return gap, err
}

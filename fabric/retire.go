package fabric

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edgemem/edgemem/crdt"
)

// Sentinel errors about nodes. The text around them names the node.
var (
	ErrNoNode        = errors.New("fabric: no such node")
	ErrAmbiguous     = errors.New("fabric: several nodes have this name")
	ErrNodeConnected = errors.New("fabric: the node is connected")
	ErrNoAlarm       = errors.New("fabric: no such kind of alarm")
)

// RetireNode says that a node, by id or name, will not come back. From then on it does not hold back what all members have
// seen, and does not count as dark. Nothing that it wrote goes. It is not shut out: its certificate holds until it expires,
// and if it comes back its writes merge like everybody's, and an alarm says so. force retires a node that is connected, or
// this one. Errors: ErrNoNode, ErrAmbiguous, ErrNodeConnected, ErrNotDurable, ErrClosed.
func (f *Fabric) RetireNode(ctx context.Context, node string, force bool) (crdt.NodeID, error) {
	id, err := f.nodeCalled(node)
	if err != nil {
		return "", err
	}
	if _, here := f.presence(id); here && !force {
		return id, fmt.Errorf("%w: %s: stop it first, or retire it all the same with force", ErrNodeConnected, node)
	}
	t := &Retirement{At: f.cfg.Now(), By: f.cfg.Node}
	f.roster.mu.Lock()
	if c, ok := f.roster.record(id).origin(); ok {
		t.last = c.origin
	}
	f.roster.mu.Unlock()
	return id, f.setRetired(ctx, id, t)
}

// ReinstateNode takes a retirement back. It may be called for a node that was not retired. Errors: as RetireNode.
func (f *Fabric) ReinstateNode(ctx context.Context, node string) (crdt.NodeID, error) {
	id, err := f.nodeCalled(node)
	if err != nil {
		return "", err
	}
	return id, f.setRetired(ctx, id, nil)
}

func (f *Fabric) setRetired(ctx context.Context, id crdt.NodeID, t *Retirement) error {
	k, met := f.acquaintance(id)
	commit, err := f.roster.update(func(tx *crdt.Tx) (err error) {
		if t == nil {
			_, err = tx.MapDel(string(id), fieldRetired)
			return err
		}
		if name, _, _ := tx.MapGet(string(id), fieldName); name == nil && met { // one that never wrote has no record yet
			_, err = tx.MapSet(string(id), fieldName, []byte(k.name))
			_, err2 := tx.MapSet(string(id), fieldTier, []byte(k.tier))
			err = errors.Join(err, err2)
		}
		_, err2 := tx.MapSet(string(id), fieldRetired, t.encode())
		return errors.Join(err, err2)
	})
	if err != nil {
		return err
	}
	return commit.Wait(ctx)
}

// nodeCalled finds a node by its id, its name, or the beginning of its id.
func (f *Fabric) nodeCalled(node string) (crdt.NodeID, error) {
	names := f.nodeNames()
	if _, ok := names[crdt.NodeID(node)]; ok {
		return crdt.NodeID(node), nil
	}
	var found []string
	for _, id := range slices.Sorted(maps.Keys(names)) {
		if names[id] == node || len(node) >= idPrefixMin && strings.HasPrefix(string(id), node) {
			found = append(found, string(id))
		}
	}
	switch len(found) {
	case 1:
		return crdt.NodeID(found[0]), nil
	case 0:
		return "", fmt.Errorf("%w: %q", ErrNoNode, node)
	}
	return "", fmt.Errorf("%w: %q: %s; give the id", ErrAmbiguous, node, strings.Join(found, ", "))
}

// idPrefixMin is how much of an id names a node. All peer ids of one kind of key begin alike.
const idPrefixMin = 16

// nodeNames gives every node that is known of, by record or acquaintance, this one too.
func (f *Fabric) nodeNames() map[crdt.NodeID]string {
	out := map[crdt.NodeID]string{f.cfg.Node: f.cfg.Name}
	for id, k := range f.acquaintances() {
		out[id] = k.name
	}
	f.roster.mu.Lock()
	defer f.roster.mu.Unlock()
	for id, rec := range f.roster.nodes {
		if rec.name != "" || out[id] == "" {
			out[id] = rec.name
		}
	}
	return out
}

package fabric

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/edgemem/edgemem/crdt"
)

// ErrLoading answers reads of a causal region while a pull that is too large to be merged at once comes in: what is there
// may show writes before those that they come after. Writes go on.
var ErrLoading = errors.New("fabric: causal region is loading")

// Consistency says in which order a region's writes become visible on other nodes.
type Consistency string

// The consistencies of a region.
const (
	// Eventual shows a write as soon as it is there.
	Eventual Consistency = "eventual"
	// Causal never shows a write before all that its writer had seen of the region.
	Causal Consistency = "causal"
)

// ParseConsistency reads a Consistency.
func ParseConsistency(s string) (Consistency, error) {
	if c := Consistency(s); c == Eventual || c == Causal {
		return c, nil
	}
	return "", fmt.Errorf("fabric: consistency %q: want eventual or causal", s)
}

// declaration is what the catalogue says of a region; empty strings where it says nothing.
type declaration struct {
	ack, consistency string
	terms            terms
	placement        *Placement
	keepers          map[crdt.NodeID]string // nil: every node
	queues           bool
}

// fieldQueue of the catalogue says true where writes may wait, see queued.go.
const fieldQueue = "queue_writes"

// declare writes a region's configuration into the catalogue. What rc leaves open stays as it is.
func (rc RegionConfig) declare(tx *crdt.Tx, name string) error {
	if _, had, _ := tx.MapGet(name, "ack"); rc.Ack == "" && !had {
		rc.Ack = AckMemory // what says that the region is in the catalogue
	}
	for _, x := range []struct{ field, says string }{{"ack", string(rc.Ack)}, {"consistency", string(rc.Consistency)}} {
		if x.says == "" {
			continue
		}
		if _, err := tx.MapSet(name, x.field, []byte(x.says)); err != nil {
			return err
		}
	}
	if rc.QueueWrites != nil {
		if _, err := tx.MapSet(name, fieldQueue, strconv.AppendBool(nil, *rc.QueueWrites)); err != nil {
			return err
		}
	}
	if err := rc.Placement.declare(tx, name); err != nil {
		return err
	}
	return rc.declareTerms(tx, name)
}

func readDeclaration(v *crdt.View, name string) declaration {
	ack, _, _ := v.MapGet(name, "ack")
	consistency, _, _ := v.MapGet(name, "consistency")
	d := declaration{ack: string(ack), consistency: string(consistency), terms: readTerms(v, name), placement: readPlacement(v, name)}
	queues, _, _ := v.MapGet(name, fieldQueue)
	d.queues = string(queues) == "true"
	if d.ack != "" && !d.placement.everywhere() {
		d.keepers = readKeepers(v, name)
	}
	return d
}

// Consistency is the order in which the region's writes become visible.
func (r *Region) Consistency() Consistency {
	if r.causal.Load() {
		return Causal
	}
	return Eventual
}

// setConsistency takes over what the catalogue says. What a newer version may say asks for more: the most that is known here
// is causal.
func (r *Region) setConsistency(c string) {
	causal := c != "" && Consistency(c) != Eventual
	if r.causal.Swap(causal) == causal {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.core.SetCausal(causal)
}

// Loading reports that reads are answered with ErrLoading.
func (r *Region) Loading() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.Loading()
}

// loading is the error that says so, or nil. The caller holds the region's lock.
func (r *Region) loading() error {
	if r.core.Loading() {
		return fmt.Errorf("%w: region %q; status tells how far it is", ErrLoading, r.name)
	}
	return nil
}

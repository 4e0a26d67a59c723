package fabric

import (
	"cmp"
	"context"
	"errors"

	"github.com/edgemem/edgemem/crdt"
)

// Bounded is a counter that never passes its limit, also where nodes are cut off from each other: each holds rights to a part of what is
// left, and spends its own. Where they are short it asks others for some.
type Bounded struct{ handle }

// BoundedOf gives the bounded counter at key.
func BoundedOf(r *Region, key string) Bounded { return Bounded{handle{r, key}} }

// Create begins the counter, all rights of which are here. The limit is a floor, or a ceiling. Errors: crdt.ErrBoundedExists,
// crdt.ErrBeyondLimit, crdt.ErrOverflow, crdt.ErrWrongType, and those of Region.Update.
func (b Bounded) Create(ctx context.Context, initial, limit int64, ceiling bool) error {
	return b.update(ctx, nil, func(tx *crdt.Tx) error { return tx.BoundedNew(b.key, initial, limit, ceiling) })
}

// Add adds n and gives what the counter shows then. A crdt.RightsError says that less rights are here than that takes: nothing was written,
// and others are asked for some, so that it may do a moment later; Reserve waits for them. Errors: that one, crdt.ErrNoBounded,
// crdt.ErrOverflow, crdt.ErrWrongType, and those of Region.Update.
func (b Bounded) Add(ctx context.Context, n int64) (shown crdt.Bounded, err error) {
	err = b.update(ctx, nil, func(tx *crdt.Tx) (err error) { shown, err = tx.BoundedAdd(b.key, n); return err })
	var short *crdt.RightsError
	if errors.As(err, &short) {
		b.r.WantRights(b.key, short.Want)
	}
	return shown, err
}

// Reserve waits until this node holds as many rights, for which it asks others; nobody else can spend these. Errors: a crdt.RightsError where
// the counter has less left, crdt.ErrNoBounded, crdt.ErrWrongType, ErrLoading, ErrClosed, the context's.
func (b Bounded) Reserve(ctx context.Context, rights int64) error {
	for {
		next := b.r.changes.next()
		shown, err := b.Get()
		switch {
		case err != nil:
			return err
		case shown.Here >= rights:
			return nil
		case shown.Left() < rights:
			return b.wrap(&crdt.RightsError{Want: rights, Here: shown.Here, All: shown.Left()})
		}
		b.r.WantRights(b.key, rights)
		select {
		case <-next:
		case <-ctx.Done():
			return b.wrap(ctx.Err())
		case <-b.r.f.ctx.Done():
			return b.wrap(ErrClosed)
		}
	}
}

// Get reads the counter. Errors: crdt.ErrNoBounded, crdt.ErrWrongType, ErrLoading.
func (b Bounded) Get() (shown crdt.Bounded, err error) {
	loading := b.r.viewOne(func(v *crdt.View) {
		ok := false
		if shown, ok, err = v.Bounded(b.key); !ok && err == nil {
			err = crdt.ErrNoBounded
		}
	})
	return shown, b.wrap(cmp.Or(loading, err))
}

// Rights lists who holds rights, as far as is known here, the most first. Errors: crdt.ErrWrongType, ErrLoading.
func (b Bounded) Rights() ([]HeldRights, error) {
	all, err := b.r.RightsOf(b.key)
	return all, b.wrap(err)
}

// Give passes rights on to a node, by its id or name, and gives how many these were. Errors: as of Region.GiveRights, and those of Region.Update.
func (b Bounded) Give(ctx context.Context, node string, rights int64) (given int64, err error) {
	given, c, err := b.r.GiveRights(b.key, node, rights)
	if err == nil {
		err = c.Wait(ctx)
	}
	return given, b.wrap(err)
}

// Renew begins the counter anew with the value that shows here and all rights here, also those of incarnations that have ended. What others
// spend of theirs before they hear of it is not in the new counter. Errors: crdt.ErrNoBounded, crdt.ErrWrongType, and those of Region.Update.
func (b Bounded) Renew(ctx context.Context) (shown crdt.Bounded, err error) {
	err = b.update(ctx, nil, func(tx *crdt.Tx) (err error) { shown, err = tx.BoundedRenew(b.key); return err })
	return shown, err
}

package fabric

import "context"

// Sync waits until all that was written and merged so far is on disk. Errors: ErrNotDurable with the cause.
func (f *Fabric) Sync(ctx context.Context) error {
	if f.closed.Load() {
		return ErrClosed
	}
	return f.commits.mark(f.catalogue, false).Sync(ctx) // a batch takes what is dirty in all regions
}

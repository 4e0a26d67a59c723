// Package storetest holds what every store of the fabric must do, as a suite, and a store in memory that does it.
//
// Run is run on the real store and on Disk, so that a test of the fabric that passes on Disk speaks about
// the real one. Disk adds what a real disk does rarely: it refuses a commit when told to, fails an fsync,
// holds a commit under way, and forgets at a crash all that was not acknowledged.
package storetest

import (
	"context"

	"github.com/edgemem/edgemem/crdt"
)

// Store is the storage that the fabric asks for.
type Store interface {
	Load(fn func(key, value []byte) error) error
	Commit(recs []crdt.Record) error
	NewIncarnation(ctx context.Context, node crdt.NodeID, least uint32) (crdt.Nonce, error)
	Close() error
}

// Place is where a store lives when no process has it open.
type Place interface {
	// Open gives the store of this place.
	Open() (Store, error)
	// Crash ends the store that is open as a SIGKILL would: what was acknowledged is there
	// at the next Open, and what was under way is there whole or not at all.
	Crash() error
}

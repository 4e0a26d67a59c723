package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/persist"
)

// Disk is a Place in memory, with faults on demand. The zero value is an empty one. Nonces are drawn from a
// counter, so that runs replay; no two Disks may stand for one node.
type Disk struct {
	mu      sync.Mutex
	durable map[string][]byte
	starts  []crdt.NodeID
	number  uint32 // of the last start
	private map[string][]byte
	open    *Mem

	refuse []error    // for the next commits, which leave no trace
	full   error      // for all commits, until it is nil
	spare  bool       // but for those with removes
	blind  error      // for reads of single records, until it is nil
	fsync  *fsyncFail // for the next commit
	gate   chan struct{}
}

type fsyncFail struct {
	err  error
	kept bool
}

// Refuse makes the next commit fail with err, as a full disk does: nothing is written, and the store works on.
// Called n times, it does so for the next n commits. err should wrap persist.ErrFull.
func (d *Disk) Refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = append(d.refuse, err)
}

// Fill makes the disk full: commits fail with err, and Room says so, until Fill(nil). err should wrap persist.ErrFull.
func (d *Disk) Fill(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = err
}

// Spare lets a full disk take batches with removes, or not. The zero Disk does not.
func (d *Disk) Spare(yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spare = yes
}

// RoomForRemoves says why there is no room for CommitRemoves.
func (m *Mem) RoomForRemoves() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.spare {
		return nil
	}
	return m.disk.full
}

// Room says why there is no room for a commit.
func (m *Mem) Room() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return m.disk.full
}

// FailSync makes the next commit fail with err after it was written: the store takes no more until it is opened
// again, and then the batch is there if kept says so.
func (d *Disk) FailSync(err error, kept bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fsync = &fsyncFail{err, kept}
}

// Hold makes commits wait before they write, until release is called or the disk crashes.
func (d *Disk) Hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate = gate
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.gate == gate {
			d.gate = nil
			close(gate)
		}
	})
}

// Open implements Place. A second open without a close or crash is persist.ErrLocked.
func (d *Disk) Open() (Store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		return nil, fmt.Errorf("%w: by this process", persist.ErrLocked)
	}
	if d.durable == nil {
		d.durable = map[string][]byte{}
	}
	d.open = &Mem{disk: d, gone: make(chan struct{})}
	return d.open, nil
}

// Crash implements Place. Commits that are held fail.
func (d *Disk) Crash() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut(persist.ErrClosed)
	d.refuse, d.fsync, d.gate = nil, nil, nil // a full disk stays full
	return nil
}

func (d *Disk) shut(why error) {
	if d.open == nil {
		return
	}
	d.open.failed = why
	close(d.open.gone)
	d.open = nil
}

// Mem is an open store of a Disk.
type Mem struct {
	disk   *Disk
	failed error // under disk.mu
	gone   chan struct{}
	turn   sync.Mutex // one commit at a time
}

// Load implements Store.
func (m *Mem) Load(fn func(key, value []byte) error) error {
	m.disk.mu.Lock()
	failed, image := m.failed, maps.Clone(m.disk.durable)
	m.disk.mu.Unlock()
	if failed != nil {
		return failed
	}
	for _, key := range slices.Sorted(maps.Keys(image)) {
		if err := fn([]byte(key), bytes.Clone(image[key])); err != nil {
			return err
		}
	}
	return nil
}

// Value gives one record.
func (m *Mem) Value(key []byte) ([]byte, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.blind != nil {
		return nil, m.disk.blind
	}
	return bytes.Clone(m.disk.durable[string(key)]), m.failed
}

// Blind makes reads of single records fail with err, until Blind(nil).
func (d *Disk) Blind(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.blind = err
}

// Commit implements Store.
func (m *Mem) Commit(recs []crdt.Record) error {
	return m.commitOn(recs, func() error { return m.disk.full })
}

// CommitRemoves is Commit of a batch with removes.
func (m *Mem) CommitRemoves(recs []crdt.Record) error {
	return m.commitOn(recs, func() error {
		if m.disk.spare {
			return nil
		}
		return m.disk.full
	})
}

func (m *Mem) commitOn(recs []crdt.Record, full func() error) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	if err := m.pass(); err != nil {
		return err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := full(); err != nil && m.failed == nil {
		return err
	}
	return m.commit(func() { m.disk.apply(recs) })
}

// pass waits at the gate.
func (m *Mem) pass() error {
	m.disk.mu.Lock()
	gate, failed := m.disk.gate, m.failed
	m.disk.mu.Unlock()
	if failed != nil || gate == nil {
		return failed
	}
	select {
	case <-gate:
		return nil
	case <-m.gone:
		return persist.ErrClosed
	}
}

// commit is called with the disk locked; it meets the faults that were asked for.
func (m *Mem) commit(apply func()) error {
	d := m.disk
	if m.failed != nil {
		return m.failed
	}
	if len(d.refuse) > 0 {
		err := d.refuse[0]
		d.refuse = d.refuse[1:]
		return err
	}
	if f := d.fsync; f != nil {
		d.fsync = nil
		if f.kept {
			apply()
		}
		m.failed = fmt.Errorf("%w: %w", persist.ErrFailed, f.err)
		return m.failed
	}
	apply()
	return nil
}

func (d *Disk) apply(recs []crdt.Record) {
	for _, r := range recs {
		if r.Value == nil {
			delete(d.durable, string(r.Key))
			continue
		}
		d.durable[string(r.Key)] = append([]byte{}, r.Value...)
	}
}

// NewIncarnation implements Store.
func (m *Mem) NewIncarnation(ctx context.Context, node crdt.NodeID, least uint32) (nonce crdt.Nonce, err error) {
	if err := ctx.Err(); err != nil {
		return nonce, err
	}
	d := m.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.starts); n > 0 && d.starts[n-1] != node {
		return nonce, fmt.Errorf("%w: of %s, this node is %s", persist.ErrForeign, d.starts[n-1], node)
	}
	err = m.commit(func() { d.starts = append(d.starts, node) })
	if err != nil {
		return nonce, err
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(node), uint64(len(d.starts))))
	d.number = crdt.StartNumber(0, max(d.number+1, least)-1)
	return crdt.NewNonce(d.number, [16]byte(sum[:])), nil
}

// CommitPrivate implements Store.
func (m *Mem) CommitPrivate(recs []crdt.Record) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.full != nil && m.failed == nil {
		return m.disk.full
	}
	return m.commit(func() {
		for _, r := range recs {
			if r.Value == nil {
				delete(m.disk.private, string(r.Key))
				continue
			}
			if m.disk.private == nil {
				m.disk.private = map[string][]byte{}
			}
			m.disk.private[string(r.Key)] = bytes.Clone(r.Value)
		}
	})
}

// Private implements Store. A Disk is never a copy.
func (m *Mem) Private(fn func(key, value []byte) error) (copied bool, err error) {
	m.disk.mu.Lock()
	failed, image := m.failed, maps.Clone(m.disk.private)
	m.disk.mu.Unlock()
	if failed != nil {
		return false, failed
	}
	for _, key := range slices.Sorted(maps.Keys(image)) {
		if err := fn([]byte(key), image[key]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// Close implements Store.
func (m *Mem) Close() error {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.open == m {
		m.disk.shut(persist.ErrClosed)
	}
	return nil
}

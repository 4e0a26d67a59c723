package fabric

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgemem/edgemem/crdt"
)

// A node whose disk is full reads, removes and merges only: other local writes are refused with ErrDiskFull, and what peers send is merged in
// memory, up to MaxUnsaved, beyond which it is left with them. Removes go to the disk as long as it has room for them, with all that is dirty
// then, since the context tells of both; they are what a full disk is emptied by. What was acknowledged as disk is there; what was acknowledged as
// memory and did not come to the disk any more goes there first when there is room. That is looked at before each commit and every
// second, so the node recovers by itself.
//
// The regions of the fabric's own take writes all the same: they are small, and the alarm is one of them.

// ErrDiskFull refuses a write. The text around it says which disk, how much room it has and needs.
var ErrDiskFull = errors.New("fabric: disk full: writes are refused until there is room; reads and merges go on, and removes as long as they find room")

// errUnsaved ends a pull that would take more than MaxUnsaved.
var errUnsaved = errors.New("fabric: disk full, and too much is merged that is not on disk: the rest waits with the peers")

// roomy is a Storage that knows whether there is room for a commit.
type roomy interface{ Room() error }

// sparing is a Storage that keeps room for batches with removes when it takes no others.
type sparing interface {
	RoomForRemoves() error
	CommitRemoves(recs []crdt.Record) error
}

// fullDisk is a disk found full.
type fullDisk struct {
	since time.Time
	err   error // wraps ErrDiskFull
}

// DiskStatus is how the disk of this node is.
type DiskStatus struct {
	Full    bool      `json:"full"` // local writes are refused
	Since   time.Time `json:"since,omitzero"`
	Detail  string    `json:"detail,omitempty"`
	Unsaved int       `json:"unsaved_cells"` // merged while it is full, and not on disk; looked at every second
	Held    bool      `json:"merges_held"`   // that is too much: merges wait too
	Refused uint64    `json:"refused_writes"`
}

// Disk tells whether the disk is full.
func (f *Fabric) Disk() DiskStatus {
	c := f.commits
	s := DiskStatus{Unsaved: int(c.unsavedCells.Load()), Held: f.brimful(), Refused: c.refused.Load()}
	if x := c.full.Load(); x != nil {
		s.Full, s.Since, s.Detail = true, x.since.UTC(), x.err.Error()
	}
	return s
}

// look asks the storage for room, and notes what changed. The error wraps ErrDiskFull.
func (c *committer) look() error {
	s, ok := c.f.cfg.Storage.(roomy)
	if !ok {
		return nil
	}
	c.looking.Lock()
	defer c.looking.Unlock()
	err, was := s.Room(), c.full.Load()
	switch {
	case err == nil && was != nil:
		c.full.Store(nil)
		c.unsavedCells.Store(0)
		c.hurry()
		c.f.cfg.Logger.Info("the disk has room again; writes are taken", "was_full_for", c.f.cfg.Now().Sub(was.since).Round(time.Second))
	case err != nil:
		now := &fullDisk{c.f.cfg.Now(), fmt.Errorf("%w: %w", ErrDiskFull, err)}
		if was != nil {
			now.since = was.since
		} else {
			c.f.cfg.Logger.Error("the disk is full; writes are refused; reads and merges go on, and removes as long as they find room", "err", err)
		}
		c.full.Store(now)
		return now.err
	}
	return nil
}

// putOff ends an epoch without a commit, unless the disk has room to spare for the removes in it. What is dirty stays so, and costs no
// second copy.
func (c *committer) putOff(err error, spare bool) bool {
	c.mu.Lock()
	if spare && c.removes {
		c.mu.Unlock()
		return false
	}
	epoch := c.epoch
	c.epoch++
	c.urgent = false
	c.depart()
	c.mu.Unlock()
	c.lastAt = time.Now()
	c.settle(epoch, err)
	return true
}

// refuse gives the error of a local write to a disk that is full. shrinking: it only removes.
func (f *Fabric) refuse(shrinking bool) error {
	x := f.commits.full.Load()
	if x == nil || shrinking && f.commits.spare() != nil {
		return nil
	}
	f.commits.refused.Add(1)
	return x.err
}

// spare is the storage, if it has room for removes.
func (c *committer) spare() sparing {
	if s, ok := c.f.cfg.Storage.(sparing); ok && s.RoomForRemoves() == nil {
		return s
	}
	return nil
}

// keepRemoves: they are not on disk yet.
func (c *committer) keepRemoves() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removes = true
}

// brimful reports whether merges have to wait too.
func (f *Fabric) brimful() bool {
	return f.commits.full.Load() != nil && f.commits.unsavedCells.Load() >= int64(f.cfg.MaxUnsaved)
}

// watchDisk is called every second.
func (f *Fabric) watchDisk() {
	if f.cfg.Storage == nil || f.commits.look() == nil {
		return
	}
	unsaved := 0
	for _, r := range f.all() {
		r.mu.RLock()
		unsaved += r.core.DirtyCells()
		r.mu.RUnlock()
	}
	f.commits.unsavedCells.Store(int64(unsaved))
}

// disk raises the alarm of a full disk, and ends it. The caller holds mu.
func (n *roster) disk() {
	x := n.f.commits.full.Load()
	_, stands := n.own().alarms[AlarmDiskFull]
	switch {
	case x != nil && !stands && !n.f.closed.Load():
		n.putAlarm(AlarmDiskFull, x.err.Error())
	case x == nil && stands:
		n.dropAlarm(n.f.cfg.Node, AlarmDiskFull)
	}
}

var (
	diskFull    = fabricMetric("disk_full", "1 while the disk is full: local writes are refused.", gauge)
	diskUnsaved = fabricMetric("disk_unsaved_cells", "Cells merged while the disk is full that are not on disk.", gauge)
	diskRefused = fabricMetric("disk_refused_writes_total", "Local writes refused because the disk is full.", counter)
)

func (s DiskStatus) collect(ch chan<- prometheus.Metric) {
	full := 0
	if s.Full {
		full = 1
	}
	diskFull.send(ch, full)
	diskUnsaved.send(ch, s.Unsaved)
	diskRefused.send(ch, int(s.Refused))
}

package fabric

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// What is on disk is read back slowly and held against the memory. A record that cannot be read, or tells of other writes than
// the region's although nothing changed, is written anew. One that tells of the same writes with other contents shows rot:
// if the region's digest is still what its entries give the memory is right, and the record is written anew; else
// the disk, whose records carry checksums, is believed.
const (
	diskRate   = 4 << 20 // bytes a second that are read back
	diskStep   = 64 << 10
	damagedMax = 64   // unreadable records that one pass writes anew; the next finds the others
	rottenMax  = 1024 // rotten records that one pass mends
)

// damagedRecord is an error of Storage.Load that names the record that cannot be read.
type damagedRecord interface{ DamagedKey() []byte }

// stamp tells whether a replica changed.
type stamp struct{ version, pruned, digest uint64 }

// stamp needs the region's lock, for reading at least.
func (r *Region) stamp() stamp {
	return stamp{r.core.Version(), r.core.Stats().GhostsPruned, r.core.Digest()}
}

// reading is one pass over the durable image.
type reading struct {
	s       *scrubber
	ctx     context.Context
	regions map[crdt.RegionID]*Region
	stamps  map[crdt.RegionID]stamp
	rep     *ScrubReport
	rotten  []crdt.Record
	unpaced int // bytes since the last pause
}

// readBack reads the records of some regions back, and mends what is wrong.
func (s *scrubber) readBack(ctx context.Context, regions []*Region, rep *ScrubReport) error {
	if s.m.f.cfg.Storage == nil || len(regions) == 0 {
		return nil
	}
	x := &reading{s: s, ctx: ctx, regions: map[crdt.RegionID]*Region{}, stamps: map[crdt.RegionID]stamp{}, rep: rep}
	for _, r := range regions {
		r.mu.RLock()
		x.regions[r.id], x.stamps[r.id] = r, r.stamp()
		r.mu.RUnlock()
	}
	if err := s.m.f.commits.mark(regions[0], false).Sync(ctx); err != nil {
		return err // the disk is full or fails, and says so elsewhere
	}
	for range damagedMax {
		err := s.m.f.cfg.Storage.Load(x.record)
		var damaged damagedRecord
		if !errors.As(err, &damaged) || !x.unreadable(damaged.DamagedKey(), err) {
			x.mend()
			return x.failed(err)
		}
		if err := s.m.f.commits.mark(regions[0], false).Sync(ctx); err != nil {
			return err
		}
	}
	x.mend()
	return nil
}

// failed tells of an image that cannot be read to its end.
func (x *reading) failed(err error) error {
	if err != nil && x.ctx.Err() == nil {
		x.s.m.f.raise(AlarmDamaged, "on disk, %v; what this node holds in memory is not affected: let another node have it, or back it up, before a restart", err)
	}
	return err
}

// record takes one record.
func (x *reading) record(key, value []byte) error {
	if err := x.pause(len(key) + len(value)); err != nil {
		return err
	}
	id, _ := crdt.RecordRegion(key)
	r := x.regions[id]
	if r == nil {
		return nil
	}
	rec := crdt.Record{Key: key, Value: value}
	r.mu.RLock()
	verdict, err := r.core.ReadBack(rec)
	still := r.stamp() == x.stamps[id]
	r.mu.RUnlock()
	x.rep.Records++
	switch {
	case err != nil:
		x.rewrite(r, key, err.Error())
	case verdict == crdt.ReadOther && still:
		x.rewrite(r, key, "it tells of other writes than the memory")
	case verdict == crdt.ReadRotten && len(x.rotten) < rottenMax:
		x.rotten = append(x.rotten, crdt.Record{Key: bytes.Clone(key), Value: bytes.Clone(value)})
	}
	return nil
}

// pause keeps to diskRate.
func (x *reading) pause(n int) error {
	if x.unpaced += n; x.unpaced < diskStep {
		return x.ctx.Err()
	}
	wait := time.Duration(float64(x.unpaced) / diskRate * float64(time.Second))
	x.unpaced = 0
	if !sleep(x.ctx, wait) {
		return x.ctx.Err()
	}
	return nil
}

// unreadable writes a record anew that the storage could not read. false: it is of none of the regions.
func (x *reading) unreadable(key []byte, why error) bool {
	id, _ := crdt.RecordRegion(key)
	r := x.regions[id]
	if r == nil {
		return false
	}
	x.rewrite(r, key, why.Error())
	return true
}

// rewrite has a record written anew from memory.
func (x *reading) rewrite(r *Region, key []byte, why string) {
	var err error
	r.changed(func(int64) { err = r.core.Rewrite(key) })
	if err != nil {
		why = fmt.Sprintf("%s; and it cannot be written anew: %v", why, err)
	}
	x.s.m.f.commits.mark(r, false) // for records that are of no cell
	x.s.rewritten.Add(1)
	x.found(r, "on disk, record %.32x of region %s: %s; it was written anew from memory", key[min(16, len(key)):], r.name, why)
}

func (x *reading) found(r *Region, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if len(x.rep.Findings) < findingsMax {
		x.rep.Findings = append(x.rep.Findings, ScrubFinding{Region: r.name, Detail: detail})
	}
	x.s.m.f.cfg.Logger.Error("a scrub found damage", "region", r.name, "detail", detail)
	x.s.m.f.raise(AlarmDamaged, "%s", detail)
}

// mend settles what is rotten: memory or disk.
func (x *reading) mend() {
	right := map[crdt.RegionID]bool{} // of the memory
	for _, rec := range x.rotten {
		id, _ := crdt.RecordRegion(rec.Key)
		r := x.regions[id]
		if _, known := right[id]; !known {
			done, err := x.s.recompute(x.ctx, r)
			if !done {
				return
			}
			right[id] = err == nil
		}
		if right[id] {
			x.rewrite(r, rec.Key, "it tells of the same writes with other contents")
			continue
		}
		x.restore(r, rec)
	}
	x.rotten = nil
}

func (x *reading) restore(r *Region, rec crdt.Record) {
	var n int
	var err error
	r.changed(func(int64) { n, err = r.core.Restore(rec) })
	if n == 0 || err != nil {
		return // it was written meanwhile
	}
	x.s.restored.Add(uint64(n))
	x.found(r, "in memory, %d values of record %.32x of region %s were not what was written; they were read back from disk", n, rec.Key[16:], r.name)
}

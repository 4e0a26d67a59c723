package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// A scrub looks for what must not be: two replicas that have seen the same and hold different entries, because a bit
// flipped, a disk lied, or one dot names two writes; and a replica whose own figures do not agree with its entries. Once in
// Config.ScrubEvery a node checks its replicas, holds the disk against the memory (scrubdisk.go), and compares with one
// connected member, another each time (scrubwire.go). What differs is mended: each side writes again what the other lacks, so
// nothing is lost, and an alarm tells.
//
// Two nodes in step exchange 2 KiB for that, however many regions they have.
type scrubber struct {
	m      *mesh
	mu     sync.Mutex   // one scrub at a time
	answer atomic.Int32 // comparisons that are answered; see scrubsMax
	cursor int          // of the members that are compared with

	passes, audited, compared, diverged, mended, left, rewritten, restored atomic.Uint64
}

const (
	scrubsMax = 2                // comparisons that are answered at once; a further one is told to come back
	auditMax  = 1 << 12          // values of a region of which all figures are recomputed, under one lock: 12 ms here;
	auditStep = 1 << 12          // of larger ones the digest alone, so many values under one lock,
	auditRest = time.Millisecond // and a rest between two

	findingsMax = 256 // of one scrub that are listed; all are counted
)

// ScrubStats counts what scrubs found since Open.
type ScrubStats struct {
	Passes    uint64 `json:"passes"`    // with one member each
	Audited   uint64 `json:"audited"`   // regions whose digest was recomputed
	Compared  uint64 `json:"compared"`  // regions that two members had seen alike
	Diverged  uint64 `json:"diverged"`  // those of them that held something else
	Mended    uint64 `json:"mended"`    // values written again here
	Left      uint64 `json:"left"`      // values that nobody may write again but who wrote them: parts of counters
	Rewritten uint64 `json:"rewritten"` // records on disk that were wrong, and written anew
	Restored  uint64 `json:"restored"`  // values in memory that were wrong, and read back from disk
}

// ScrubStats gives the counters.
func (f *Fabric) ScrubStats() ScrubStats {
	s := &f.mesh.scrubs
	return ScrubStats{Passes: s.passes.Load(), Audited: s.audited.Load(), Compared: s.compared.Load(), Diverged: s.diverged.Load(),
		Mended: s.mended.Load(), Left: s.left.Load(),
		Rewritten: s.rewritten.Load(), Restored: s.restored.Load()}
}

// ScrubFinding is something that a scrub found.
type ScrubFinding struct {
	Region string      `json:"region"`
	Peer   crdt.NodeID `json:"peer,omitempty"` // none: within this node
	Detail string      `json:"detail"`
}

// ScrubReport is what one scrub found.
type ScrubReport struct {
	Regions  int            `json:"regions"`  // looked at
	Audited  int            `json:"audited"`  // whose digest was recomputed
	Records  int            `json:"records"`  // read back from disk
	Peers    int            `json:"peers"`    // compared with
	Compared int            `json:"compared"` // regions that a peer had seen exactly as this node, summed over peers
	Moving   int            `json:"moving"`   // regions that it had not, because something is on its way
	Findings []ScrubFinding `json:"findings"`
	Failed   []string       `json:"failed"` // comparisons that did not come to an end
}

// Scrub checks this node's replicas, or the one called region, and compares them with those of all connected members. What
// it finds is mended as far as it can be, and raises an alarm. Errors: ErrNoRegion, ErrClosed, the context's.
func (f *Fabric) Scrub(ctx context.Context, region string) (ScrubReport, error) {
	regions := f.all()
	if region != "" {
		if _, err := f.RegionStatus(region); err != nil {
			return ScrubReport{}, err
		}
		regions = []*Region{f.known(region)}
	}
	if f.closed.Load() {
		return ScrubReport{}, ErrClosed
	}
	return f.mesh.scrubs.run(ctx, regions, f.mesh.connected())
}

// run scrubs some regions with some peers.
func (s *scrubber) run(ctx context.Context, regions []*Region, peers []*peer) (ScrubReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rep := ScrubReport{Findings: []ScrubFinding{}, Failed: []string{}}
	for _, r := range regions {
		for _, why := range r.lose() {
			rep.Findings = append(rep.Findings, ScrubFinding{Region: r.name, Detail: why})
			s.m.f.raise(AlarmDamaged, "on disk, %s", why)
		}
		s.audit(ctx, r, &rep)
	}
	if err := s.readBack(ctx, regions, &rep); err != nil {
		rep.Failed = append(rep.Failed, fmt.Sprintf("disk: %v", err))
	}
	if err := ctx.Err(); err != nil {
		return rep, err
	}
	for _, p := range peers {
		if err := s.compare(ctx, p, regions, &rep); ctx.Err() != nil {
			return rep, ctx.Err()
		} else if err != nil {
			rep.Failed = append(rep.Failed, fmt.Sprintf("%s: %v", p.id, err))
			continue
		}
		rep.Peers++
	}
	return rep, nil
}

// audit recomputes what a replica keeps beside its entries.
func (s *scrubber) audit(ctx context.Context, r *Region, rep *ScrubReport) {
	r.mu.RLock()
	seen, small := r.core.Seen() > 0, r.core.Siblings() <= auditMax
	r.mu.RUnlock()
	if !seen || ctx.Err() != nil {
		return
	}
	rep.Regions++
	done, err := s.recompute(ctx, r)
	if !done {
		return
	}
	rep.Audited++
	s.audited.Add(1)
	if err == nil && small {
		r.mu.Lock()
		err = r.core.Audit()
		r.mu.Unlock()
	}
	if err == nil {
		return
	}
	rep.Findings = append(rep.Findings, ScrubFinding{Region: r.name, Detail: err.Error()})
	s.m.f.raise(AlarmDamaged, "in memory, %v; what is on disk is read back next", err)
}

// recompute recomputes a region's digest, a part under each lock. done is false if ctx ended first.
func (s *scrubber) recompute(ctx context.Context, r *Region) (done bool, err error) {
	r.mu.Lock()
	check := r.core.NewCheck()
	r.mu.Unlock()
	for !done {
		r.mu.Lock()
		done, err = check.Step(auditStep)
		r.mu.Unlock()
		if !done && !sleep(ctx, auditRest) {
			return false, nil
		}
	}
	return true, err
}

// found takes over what a comparison found.
func (s *scrubber) found(r *Region, peer crdt.NodeID, x crdt.ScrubReport, rep *ScrubReport) {
	if !x.Differ {
		return
	}
	s.diverged.Add(1)
	s.mended.Add(uint64(x.Mended))
	s.left.Add(uint64(x.Left))
	detail := fmt.Sprintf("region %s: this node and %s had seen the same and held different entries; %d values were written again here, and %d are parts of "+
		"counters that only their writers may write", r.name, s.m.called(peer), x.Mended, x.Left)
	if rep != nil {
		rep.Findings = append(rep.Findings, ScrubFinding{Region: r.name, Peer: peer, Detail: detail})
	}
	s.m.f.cfg.Logger.Error("replicas diverged", "region", r.name, "peer", peer, "mended", x.Mended, "left", x.Left)
	s.m.f.raise(AlarmDiverged, "%s", detail)
}

// called names a peer for people.
func (m *mesh) called(id crdt.NodeID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[id]; p != nil && p.name != "" {
		return p.name
	}
	return string(id)
}

// patrol scrubs with one member after the other, for as long as the fabric is open.
func (s *scrubber) patrol() {
	rnd := s.m.f.random()
	for sleep(s.m.f.ctx, jitter(rnd, s.m.f.cfg.ScrubEvery)) {
		peers := s.m.connected()
		if len(peers) > 0 {
			s.cursor++
			peers = peers[s.cursor%len(peers):][:1]
		}
		rep, err := s.run(s.m.f.ctx, s.m.f.all(), peers)
		for _, why := range rep.Failed {
			s.m.f.cfg.Logger.Debug("scrub ended early", "why", why)
		}
		if err == nil {
			s.passes.Add(1)
		}
	}
}

// errUnready says that the other side answers too many comparisons.
var errUnready = errors.New("fabric: the peer is busy with other comparisons")

// scrubTimeout bounds one comparison of all regions.
const scrubTimeout = 10 * time.Minute

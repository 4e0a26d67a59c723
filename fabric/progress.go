package fabric

import (
	"slices"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// PullProgress is how far a pull is with one region.
type PullProgress struct {
	Region string      `json:"region"`
	Peer   crdt.NodeID `json:"peer"`
	Since  time.Time   `json:"since"`
	Bytes  uint64      `json:"bytes"` // so far, of this region, uncompressed
	// Covered is the share of the hash space, 0 to 1, in which all is here that the peer had when the pull began. A pull
	// that goes on where another broke off begins at what that one reached.
	Covered float64 `json:"covered"`
	// BytesLeft, uncompressed too, and ETAMillis are estimates: the rest of the space is taken to be as full as what came. -1 is unknown.
	BytesLeft int64 `json:"bytes_left"`
	ETAMillis int64 `json:"eta_ms"`
}

// task is a region that a pull is bringing, and how far it is. It belongs to tasks.mu.
type task struct {
	x       *puller
	bytes   uint64
	covered float64

	goal crdt.Context // what the peer had seen when it sent the first chunk, nil before

	// When it began to go through the space.
	since time.Time
	had   uint64  // bytes
	from  float64 // covered
}

// moved notes that a chunk was merged. The caller holds the region's lock.
func (t *tasks) moved(x *puller, r *Region, bytes int, cut crdt.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.open[r.id]
	if k == nil || k.x != x {
		return
	}
	k.bytes += uint64(bytes)
	if k.goal == nil {
		k.goal = cut
		k.from = r.core.Covered(cut)
	}
	k.covered = max(k.covered, r.core.Covered(k.goal)) // what was written here meanwhile takes nothing away
	if k.covered-k.from < leastStep {
		k.since, k.had, k.from = x.m.f.cfg.Now(), k.bytes, k.covered
	}
}

// leastStep is less of the space than a chunk covers, and more than the single entries that come before all others.
const leastStep = 1e-6

// running lists the regions of which something has come, and not all.
func (t *tasks) running(now time.Time) []PullProgress {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []PullProgress
	for id, k := range t.open {
		if k.goal != nil && k.covered < 1 {
			out = append(out, k.progress(k.x.named[id].name, now))
		}
	}
	slices.SortFunc(out, func(a, b PullProgress) int { return strings.Compare(a.Region, b.Region) })
	return out
}

func (k *task) progress(region string, now time.Time) PullProgress {
	p := PullProgress{Region: region, Peer: k.x.p.id, Since: k.since, Bytes: k.bytes, Covered: k.covered, BytesLeft: -1, ETAMillis: -1}
	if came := k.covered - k.from; came > 0 {
		rest := (1 - k.covered) / came
		p.BytesLeft = int64(rest * float64(k.bytes-k.had))
		p.ETAMillis = int64(rest * float64(now.Sub(k.since).Milliseconds()))
	}
	return p
}

package history

import (
	"cmp"
	"slices"
	"time"
)

// sighting is proof that a life held an operation's effect from a time on.
type sighting struct {
	life     Life
	at       time.Duration
	answered bool // it was answered there, and so on disk by then in a region that answers from disk
}

// evidence answers who surely held what, for the operations of one slot.
type evidence struct {
	log  *Log
	seen map[*Op][]sighting // besides agreements
}

// gather collects the sightings of a slot's changes: each where it was answered, and where it was read.
func (l *Log) gather(t *track) *evidence {
	e := &evidence{l, map[*Op][]sighting{}}
	for _, o := range t.changes {
		if o.Answered {
			e.seen[o] = []sighting{{o.life, o.Returned, true}}
		}
	}
	for _, r := range t.reads {
		if o := onlyWriter(t, r); o != nil {
			e.seen[o] = append(e.seen[o], sighting{life: r.life, at: r.Returned})
		}
	}
	return e
}

// onlyWriter is the one write that can have given what was read; nil if there are several.
func onlyWriter(t *track, r *Op) (only *Op) {
	if !r.Answered || r.Value == Absent || r.Slot.Kind == Counter {
		return nil
	}
	for _, o := range t.changes {
		if o.Action == Write && o.Value == r.Value && o.Invoked <= r.Returned {
			if only != nil {
				return nil
			}
			only = o
		}
	}
	return only
}

// survives says whether what was sighted outlived the life in which it was.
func (e *evidence) survives(s sighting, region string) bool {
	end, ended := e.log.ends[s.life]
	switch {
	case !ended:
		return true
	case s.answered && slices.Contains(e.log.settings.DiskRegions, region):
		return s.at <= end.disk
	}
	return s.at <= end.memory
}

// held says whether a life surely held an operation's effect at a time.
func (e *evidence) held(o *Op, life Life, at time.Duration) bool {
	return e.anySighting(o, at, func(s sighting) bool { return e.reaches(s, life, o.Slot.Region) })
}

// reaches says whether what a life held lived on to this life of the same node.
func (e *evidence) reaches(s sighting, life Life, region string) bool {
	return s.life == life || s.life.Node == life.Node && s.life.N < life.N && e.survives(s, region)
}

// certain says whether an operation's effect must be in what these nodes hold in the end.
func (e *evidence) certain(o *Op, nodes []string) bool {
	return e.anySighting(o, never, func(s sighting) bool {
		return slices.Contains(nodes, s.life.Node) && e.survives(s, o.Slot.Region)
	})
}

// anySighting looks for a sighting up to a time that is good. Where nodes agreed while one of them surely held it, all did.
func (e *evidence) anySighting(o *Op, until time.Duration, good func(sighting) bool) bool {
	direct := e.seen[o]
	for _, s := range direct {
		if s.at <= until && good(s) {
			return true
		}
	}
	if len(direct) == 0 {
		return false
	}
	first, _ := slices.BinarySearchFunc(e.log.agreed, direct[0].at, func(a agreement, at time.Duration) int { return cmp.Compare(a.at, at) })
	for _, a := range e.log.agreed[first:] {
		if a.at > until {
			break
		}
		if !e.heldByOne(o, direct, a) {
			continue
		}
		for _, life := range a.lives {
			if good(sighting{life: life, at: a.at}) {
				return true
			}
		}
	}
	return false
}

// heldByOne says whether one of those who agreed had seen the operation for sure by then.
func (e *evidence) heldByOne(o *Op, direct []sighting, a agreement) bool {
	for _, life := range a.lives {
		for _, s := range direct {
			if s.at <= a.at && e.reaches(s, life, o.Slot.Region) {
				return true
			}
		}
	}
	return false
}

// saw says whether an operation surely saw another.
func (e *evidence) saw(later, earlier *Op) bool {
	if later == earlier {
		return false
	}
	if later.session == earlier.session {
		return earlier.Answered && earlier.serial < later.serial
	}
	return e.held(earlier, later.life, later.Invoked)
}

// mayHaveSeen says whether an operation may have seen another.
func (e *evidence) mayHaveSeen(later, earlier *Op) bool {
	switch {
	case later == earlier:
		return false
	case later.session == earlier.session:
		return earlier.serial < later.serial
	case later.Returned < earlier.Invoked:
		return false
	}
	return !slices.ContainsFunc(e.log.cuts, func(c cut) bool {
		return c.from <= earlier.Invoked && later.Returned <= c.to && c.parts(earlier.life.Node, later.life.Node)
	})
}

// parts says whether two nodes are in different groups.
func (c cut) parts(a, b string) bool {
	return c.group(a) >= 0 && c.group(b) >= 0 && c.group(a) != c.group(b)
}

func (c cut) group(node string) int {
	return slices.IndexFunc(c.groups, func(g []string) bool { return slices.Contains(g, node) })
}

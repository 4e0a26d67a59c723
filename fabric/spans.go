package fabric

import "time"

// spans keeps when a region changed, as a few stretches of time, so that the age of the oldest change since an instant can be
// told. A stretch is exact to spansApart while there are few; older ones are joined, and then the answer is too old rather
// than too young.
type spans []stretch

// stretch holds at least one change at each end. Unix ms.
type stretch struct{ from, to int64 }

const (
	spansMax   = 16
	spansApart = 1000 // ms; changes closer than that are one stretch
)

func (s *spans) note(now int64) {
	list := *s
	if n := len(list); n > 0 && now-list[n-1].from < spansApart {
		list[n-1].to = max(list[n-1].to, now)
		return
	}
	if len(list) == spansMax {
		list = list.join(now)
	}
	*s = append(list, stretch{now, now})
}

// join makes room: of two neighbours those become one that are longest ago for how far they are apart.
func (s spans) join(now int64) spans {
	best, cost := 0, 0.0
	for i := range len(s) - 1 {
		c := float64(s[i+1].to-s[i].from) / float64(max(now-s[i].from, 1))
		if i == 0 || c < cost {
			best, cost = i, c
		}
	}
	s[best].to = s[best+1].to
	return append(s[:best+1], s[best+2:]...)
}

// since gives the first change after an instant, or the instant itself where that is not known; false if there was none.
func (s spans) since(at time.Time) (time.Time, bool) {
	ms := at.UnixMilli()
	for _, x := range s {
		if x.to > ms {
			return time.UnixMilli(max(x.from, ms)), true
		}
	}
	return time.Time{}, false
}

package sim

import "slices"

// shrink takes steps away from a failing schedule for as long as it fails, halves first.
func shrink(s schedule, m mode) schedule {
	for size := len(s.steps) / 2; size > 0; {
		if smaller, ok := without(s, m, size); ok {
			s = smaller
			continue
		}
		size /= 2
	}
	return s
}

// without tries to leave out size steps anywhere.
func without(s schedule, m mode, size int) (schedule, bool) {
	for at := len(s.steps) - size; at >= 0; at -= max(size/2, 1) {
		t := s
		t.steps = slices.Delete(slices.Clone(s.steps), at, at+size)
		if _, err := run(t, m); err != nil {
			return t, true
		}
	}
	return s, false
}

// story is a readable script of a failing schedule: what happened, and what is wrong.
func story(s schedule, m mode) []string {
	m.verbose = true
	w, err := run(s, m)
	if err == nil {
		return append(w.log, "  and nothing is wrong")
	}
	return append(w.log, "WRONG: "+err.Error())
}

package machine

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A Sample is how memory fares at one time. What is not told is 0.
type Sample struct {
	// Available is what the machine could still give without swapping.
	Available int64
	// Used and Limit are those of the cgroup that is nearest to its limit. Used leaves out file pages that were not read lately: the
	// kernel drops these first.
	Used, Limit int64
	// High, Max and OOM count since our cgroup began: throttled above memory.high, about to pass the limit, could not
	// be kept below it. Version 1 counts the second only.
	High, Max, OOM uint64
	// Some and Full are the per cent of the last ten seconds in which some tasks, or all, stalled for memory: of our
	// cgroup where that is told, else of the machine. Told says whether either is.
	Some, Full float64
	Told       bool
}

// Sample reads a handful of small files: some 100 µs.
func (m *Machine) Sample() (Sample, error) {
	var s Sample
	info, err := readTable(m.fsys, "proc/meminfo")
	if err != nil {
		return s, err
	}
	s.Available = info["MemAvailable"] << 10
	for _, g := range m.groups {
		if err := s.addGroup(m.fsys, g); err != nil {
			return s, err
		}
	}
	return s, s.addStalls(m)
}

func (s *Sample) addGroup(fsys fs.FS, g group) error {
	if err := s.addUse(fsys, g); err != nil || g.folder != g.leaf {
		return err
	}
	if g.version == 1 {
		n, _, err := readNumber(fsys, path.Join(g.folder, "memory.failcnt"))
		s.Max += uint64(n)
		return err
	}
	events, err := readTable(fsys, path.Join(g.folder, "memory.events"))
	s.High += uint64(events["high"])
	s.Max += uint64(events["max"])
	s.OOM += uint64(events["oom"])
	return err
}

// addUse reads the limit again: it may have been changed.
func (s *Sample) addUse(fsys fs.FS, g group) error {
	limits, err := g.limits(fsys)
	if err != nil || len(limits) == 0 {
		return err
	}
	limit := tightest(limits).Bytes
	used, ok, err := readNumber(fsys, path.Join(g.folder, names[g.version].used))
	if err != nil || !ok {
		return err
	}
	stat, err := readTable(fsys, path.Join(g.folder, "memory.stat"))
	if err != nil {
		return err
	}
	used = max(0, used-stat[names[g.version].inactive])
	if s.Limit == 0 || float64(used)/float64(limit) > float64(s.Used)/float64(s.Limit) {
		s.Used, s.Limit = used, limit
	}
	return nil
}

func (s *Sample) addStalls(m *Machine) error {
	for _, g := range m.groups {
		if g.version == 2 && g.folder == g.leaf {
			if err := s.readStalls(m.fsys, path.Join(g.folder, "memory.pressure")); err != nil || s.Told {
				return err
			}
		}
	}
	return s.readStalls(m.fsys, "proc/pressure/memory")
}

// readStalls reads lines such as "some avg10=0.12 avg60=0.05 avg300=0.01 total=125766".
func (s *Sample) readStalls(fsys fs.FS, name string) error {
	text, err := readFile(fsys, name, fileMaxBytes)
	if err != nil {
		return err
	}
	for words := range lines(text) {
		if len(words) < 2 {
			continue
		}
		value, ok := strings.CutPrefix(words[1], "avg10=")
		if !ok {
			continue
		}
		p, err := strconv.ParseFloat(value, 64)
		if err != nil || !(p >= 0 && p <= 100) {
			return fmt.Errorf("machine: %s: %q is no share of time", name, words[1])
		}
		switch words[0] {
		case "some":
			s.Some, s.Told = p, true
		case "full":
			s.Full, s.Told = p, true
		}
	}
	return nil
}

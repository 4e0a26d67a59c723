package machine

import (
	"fmt"
	"io/fs"
	"path"
)

// A Limit is how much memory there may be, and what says so.
type Limit struct {
	Bytes int64
	From  string // a file, or "physical memory"
	// Shared says that other processes live on the same bytes: the limit is the machine's, not that of a cgroup.
	Shared bool
}

// A Machine knows which limit is the tightest and where to look for what is used of it.
type Machine struct {
	Physical int64   // bytes; 0 is unknown
	Limits   []Limit // all there are: physical memory first, then cgroups inside out

	fsys   fs.FS
	groups []group
}

// A group is a cgroup to look at: our own, and those around it that have a limit.
type group struct {
	hierarchy
	folder string
}

// A value of version 1 from here on means no limit: the kernel writes as many pages as fit in 63 bits.
const unlimited = 1 << 62

// Find looks at the file system of the machine, which on Linux is os.DirFS("/"). Where nothing is told it gives a Machine without
// limits.
func Find(fsys fs.FS) (*Machine, error) {
	m := &Machine{fsys: fsys}
	info, err := readTable(fsys, "proc/meminfo")
	if err != nil {
		return nil, err
	}
	if kib := info["MemTotal"]; kib > 0 && kib < 1<<50 {
		m.Physical = kib << 10
		m.Limits = append(m.Limits, Limit{m.Physical, "physical memory", true})
	}
	trees, err := findHierarchies(fsys)
	if err != nil {
		return nil, err
	}
	for _, h := range trees {
		if err := m.addTree(h); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Machine) addTree(h hierarchy) error {
	for _, folder := range h.folders() {
		g := group{h, folder}
		limits, err := g.limits(m.fsys)
		if err != nil {
			return err
		}
		m.Limits = append(m.Limits, limits...)
		if len(limits) > 0 || folder == h.leaf {
			m.groups = append(m.groups, g)
		}
	}
	return nil
}

// limits reads the hard limit and the one from which the kernel throttles. A root has neither.
func (g group) limits(fsys fs.FS) (all []Limit, err error) {
	for _, file := range []string{names[g.version].limit, names[g.version].high} {
		if file == "" {
			continue
		}
		n, ok, err := readNumber(fsys, path.Join(g.folder, file))
		if err != nil {
			return nil, err
		}
		if ok && n > 0 && n < unlimited {
			all = append(all, Limit{Bytes: n, From: "/" + path.Join(g.folder, file)})
		}
	}
	return all, nil
}

// Tightest gives the lowest limit; where two are equal, the first. It has no bytes when nothing is known.
func (m *Machine) Tightest() Limit { return tightest(m.Limits) }

func tightest(limits []Limit) (best Limit) {
	for _, l := range limits {
		if best.Bytes == 0 || l.Bytes < best.Bytes {
			best = l
		}
	}
	return best
}

// String says it as people read it.
func (l Limit) String() string {
	if l.Bytes == 0 {
		return "no limit known"
	}
	return fmt.Sprintf("%d MiB by %s", l.Bytes>>20, l.From)
}

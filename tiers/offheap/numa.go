package offheap

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

const (
	nodeListMaxBytes = 4 << 10
	nodeMax          = 1023 // the kernel's own limit (CONFIG_NODES_SHIFT = 10)
)

// ReadNodes lists the machine's nodes that have memory, in order, from a file system like os.DirFS("/sys/devices/system/node"). A
// machine without such a folder has one node and gives nil: it is no error to be simple.
func ReadNodes(fsys fs.FS) ([]int, error) {
	for _, name := range []string{"has_memory", "online"} {
		text, err := readShort(fsys, name)
		if err != nil {
			continue // kernels before 2.6.25, and other systems
		}
		nodes, err := parseList(text)
		if err != nil {
			return nil, fmt.Errorf("offheap: memory nodes in %s: %w", name, err)
		}
		return nodes, nil
	}
	return nil, nil
}

func readShort(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, nodeListMaxBytes))
	return strings.TrimSpace(string(text)), err
}

// parseList reads the kernel's lists of ranges, such as 0-3,8.
func parseList(text string) ([]int, error) {
	var nodes []int
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		from, to, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && ranged {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 0 || last < first || last > nodeMax {
			return nil, fmt.Errorf("%q is no range", part)
		}
		for n := first; n <= last; n++ {
			nodes = append(nodes, n)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), nil
}

package machine

import (
	"io/fs"
	"path"
	"strings"
)

// A hierarchy is one tree of cgroups that counts memory, and where this process is in it.
type hierarchy struct {
	version int
	mount   string // folder of the tree's root, without a leading slash
	leaf    string // folder of our cgroup, which is mount or lies below it
}

// The files of either version.
type fileNames struct {
	limit, high, used, inactive string
}

var names = map[int]fileNames{
	1: {limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", inactive: "total_inactive_file"},
	2: {limit: "memory.max", high: "memory.high", used: "memory.current", inactive: "inactive_file"},
}

// findHierarchies looks for both versions, since machines in hybrid mode mount both and only one of them counts memory.
func findHierarchies(fsys fs.FS) ([]hierarchy, error) {
	own, err := readFile(fsys, "proc/self/cgroup", fileMaxBytes)
	if err != nil {
		return nil, err
	}
	mounts, err := readFile(fsys, "proc/self/mountinfo", mountMaxBytes)
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for version, where := range ownPaths(own) {
		if where == "" {
			continue
		}
		if root, mount := findMount(mounts, version); mount != "" {
			found = append(found, hierarchy{version, mount, path.Join(mount, below(where, root))})
		}
	}
	return found, nil
}

// ownPaths reads lines such as "4:memory:/user" and "0::/user", by version.
func ownPaths(text string) (paths [3]string) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(parts) < 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			paths[2] = parts[2]
		case contains(parts[1], "memory"):
			paths[1] = parts[2]
		}
	}
	return paths
}

// findMount reads proc(5)'s mountinfo: id, parent, device, root, mount point, options, optional fields, "-", type, source, super
// options. The last mount at a place is the one that is seen.
func findMount(text string, version int) (root, mount string) {
	for words := range lines(text) {
		dash := indexOf(words, "-")
		if dash < 6 || len(words) < dash+4 {
			continue
		}
		kind, options := words[dash+1], words[dash+3]
		if version == 2 && kind == "cgroup2" || version == 1 && kind == "cgroup" && contains(options, "memory") {
			root, mount = unescape(words[3]), strings.TrimPrefix(path.Clean(unescape(words[4])), "/")
		}
	}
	if !fs.ValidPath(mount) {
		return "", ""
	}
	return root, mount
}

func indexOf(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return -1
}

func contains(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// unescape turns the octal codes of mountinfo back.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// below gives where a cgroup is beneath the part of the tree that is mounted. Without a namespace of its own a container sees its
// path from the machine's root, and mounted only its own part: then that part is ours.
func below(where, root string) string {
	where, root = path.Clean("/"+where), path.Clean("/"+root)
	if root == "/" {
		return where
	}
	if where == root || strings.HasPrefix(where, root+"/") {
		return strings.TrimPrefix(where, root)
	}
	return "/"
}

// folders lists our cgroup and those that it is in, inside out.
func (h hierarchy) folders() []string {
	all := []string{h.leaf}
	for dir := h.leaf; dir != h.mount && dir != "." && len(all) < 64; {
		dir = path.Dir(dir)
		all = append(all, dir)
	}
	return all
}

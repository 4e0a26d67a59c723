package dataset

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strconv"
	"strings"
)

const (
	dpkgStatus = "var/lib/dpkg/status"
	dpkgInfo   = "var/lib/dpkg/info"
	// maxLineBytes bounds one line of any text that is read here.
	maxLineBytes = 2 << 20
)

// dpkgFields are the control fields worth a place in the hash; the rest repeats them.
var dpkgFields = []string{"Version", "Status", "Priority", "Section", "Architecture", "Multi-Arch",
	"Maintainer", "Source", "Homepage", "Installed-Size", "Description"}

// dpkg gives each package as a hash of its fields and a set of its dependencies, each section as a set
// of packages and a counter of their size, and each file as a string that names its package.
func dpkg(root fs.FS) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f, err := root.Open(dpkgStatus)
		if err != nil {
			yield(Record{}, fmt.Errorf("dataset: %w", err))
			return
		}
		defer f.Close()
		sec := newSections()
		for p, err := range paragraphs(f, "/"+dpkgStatus, ": ") {
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !dpkgPackage(p, sec, yield) {
				return
			}
		}
		if sec.yield(yield) {
			dpkgFiles(root, yield)
		}
	}
}

func dpkgPackage(p map[string]string, sec *sections, yield func(Record, error) bool) bool {
	name := p["Package"]
	if name == "" {
		return true
	}
	if arch := p["Architecture"]; p["Multi-Arch"] == "same" { // only these may be there more than once
		name += ":" + arch
	}
	kib, _ := strconv.ParseInt(p["Installed-Size"], 10, 64) // absent for a removed package
	sec.add(p["Section"], name, kib)
	return packageRecords(name, p, dpkgFields, p["Depends"], ",", yield)
}

// packageRecords gives a package's hash, and its set of dependencies if it has any.
func packageRecords(name string, p map[string]string, wanted []string, depends, sep string, yield func(Record, error) bool) bool {
	r := Record{Key: "package:" + name, Kind: Hash}
	for _, f := range wanted {
		if v := p[f]; v != "" {
			r.Fields = append(r.Fields, Field{strings.ToLower(f), v})
		}
	}
	if len(r.Fields) > 0 && !yield(r, nil) {
		return false
	}
	deps := dependencies(depends, sep)
	return len(deps) == 0 || yield(Record{Key: "depends:" + name, Kind: Set, Members: deps}, nil)
}

// dependencies gives the names alone, each once, without versions.
func dependencies(list, sep string) []string {
	var names []string
	seen := map[string]bool{}
	for item := range strings.SplitSeq(list, sep) {
		name := strings.TrimSpace(item)
		if end := strings.IndexAny(name, " (<>=~|"); end >= 0 {
			name = name[:end]
		}
		if name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

func dpkgFiles(root fs.FS, yield func(Record, error) bool) {
	entries, err := fs.ReadDir(root, dpkgInfo)
	if err != nil {
		return // a trimmed container may have no lists; the packages stand on their own
	}
	for _, e := range entries {
		pkg, isList := strings.CutSuffix(e.Name(), ".list")
		if isList && !dpkgList(root, path.Join(dpkgInfo, e.Name()), pkg, yield) {
			return
		}
	}
}

// dpkgList gives the files of one package. A directory belongs to many packages and is left out: it is
// a line that begins the next one.
func dpkgList(root fs.FS, file, pkg string, yield func(Record, error) bool) bool {
	f, err := root.Open(file)
	if err != nil {
		return true
	}
	defer f.Close()
	lines := newLines(f)
	previous := ""
	for lines.Scan() {
		line := lines.Text()
		if previous != "" && !strings.HasPrefix(line, previous+"/") && !yield(owned(previous, pkg), nil) {
			return false
		}
		previous = line
	}
	if lines.Err() != nil {
		return yield(Record{}, fmt.Errorf("dataset: /%s: %w", file, lines.Err()))
	}
	return previous == "" || yield(owned(previous, pkg), nil)
}

func owned(path, pkg string) Record {
	return Record{Key: "file:" + path, Kind: String, Value: pkg}
}

func newLines(r io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	return lines
}

// paragraphs gives blocks of "Name<sep>value" lines with empty lines between them. Lines that begin
// with a space continue a value and are dropped: the first line of a description is its summary.
func paragraphs(r io.Reader, name, sep string) iter.Seq2[map[string]string, error] {
	return func(yield func(map[string]string, error) bool) {
		lines := newLines(r)
		p := map[string]string{}
		for n := 1; lines.Scan(); n++ {
			line := lines.Text()
			switch {
			case line == "":
				if len(p) > 0 && !yield(p, nil) {
					return
				}
				p = map[string]string{}
			case line[0] != ' ' && line[0] != '\t':
				field, value, ok := strings.Cut(line, strings.TrimSpace(sep))
				if !ok {
					yield(nil, fmt.Errorf("dataset: %s: line %d: %q is no field", name, n, line))
					return
				}
				p[field] = strings.TrimSpace(value)
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("dataset: %s: %w", name, err))
			return
		}
		if len(p) > 0 {
			yield(p, nil)
		}
	}
}

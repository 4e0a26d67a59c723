package dataset

import (
	"fmt"
	"io/fs"
	"iter"
	"strings"
)

const apkInstalled = "lib/apk/db/installed"

// apkFields gives readable names to the letters of Alpine's database.
var apkFields = map[string]string{"V": "version", "A": "architecture", "T": "description", "U": "homepage",
	"L": "license", "o": "source", "m": "maintainer", "I": "installed-bytes", "c": "commit"}

// apk gives each package as a hash and a set of its dependencies, and each file as a string that names
// its package. In the database, F: names a directory and each R: after it a file in it.
func apk(root fs.FS) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f, err := root.Open(apkInstalled)
		if err != nil {
			yield(Record{}, fmt.Errorf("dataset: %w", err))
			return
		}
		defer f.Close()
		p := apkPackage{fields: map[string]string{}}
		lines := newLines(f)
		for n := 1; lines.Scan(); n++ {
			line := lines.Text()
			if line == "" {
				if !p.yield(yield) {
					return
				}
				p = apkPackage{fields: map[string]string{}}
			} else if !p.line(line) {
				yield(Record{}, fmt.Errorf("dataset: /%s: line %d: %q is no field", apkInstalled, n, line))
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Record{}, fmt.Errorf("dataset: /%s: %w", apkInstalled, err))
			return
		}
		p.yield(yield)
	}
}

type apkPackage struct {
	name, depends, dir string
	fields             map[string]string
	files              []string
}

func (p *apkPackage) line(line string) (ok bool) {
	field, value, ok := strings.Cut(line, ":")
	switch field {
	case "P":
		p.name = value
	case "D":
		p.depends = value
	case "F":
		p.dir = "/" + value
	case "R":
		p.files = append(p.files, p.dir+"/"+value)
	default:
		if name, wanted := apkFields[field]; wanted {
			p.fields[name] = value
		}
	}
	return ok
}

var apkOrder = []string{"version", "architecture", "description", "homepage", "license", "source", "maintainer", "installed-bytes", "commit"}

func (p *apkPackage) yield(yield func(Record, error) bool) bool {
	if p.name == "" {
		return true
	}
	if !packageRecords(p.name, p.fields, apkOrder, p.depends, " ", yield) {
		return false
	}
	for _, f := range p.files {
		if !yield(owned(f, p.name), nil) {
			return false
		}
	}
	return true
}

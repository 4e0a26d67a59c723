package dataset

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func collect(t *testing.T, s Source) []Record {
	t.Helper()
	var all []Record
	for r, err := range s.Records {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func find(all []Record, key string) Record {
	for _, r := range all {
		if r.Key == key {
			return r
		}
	}
	return Record{}
}

func TestDpkg(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"var/lib/dpkg/status": text(`Package: zlib1g
Status: install ok installed
Multi-Arch: same
Section: libs
Installed-Size: 168
Architecture: amd64
Version: 1:1.2.13
Depends: libc6 (>= 2.14), base | other
Description: compression library
 more text
 .

Package: adduser
Status: install ok installed
Section: libs
Installed-Size: 10
Version: 3
`),
		"var/lib/dpkg/info/zlib1g:amd64.list": text("/.\n/usr\n/usr/lib\n/usr/lib/libz.so.1\n/usr/lib/libz.so.1.2\n"),
		"var/lib/dpkg/info/zlib1g:amd64.md5":  text("not a list"),
		"usr/bin/tool":                        text("12345"),
	}
	s, err := machine(root)
	if err != nil {
		t.Fatal(err)
	}
	all := collect(t, s)
	zlib := find(all, "package:zlib1g:amd64")
	if zlib.get("version") != "1:1.2.13" || zlib.get("description") != "compression library" {
		t.Errorf("hash: %+v", zlib)
	}
	for _, want := range []Record{
		{Key: "depends:zlib1g:amd64", Kind: Set, Members: []string{"libc6", "base"}},
		{Key: "section:libs", Kind: Set, Members: []string{"zlib1g:amd64", "adduser"}},
		{Key: "section:libs:kib", Kind: Counter, Count: 178},
		{Key: "file:/usr/lib/libz.so.1", Kind: String, Value: "zlib1g:amd64"},
		{Key: "file:/usr/lib/libz.so.1.2", Kind: String, Value: "zlib1g:amd64"},
	} {
		if got := find(all, want.Key); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if find(all, "file:/usr/lib").Key != "" || find(all, "depends:adduser").Key != "" {
		t.Error("a directory, or an empty set, became a record")
	}
	if got := find(all, "inode:/usr/bin/tool"); got.get("size") != "5" {
		t.Errorf("a small database was not filled up with files: %+v", got)
	}
}

func TestBrokenDpkgNamesTheLine(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{"var/lib/dpkg/status": text("Package: a\nVersion: 1\n\nrubbish\n")}
	s, err := machine(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range s.Records {
	}
	if err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Fatalf("got %v", err)
	}
}

func TestApk(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{"lib/apk/db/installed": text("C:Q1\nP:musl\nV:1.2.4\nT:the libc\nD:so:a b>=1\nF:lib\nR:ld.so\nR:libc.so\nF:\n\nP:busybox\nV:1\n")}
	s, err := machine(root)
	if err != nil {
		t.Fatal(err)
	}
	all := collect(t, s)
	if got := find(all, "package:musl"); got.get("version") != "1.2.4" || got.get("description") != "the libc" {
		t.Errorf("hash: %+v", got)
	}
	if got := find(all, "depends:musl"); !reflect.DeepEqual(got.Members, []string{"so:a", "b"}) {
		t.Errorf("set: %+v", got)
	}
	if got := find(all, "file:/lib/libc.so"); got.Value != "musl" {
		t.Errorf("file: %+v", got)
	}
	if find(all, "package:busybox").Key == "" {
		t.Error("the last package is missing")
	}
}

func TestMachineWithoutPackagesOrFiles(t *testing.T) {
	t.Parallel()
	if _, err := machine(fstest.MapFS{"etc/x": text("")}); !errors.Is(err, ErrNoData) {
		t.Fatalf("got %v", err)
	}
	s, err := machine(fstest.MapFS{"usr/a": text("1"), "usr/b/c": text("22")})
	if err != nil {
		t.Fatal(err)
	}
	if all := collect(t, s); len(all) != 2 || all[1].Key != "inode:/usr/b/c" || all[1].get("size") != "2" {
		t.Fatalf("got %+v", all)
	}
}

func save(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprint(z, content)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFiles(t *testing.T) {
	t.Parallel()
	json := `{"id": "a", "n": 1.50, "on": true, "none": null, "deep": {"x": [1, 2]}}` + "\n\n" + `{"id": "b", "n": 2}` + "\n"
	wantJSON := []Record{
		{Key: "a", Kind: Hash, Fields: []Field{{"id", "a"}, {"n", "1.50"}, {"on", "true"}, {"deep", `{"x":[1,2]}`}}},
		{Key: "b", Kind: Hash, Fields: []Field{{"id", "b"}, {"n", "2"}}},
	}
	table := "name, city,note\nada,London,\nbob,\"Paris, \"\"FR\"\"\",two\n"
	wantTable := []Record{
		{Key: "ada", Kind: Hash, Fields: []Field{{"name", "ada"}, {"city", "London"}}},
		{Key: "bob", Kind: Hash, Fields: []Field{{"name", "bob"}, {"city", `Paris, "FR"`}, {"note", "two"}}},
	}
	for _, c := range []struct {
		name, content, key string
		want               []Record
	}{
		{"x.ndjson", json, "", wantJSON},
		{"x.jsonl.gz", gzipped(t, json), "", wantJSON},
		{"unnamed", "\xef\xbb\xbf" + json, "id", wantJSON},
		{"packed-without-saying", gzipped(t, json), "", wantJSON},
		{"x.csv", table, "", wantTable},
		{"x.tsv", "name\tcity\nada\tLondon\n", "", wantTable[:1]},
		{"bom.csv", "\xef\xbb\xbf" + table, "name", wantTable},
		{"line.ndjson", `{"x":1}` + "\n" + `{"x":2}`, "", []Record{
			{Key: "line:1", Kind: Hash, Fields: []Field{{"x", "1"}}}, {Key: "line:2", Kind: Hash, Fields: []Field{{"x", "2"}}}}},
		{"first.csv", "city,pop\nParis,2\n", "", []Record{{Key: "Paris", Kind: Hash, Fields: []Field{{"city", "Paris"}, {"pop", "2"}}}}},
	} {
		s, err := Open(save(t, c.name, c.content), c.key)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := collect(t, s); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestBadFilesNameTheLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content, key, says string }{
		{"a.ndjson", "{\"id\":1}\n{\"id\":\n", "", "line 2: bad JSON"},
		{"b.ndjson", "{\"id\":1}\n\n[1]\n", "", "line 3: want a JSON object"},
		{"c.ndjson", "{\"id\":1} {\"id\":2}\n", "", "line 1: more than one value"},
		{"d.ndjson", "{\"x\":1}\n", "id", `line 1: the field "id"`},
		{"e.ndjson", "{\"x\":null}\n", "", "line 1: no field has a value"},
		{"f.ndjson", "{\"id\":\"" + strings.Repeat("k", 70_000) + "\"}\n", "", "line 1: a key, field or member of 70000 bytes"},
		{"g.csv", "a,b\n1,2\n1,2,3\n", "", "line 3: wrong number of fields"},
		{"h.csv", "a,b\n1,\"2\n", "", "line 2: "},
		{"i.csv", "a,,c\n", "", "line 1: column 2 has no name"},
		{"j.csv", "a,b\n1,2\n", "id", `line 1: no column is called "id"`},
		{"k.csv", "", "", "line 1: the file is empty"},
		{"l.ndjson", "{\"v\":\"" + strings.Repeat("v", 3<<20) + "\"}\n", "", "line 1: longer than"},
	} {
		path := save(t, c.name, c.content)
		s, err := Open(path, c.key)
		if err == nil {
			for _, err = range s.Records {
			}
		}
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
	for _, path := range []string{"/does/not/exist", "/does/not/exist.csv", t.TempDir(), save(t, "empty", ""), save(t, "x.csv", "a,b\n")} {
		if _, err := Open(path, ""); !errors.Is(err, ErrInput) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestLimitStopsReading(t *testing.T) {
	t.Parallel()
	read := 0
	endless := func(yield func(Record, error) bool) {
		for yield(Record{Key: fmt.Sprint(read)}, nil) {
			read++
		}
	}
	n := 0
	for range Limit(endless, 5) {
		n++
	}
	if n != 5 || read > 5 {
		t.Fatalf("gave %d, read %d", n, read)
	}
}

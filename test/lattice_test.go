package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/edgemem/edgemem"

// A layer says what the Go files of one folder, and of the folders below it that have no layer of
// their own, may import. Only direct imports are looked at: since each layer is held to its list,
// what it reaches through another layer is held as well.
type layer struct {
	dir       string
	own       []string            // folders of this module it may import, besides itself
	third     []string            // module paths outside the standard library it may import; "*" is any
	noStd     []string            // standard library packages it may not import, nor anything below them
	not       map[string][]string // names of packages it may import, but not these
	only      map[string][]string // the only names it may use of a package
	noSharing bool                // no goroutines, channels or select
	testOwn   []string            // what its _test.go files may import on top
	testThird []string
}

// clock is what reads or waits for the machine's clock: a pure policy gets "now" as an argument.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// seeded is what makes a generator from a seed, or is one: the generator that every program shares
// is not on the list, since no seed replays it.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewSource", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}

const (
	goleak  = "go.uber.org/goleak"
	sys     = "golang.org/x/sys"
	rate    = "golang.org/x/time"             // token buckets
	zstd    = "github.com/klauspost/compress" // what goes over a link
	metrics = "github.com/prometheus/client_golang"
)

// lattice is the table of the packages' boundaries. Test files are free to use the whole standard
// library: they read golden files and start goroutines even where the package itself must not.
// persist and p2p may see fabric in their tests alone, to prove that they satisfy its interfaces
// and to run its conformance suites. Nothing may import cmd or test, but for tests that need virtual time.
var lattice = []layer{
	{
		dir: "crdt",
		// Pure: "now" and randomness are inputs, so that a seed replays a run.
		noStd:     []string{"time", "net", "os", "sync", "log", "context", "syscall", "crypto/rand", "hash/maphash"},
		only:      map[string][]string{"math/rand": seeded, "math/rand/v2": seeded},
		noSharing: true,
	},
	{
		dir:   "tiers",
		own:   []string{"crdt"},
		noStd: []string{"net", "os", "log", "syscall", "crypto/rand"},
		not:   map[string][]string{"time": clock},
		only:  map[string][]string{"math/rand": seeded, "math/rand/v2": seeded},
	},
	{
		dir:   "tiers/offheap",
		third: []string{sys},
		noStd: []string{"net"},
	},
	{
		dir:       "persist",
		own:       []string{"crdt"},
		third:     []string{"github.com/dgraph-io/badger/v4", "github.com/dgraph-io/ristretto/v2", sys, zstd}, // backups are compressed, and Badger maps files by ristretto
		noStd:     []string{"net"},
		testOwn:   []string{"fabric", "persist/storetest"},
		testThird: []string{goleak},
	},
	{
		dir: "persist/storetest", // stores for the tests of whoever needs one, and the suite that each passes
		own: []string{"crdt", "persist"},
	},
	{
		dir: "p2p",
		own: []string{"crdt"},
		third: []string{
			"github.com/libp2p", "github.com/multiformats", "github.com/ipfs/go-ds-badger",
			"github.com/ipfs/go-datastore", "github.com/ipfs/go-log/v2", metrics,
			"github.com/quic-go/quic-go", "github.com/dgraph-io/badger/options", // settings of libp2p and go-ds-badger
			sys, // dead links, and addresses that come and go
		},
		testOwn:   []string{"fabric", "test/bubble"},
		testThird: []string{goleak},
	},
	{
		dir:       "fabric",
		own:       []string{"crdt", "tiers", "tiers/offheap", "fabric/lease"},
		third:     []string{metrics, rate, zstd},
		noStd:     []string{"os"},
		only:      map[string][]string{"net": {"Pipe", "Conn"}}, // the mesh for tests, which stays in memory
		testOwn:   []string{"persist/storetest", "test/bubble"},
		testThird: []string{goleak},
	},
	{
		dir: "fabric/lease",
		own: []string{"crdt"},
		// Pure, as crdt is: it counts time, and reads no clock.
		noStd:     []string{"net", "os", "sync", "log", "context", "syscall", "crypto/rand", "hash/maphash"},
		not:       map[string][]string{"time": clock},
		only:      map[string][]string{"math/rand": seeded, "math/rand/v2": seeded},
		noSharing: true,
	},
	{
		dir:     "fabric/client",
		own:     []string{"crdt", "fabric"},
		noStd:   []string{"os", "log"},
		testOwn: []string{"persist/storetest", "test/bubble"},
	},
	{
		dir:     "cmd",
		own:     []string{"crdt", "tiers", "tiers/offheap", "persist", "p2p", "fabric", "fabric/lease", "fabric/client"},
		third:   []string{"*"},
		testOwn: []string{"persist/storetest", "test/bubble"},
	},
	{
		dir: "test/bubble", // virtual time, for tests alone
	},
	{
		dir:   "test",
		own:   []string{"crdt", "tiers", "tiers/offheap", "persist", "persist/storetest", "p2p", "fabric", "fabric/client", "test/bubble"},
		third: []string{"*"},
	},
}

// TestLattice reads every Go file of the module, whatever its build constraints, and fails on each
// import that the table does not allow. Folders with a go.mod of their own are other modules.
func TestLattice(t *testing.T) {
	t.Parallel()
	root, fset := "..", token.NewFileSet()
	seen := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipFolder(root, name, d.Name())
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		seen++
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		for _, fault := range checkFile(fset, filepath.ToSlash(rel), name, nil) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("no Go file found: the walk does not start at the module's root")
	}
}

func skipFolder(root, name, base string) error {
	if name == root {
		return nil
	}
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

// TestMainModuleIsFreeOfTheReference keeps the modules that only the benchmarks compare with out of
// what users of edgemem download.
func TestMainModuleIsFreeOfTheReference(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if mod := "github.com/ipfs/go-ds-crdt"; strings.Contains(string(text), mod+" ") {
		t.Errorf("go.mod requires %s: it belongs in test/bench/dscrdt/go.mod alone", mod)
	}
}

// checkFile gives one line for each thing in the file that its layer forbids. src is the file's text
// where it is not on disk, as for go/parser.
func checkFile(fset *token.FileSet, rel, name string, src any) []string {
	l, ok := layerOf(path.Dir(rel))
	if !ok {
		return []string{rel + ": the lattice has no layer for this folder: add one, with what it may import"}
	}
	f, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		return []string{err.Error()}
	}
	isTest := strings.HasSuffix(rel, "_test.go")
	var faults []string
	report := func(n ast.Node, format string, a ...any) {
		faults = append(faults, fmt.Sprintf("%s:%d: layer %s: %s", rel, fset.Position(n.Pos()).Line, l.dir, fmt.Sprintf(format, a...)))
	}
	for _, spec := range f.Imports {
		if why := l.refuses(importPath(spec), isTest); why != "" {
			report(spec, "import %s: %s", spec.Path.Value, why)
		}
		if spec.Name != nil && spec.Name.Name == "." {
			report(spec, "import %s: its names must be told from the file's own", spec.Path.Value)
		}
	}
	if !isTest {
		l.checkBody(f, report)
	}
	return faults
}

// layerOf finds the layer with the longest folder that holds dir.
func layerOf(dir string) (layer, bool) {
	var best layer
	for _, l := range lattice {
		if within(dir, l.dir) && len(l.dir) > len(best.dir) {
			best = l
		}
	}
	return best, best.dir != ""
}

func within(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

// refuses says why the layer may not import the package, or nothing.
func (l layer) refuses(pkg string, isTest bool) string {
	own, third := l.own, l.third
	if isTest {
		own, third = slices.Concat(own, l.testOwn), slices.Concat(third, l.testThird)
	}
	allows := func(list []string, p string) bool {
		return slices.ContainsFunc(list, func(m string) bool { return m == "*" || within(p, m) })
	}
	first, _, _ := strings.Cut(pkg, "/")
	switch {
	case pkg == "C":
		return "edgemem builds without cgo"
	case within(pkg, modulePath):
		return l.refusesOwn(strings.TrimPrefix(strings.TrimPrefix(pkg, modulePath), "/"), own)
	case strings.Contains(first, "."):
		if !allows(third, pkg) {
			return "this module is not on the layer's list"
		}
	case !isTest && allows(l.noStd, pkg):
		return "this part of the standard library is kept out of the layer"
	}
	return ""
}

// refusesOwn judges an import between folders of this module by the layer that the target is in, so
// that a list that names tiers does not let tiers/offheap through.
func (l layer) refusesOwn(dir string, own []string) string {
	target, ok := layerOf(dir)
	switch {
	case !ok:
		return "the lattice has no layer for it"
	case target.dir == l.dir:
		return ""
	case target.dir == "cmd" || target.dir == "test":
		return "nothing imports " + target.dir
	case slices.Contains(own, target.dir):
		return ""
	}
	return fmt.Sprintf("%s does not see %s", l.dir, target.dir)
}

// checkBody looks for forbidden calls and, where nothing may be shared, for concurrency.
func (l layer) checkBody(f *ast.File, report func(ast.Node, string, ...any)) {
	names := l.watchedNames(f)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok || x.Obj != nil { // Obj is set when a local name hides the package's
				break
			}
			if pkg := names[x.Name]; pkg != "" && l.forbids(pkg, n.Sel.Name) {
				report(n, "%s.%s is kept out of the layer", pkg, n.Sel.Name)
			}
		case *ast.GoStmt, *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
			if l.noSharing {
				report(n, "goroutines and channels are kept out of the layer")
			}
		}
		return true
	})
}

// watchedNames maps the names under which f knows the packages with forbidden functions.
func (l layer) watchedNames(f *ast.File) map[string]string {
	names := make(map[string]string)
	for _, spec := range f.Imports {
		pkg := importPath(spec)
		if l.not[pkg] == nil && l.only[pkg] == nil {
			continue
		}
		name := strings.TrimSuffix(pkg, "/v2")
		name = path.Base(name)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = pkg
	}
	return names
}

func (l layer) forbids(pkg, name string) bool {
	only, limited := l.only[pkg]
	return slices.Contains(l.not[pkg], name) || limited && !slices.Contains(only, name)
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

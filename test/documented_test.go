package test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExportedNamesAreDocumented: what a program that embeds a node may name has a comment. Fields and values of a group may have the group's.
func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	names := 0
	for _, dir := range []string{"crdt", "fabric", "fabric/client", "p2p", "persist", "tiers", "tiers/place", "tiers/evict", "tiers/offheap", "tiers/pressure"} {
		p := documentation(t, dir)
		if p.Doc == "" {
			t.Errorf("package %s has no comment", dir)
		}
		check := func(name, text string) {
			names++
			if strings.TrimSpace(text) == "" && ast.IsExported(name[strings.LastIndexByte(name, '.')+1:]) {
				t.Errorf("%s: %s has no comment", dir, name)
			}
		}
		values := func(all []*doc.Value) {
			for _, v := range all {
				for _, spec := range v.Decl.Specs {
					s := spec.(*ast.ValueSpec)
					for _, n := range s.Names {
						check(n.Name, v.Doc+s.Doc.Text()+s.Comment.Text())
					}
				}
			}
		}
		funcs := func(of string, all []*doc.Func) {
			for _, f := range all {
				check(of+f.Name, f.Doc)
			}
		}
		values(p.Consts)
		values(p.Vars)
		funcs("", p.Funcs)
		for _, kind := range p.Types {
			check(kind.Name, kind.Doc)
			values(kind.Consts)
			values(kind.Vars)
			funcs("", kind.Funcs)
			funcs(kind.Name+".", kind.Methods)
		}
	}
	if names < 500 {
		t.Errorf("%d names were looked at", names)
	}
}

// documentation reads the comments of a package.
func documentation(t *testing.T, dir string) *doc.Package {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(set, name, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	p, err := doc.NewFromFiles(set, parsed, "github.com/edgemem/edgemem/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

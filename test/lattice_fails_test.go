package test

import (
	"go/token"
	"strings"
	"testing"
)

// TestLatticeCanFail feeds the checker files that are not there, good and bad, and wants exactly the
// faults that were put in.
func TestLatticeCanFail(t *testing.T) {
	t.Parallel()
	imports := func(pkgs ...string) string {
		return "package p\nimport (\n_ \"" + strings.Join(pkgs, "\"\n_ \"") + "\"\n)\n"
	}
	const own = modulePath + "/"
	cases := []struct {
		name, file, src string
		want            string // part of the one fault; empty: none
	}{
		{"pure code", "crdt/a.go", imports("bytes", "encoding/binary", "math/bits", "iter", "fmt", "errors"), ""},
		{"clock in crdt", "crdt/a.go", imports("time"), "kept out"},
		{"sockets in crdt", "crdt/a.go", imports("net/netip"), "kept out"},
		{"files in crdt", "crdt/a.go", imports("os"), "kept out"},
		{"locks in crdt", "crdt/a.go", imports("sync/atomic"), "kept out"},
		{"logging in crdt", "crdt/a.go", imports("log/slog"), "kept out"},
		{"entropy in crdt", "crdt/a.go", imports("crypto/rand"), "kept out"},
		{"foreign module in crdt", "crdt/a.go", imports("lukechampine.com/blake3"), "not on the layer's list"},
		{"upward import from crdt", "crdt/sub/a.go", imports(own + "fabric"), "crdt does not see fabric"},
		{"another system's file is read too", "crdt/a_windows.go", "//go:build windows\n\n" + imports("os"), "kept out"},
		{"tests of crdt use the standard library", "crdt/a_test.go", imports("os", "time", "sync", "testing"), ""},
		{"tests of crdt use no foreign module", "crdt/a_test.go", imports(goleak), "not on the layer's list"},
		{"goroutine in crdt", "crdt/a.go", "package p\nfunc f() { go f() }\n", "goroutines"},
		{"channel in crdt", "crdt/a.go", "package p\nvar c chan int\n", "goroutines"},
		{"select in crdt", "crdt/a.go", "package p\nfunc f() { select {} }\n", "goroutines"},
		{"global generator in crdt", "crdt/a.go", "package p\nimport \"math/rand/v2\"\nvar x = rand.IntN(3)\n", "math/rand/v2.IntN"},
		{"global generator renamed", "crdt/a.go", "package p\nimport r \"math/rand\"\nvar x = r.Int()\n", "math/rand.Int"},
		{"generator as input", "crdt/a.go", "package p\nimport \"math/rand/v2\"\nfunc f(r *rand.Rand) int { return r.IntN(3) }\n", ""},
		{"seeded generator", "crdt/a.go", "package p\nimport \"math/rand/v2\"\nvar r = rand.New(rand.NewPCG(1, 2))\n", ""},
		{"tiers sees crdt", "tiers/a.go", imports(own+"crdt", "time"), ""},
		{"tiers reads the clock", "tiers/a.go", "package p\nimport \"time\"\nvar x = time.Now()\n", "time.Now"},
		{"tiers counts time", "tiers/a.go", "package p\nimport \"time\"\nvar x = 3 * time.Second\n", ""},
		{"tiers opens files", "tiers/a.go", imports("os"), "kept out"},
		{"tiers sees its pools", "tiers/a.go", imports(own + "tiers/offheap"), "tiers does not see tiers/offheap"},
		{"pools map memory", "tiers/offheap/a.go", imports("golang.org/x/sys/unix", "os"), ""},
		{"pools know no entry", "tiers/offheap/a.go", imports(own + "crdt"), "tiers/offheap does not see crdt"},
		{"persist sees Badger", "persist/a.go", imports("github.com/dgraph-io/badger/v4/options", own+"crdt"), ""},
		{"persist and an older Badger", "persist/a.go", imports("github.com/dgraph-io/badger"), "not on the layer's list"},
		{"persist sees fabric", "persist/a.go", imports(own + "fabric"), "persist does not see fabric"},
		{"persist proves fabric's interface", "persist/a_test.go", imports(own+"fabric", goleak), ""},
		{"p2p sees libp2p", "p2p/a.go", imports("github.com/libp2p/go-libp2p/core/host", "github.com/multiformats/go-multiaddr"), ""},
		{"p2p sees storage", "p2p/a.go", imports("github.com/dgraph-io/badger/v4"), "not on the layer's list"},
		{"p2p sees persist", "p2p/a_test.go", imports(own + "persist"), "p2p does not see persist"},
		{"fabric sees crdt and tiers", "fabric/a.go", imports(own+"crdt", own+"tiers", metrics+"/prometheus"), ""},
		{"fabric sees p2p", "fabric/a.go", imports(own + "p2p"), "fabric does not see p2p"},
		{"fabric dials", "fabric/a.go", "package p\nimport \"net\"\nvar c, _ = net.Dial(\"tcp\", \"\")\n", "net.Dial"},
		{"fabric's mesh stays in memory", "fabric/a.go", "package p\nimport \"net\"\nvar a, b net.Conn = net.Pipe()\n", ""},
		{"fabric opens files", "fabric/a.go", imports("os"), "kept out"},
		{"fabric's test sees a store", "fabric/a_test.go", imports(own + "persist/storetest"), ""},
		{"fabric sees a store for tests", "fabric/a.go", imports(own + "persist/storetest"), "fabric does not see persist/storetest"},
		{"names without their package", "tiers/a.go", "package p\nimport . \"time\"\nvar x = Now()\n", "told from the file's own"},
		{"fabric's test sees persist", "fabric/a_test.go", imports(own + "persist"), "fabric does not see persist"},
		{"fabric sees libp2p", "fabric/a.go", imports("github.com/libp2p/go-libp2p"), "not on the layer's list"},
		{"cmd wires everything", "cmd/edgemem/a.go", imports(own+"p2p", own+"persist", own+"fabric", "github.com/spf13/cobra"), ""},
		{"cmd sees its own parts", "cmd/edgemem/a.go", imports(own + "cmd/edgemem/internal/resp"), ""},
		{"fabric imports cmd", "fabric/a.go", imports(own + "cmd/edgemem/internal/resp"), "nothing imports cmd"},
		{"cmd imports test", "cmd/edgemem/a.go", imports(own + "test/sim"), "nothing imports test"},
		{"test imports cmd", "test/sim/a_test.go", imports(own + "cmd/edgemem"), "nothing imports cmd"},
		{"test sees its own parts", "test/a_test.go", imports(own+"test/sim", own+"p2p"), ""},
		{"cgo", "cmd/edgemem/a.go", "package p\nimport \"C\"\n", "without cgo"},
		{"new folder", "utils/a.go", "package p\n", "no layer for this folder"},
		{"folder that only starts alike", "crdtx/a.go", "package p\n", "no layer for this folder"},
		{"file at the top", "a.go", "package p\n", "no layer for this folder"},
		{"import of a new folder", "cmd/edgemem/a.go", imports(own + "utils"), "no layer for it"},
		{"broken file", "crdt/a.go", "package", "expected"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			faults := checkFile(token.NewFileSet(), c.file, c.file, c.src)
			switch {
			case c.want == "" && len(faults) > 0:
				t.Errorf("allowed, but refused: %q", faults)
			case c.want != "" && len(faults) != 1:
				t.Errorf("want one fault with %q, got %q", c.want, faults)
			case c.want != "" && !strings.Contains(faults[0], c.want):
				t.Errorf("want a fault with %q, got %q", c.want, faults[0])
			}
		})
	}
}

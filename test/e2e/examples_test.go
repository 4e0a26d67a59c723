package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// examplesDir holds the example that is played.
const examplesDir = "../../deploy/examples/tickets"

// A shop in Node.js and one in C sell the tickets of one counter at two of three daemons. One is cut off meanwhile, and sells on: together they
// sell all that there are, and no more.
func TestExamples(t *testing.T) {
	t.Parallel()
	needClients(t)
	program := buildShop(t)
	modules, err := filepath.Abs(filepath.Join(clientsDir, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"}, harness.Options{Name: "north", Tier: "edge"}, harness.Options{Name: "south", Tier: "edge"})
	cloud, north, south := nodes[0], nodes[1], nodes[2]
	const tickets = 200
	if got := cloud.Do("EM.BOUND", "NEW", "tickets", strconv.Itoa(tickets), "MIN", "0"); got != "OK" {
		t.Fatal(got)
	}
	harness.Converge(t, harness.Patience, "default", nodes...)
	sold := 0
	sell := func(n *harness.Node, count, seconds int, line ...string) int {
		t.Helper()
		host, port, err := net.SplitHostPort(n.RESP())
		if err != nil {
			t.Fatal(err)
		}
		line = append(line, host, port, n.Name, strconv.Itoa(count), strconv.Itoa(seconds))
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Env = harness.Environment("NODE_PATH=" + modules)
		r := harness.RunCommand(t, "", cmd)
		got, err := strconv.Atoi(strings.TrimSpace(r.Stdout))
		if r.Code != 0 || err != nil {
			t.Fatalf("exit code %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
		}
		sold += got
		return got
	}
	inNode := []string{"node", filepath.Join(examplesDir, "shop.cjs")}
	if n := sell(north, 10, 30, inNode...); n != 10 {
		t.Errorf("the shop in Node.js sold %d of 10", n)
	}
	if n := sell(south, 10, 30, program); n != 10 {
		t.Errorf("the shop in C sold %d of 10", n)
	}
	north.CLI("offline")
	if n := sell(north, 10, 30, inNode...); n != 10 {
		t.Errorf("off line it sold %d of 10, of rights that it has", n)
	}
	sell(south, 30, 2, program)
	sell(north, tickets, 1, inNode...) // until its rights are used up
	if sold > tickets {
		t.Errorf("%d of %d sold while one was off line", sold, tickets)
	}
	north.CLI("online")
	sell(south, tickets, 30, program)
	sell(north, tickets, 30, inNode...)
	harness.Converge(t, harness.Patience, "default", nodes...)
	if sold != tickets {
		t.Errorf("%d of %d sold", sold, tickets)
	}
	for _, n := range nodes {
		if got := n.Do("XLEN", "sales"); got != int64(tickets) {
			t.Errorf("%s lists %v sales", n.Name, got)
		}
		if got := n.Do("SCARD", "shops"); got != int64(2) {
			t.Errorf("%s knows %v shops", n.Name, got)
		}
		if got := n.Do("EM.BOUND", "GET", "tickets").([]any); got[1] != int64(0) {
			t.Errorf("%s has %v", n.Name, got)
		}
	}
}

// buildShop compiles the example in C.
func buildShop(t *testing.T) string {
	t.Helper()
	cc := harness.Need(t, "cc", "gcc")
	const header, pkg = "/usr/include/hiredis/hiredis.h", "libhiredis-dev"
	if _, err := os.Stat(header); err != nil {
		if harness.InCI() {
			t.Fatalf("%s is missing (Debian package %s)", header, pkg)
		}
		t.Skipf("SKIPPED: %s is missing (Debian package %s), so the example in C was NOT played", header, pkg)
	}
	program := filepath.Join(t.TempDir(), "shop")
	r := harness.RunCommand(t, "", exec.Command(cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, filepath.Join(examplesDir, "shop.c"), "-lhiredis"))
	if r.Code != 0 {
		t.Fatalf("%s%s", r.Stdout, r.Stderr)
	}
	return program
}

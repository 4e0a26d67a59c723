package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestRegionWithoutCopy reads and writes a region on a daemon that has no copy of it: with redis-cli, curl and the command line, while the
// holder is there, after it was killed, and when it is back.
func TestRegionWithoutCopy(t *testing.T) {
	t.Parallel()
	curl := harness.Need(t, "curl", "curl")
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud"}, harness.Options{Name: "device", Args: []string{"--manual-moves"}})
	cloud, device := nodes[0], nodes[1]
	cloud.CLI("region", "create", "maps", "--placement", "demand", "--ack", "disk")
	harness.Eventually(t, harness.Patience, "the device hears of the region", func() error {
		if out := device.CLI("region", "show", "maps"); !strings.Contains(out, "demand") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	api := "http://" + device.Started().Node.HTTP + "/v1/regions/maps"

	conn := device.Dial()
	do := func(args ...string) string {
		got, err := conn.Do(args...)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(got)
	}
	if got := do("SELECT", "maps"); got != "OK" {
		t.Fatalf("SELECT: %s", got)
	}
	if got := do("EM.SOURCE"); strings.Contains(got, "here 1") {
		t.Fatalf("EM.SOURCE: %s", got)
	}
	for _, x := range [][]string{{"OK", "SET", "tile", "v1"}, {"v1", "GET", "tile"}} {
		if got := do(x[1:]...); got != x[0] {
			t.Fatalf("%v: %s", x[1:], got)
		}
	}
	head := harness.Run(t, "", curl, "-si", api+"/keys/tile").Stdout
	if !strings.Contains(head, `"value":"v1"`) || !strings.Contains(head, "Edgemem-Source: "+cloud.Started().Node.ID) {
		t.Errorf("curl: %s", head)
	}
	if got := device.CLI("incr", "-r", "maps", "n"); strings.TrimSpace(got) != "1" {
		t.Errorf("incr: %q", got)
	}
	if got := device.CLI("get", "-r", "maps", "tile"); strings.TrimSpace(got) != "v1" {
		t.Errorf("get: %q", got)
	}
	if got := cloud.CLI("get", "-r", "maps", "n"); strings.TrimSpace(got) != "1" {
		t.Errorf("at the holder: %q", got)
	}
	if n := device.MustRegion("maps").Entries; n != 0 {
		t.Errorf("the device keeps %d entries", n)
	}

	cloud.Kill()
	harness.Eventually(t, harness.Patience, "the holder is missed", func() error {
		if got := do("GET", "tile"); !strings.Contains(got, "NOHOLDER") || !strings.Contains(got, "cloud") {
			return fmt.Errorf("GET: %s", got)
		}
		return nil
	})
	if r := harness.Edgemem(t, "get", "-r", "maps", "tile", "--data-dir", device.Dir); r.Code != 3 || !strings.Contains(r.Stderr, "cloud") {
		t.Errorf("get without a holder: exit code %d, %s", r.Code, r.Stderr)
	}
	if resp, err := http.Get(api + "/keys/tile"); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("HTTP without a holder: %v, %v", resp, err)
	}

	cloud.Start()
	harness.Eventually(t, harness.Patience, "the holder is back", func() error {
		if got := do("GET", "tile"); got != "v1" {
			return fmt.Errorf("GET: %s", got)
		}
		return nil
	})
	if got := device.CLI("region", "take-copy", "maps"); !strings.Contains(got, "cloud") || !strings.Contains(got, "device") {
		t.Errorf("take-copy: %s", got)
	}
	cloud.Kill()
	if got := do("GET", "tile"); got != "v1" || !strings.Contains(do("EM.SOURCE"), "here 1") {
		t.Errorf("GET of a copy that was taken: %s, from %s", got, do("EM.SOURCE"))
	}
}

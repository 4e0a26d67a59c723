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

// TestWritesWaitOnTheDisk: a daemon without a copy that reaches no holder keeps writes over kill -9, and each is done once when it does.
func TestWritesWaitOnTheDisk(t *testing.T) {
	t.Parallel()
	nodes := startFabric(t, harness.Options{Name: "cloud", Tier: "cloud", Listen: harness.OwnAddress()}, harness.Options{Name: "device", Listen: harness.OwnAddress()})
	cloud, device := nodes[0], nodes[1]
	cloud.CLI("region", "create", "maps", "--placement", "pinned", "--ack", "disk", "--queue-writes")
	cloud.CLI("incr", "-r", "maps", "n")
	harness.Eventually(t, harness.Patience, "the device hears of the region", func() error {
		if out := device.CLI("region", "show", "maps"); !strings.Contains(out, "queued here") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	cloud.Kill()
	want := 1
	for round := range 3 {
		conn := device.Dial()
		if got, err := conn.Do("SELECT", "maps"); err != nil {
			t.Fatalf("SELECT: %v, %v", got, err)
		}
		harness.Eventually(t, harness.Patience, "the holder is missed", func() error {
			if got, err := conn.Do("SET", "tile", fmt.Sprint("v", round)); err != nil || fmt.Sprint(got) != "LATER" {
				return fmt.Errorf("SET: %v, %v", got, err)
			}
			return nil
		})
		for range 10 {
			if got, err := conn.Do("INCR", "n"); err != nil || got != nil {
				t.Fatalf("INCR: %v, %v", got, err)
			}
			want++
		}
		if got := device.MustRegion("maps").Queued; got < want-1 {
			t.Errorf("%d writes wait, at least %d were made", got, want-1)
		}
		device.Kill()
		device.Start()
	}
	cloud.Start()
	harness.Eventually(t, harness.Patience, "the writes are done", func() error {
		get := func(key string) string {
			return strings.TrimSpace(harness.Edgemem(t, "get", "-r", "maps", key, "--data-dir", cloud.Dir).Stdout)
		}
		n, tile := get("n"), get("tile")
		if left := device.MustRegion("maps").Queued; n != fmt.Sprint(want) || tile != "v2" || left != 0 {
			return fmt.Errorf("n is %s of %d, tile %s, %d wait", n, want, tile, left)
		}
		return nil
	})
	for range 2 { // none of them comes again
		device.Kill()
		cloud.Kill()
		cloud.Start()
		device.Start()
		want++
		harness.Eventually(t, harness.Patience, "the holder is back", func() error {
			r := harness.Edgemem(t, "incr", "-r", "maps", "n", "--data-dir", device.Dir)
			if r.Code == 3 { // no holder is reached, and nothing was done
				return fmt.Errorf("%s", r.Stderr)
			}
			if got := strings.TrimSpace(r.Stdout); got != fmt.Sprint(want) {
				t.Fatalf("incr after restarts: %s, want %d: %s", got, want, r.Stderr)
			}
			return nil
		})
	}
}

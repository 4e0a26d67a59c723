package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// Patience bounds everything that a test waits for. It only matters when something is broken, or when
// the machine is shared with much else.
const Patience = 60 * time.Second

const (
	pollFirst = 2 * time.Millisecond
	pollMax   = 50 * time.Millisecond
)

// Eventually asks until check returns nil, less and less often, and gives the time that it took. When
// the time is up the test ends with the last error.
func Eventually(t testing.TB, within time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	took, err := poll(within, check)
	if err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
	return took
}

func poll(within time.Duration, check func() error) (took time.Duration, err error) {
	began, pause := time.Now(), pollFirst
	for {
		err := check()
		took := time.Since(began)
		if err == nil || took > within {
			return took, err
		}
		time.Sleep(pause)
		pause = min(pause*3/2, pollMax)
	}
}

// Converge waits until all nodes have seen the same writes of a region and hold the same.
func Converge(t testing.TB, within time.Duration, region string, nodes ...*Node) time.Duration {
	t.Helper()
	return Eventually(t, within, "equal digests of "+region, func() error { return same(region, nodes) })
}

// Agree is Converge for whoever wants to look at what differs when the time is up.
func Agree(within time.Duration, region string, nodes ...*Node) (took time.Duration, err error) {
	took, err = poll(within, func() error { return same(region, nodes) })
	if err != nil {
		err = fmt.Errorf("equal digests of %s: not within %v: %w", region, within, err)
	}
	return took, err
}

func same(region string, nodes []*Node) error {
	var first Region
	for i, n := range nodes {
		s, err := n.Status()
		if err != nil {
			return err
		}
		r, ok := s.Region(region)
		if !ok {
			return fmt.Errorf("%s has no region %s", n.Name, region)
		}
		if i == 0 {
			first = r
			continue
		}
		if r.Digest != first.Digest || r.Entries != first.Entries || !maps.EqualFunc(r.Context, first.Context, Runs.equal) {
			return fmt.Errorf("%s has %d entries, digest %s, %s has %d, %s; %s", nodes[0].Name, first.Entries, first.Digest,
				n.Name, r.Entries, r.Digest, differences(first.Context, r.Context))
		}
	}
	return nil
}

// differences names some origins of which two contexts have seen different writes.
func differences(a, b map[string]Runs) string {
	const shown = 4
	all := maps.Clone(a)
	maps.Copy(all, b)
	var parts []string
	for _, origin := range slices.Sorted(maps.Keys(all)) {
		if !a[origin].equal(b[origin]) {
			parts = append(parts, fmt.Sprintf("%s %v against %v", origin, a[origin], b[origin]))
		}
	}
	return fmt.Sprintf("contexts differ in %d of %d origins: %s", len(parts), len(all), strings.Join(parts[:min(shown, len(parts))], ", "))
}

// Connected waits until each node is connected to all the others, or to the number of peers given.
func Connected(t testing.TB, within time.Duration, peers int, nodes ...*Node) time.Duration {
	t.Helper()
	return Eventually(t, within, "connections", func() error {
		for _, n := range nodes {
			s, err := n.Status()
			if err != nil {
				return err
			}
			if up := s.Connected(); len(up) < peers {
				return fmt.Errorf("%s is connected to %v, want %d peers", n.Name, up, peers)
			}
		}
		return nil
	})
}

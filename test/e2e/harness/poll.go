package harness

import (
	"fmt"
	"maps"
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
	began, pause := time.Now(), pollFirst
	for {
		err := check()
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > within {
			t.Fatalf("%s: not within %v: %v", what, within, err)
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
			return fmt.Errorf("%s has %d entries, digest %s, context %v; %s has %d, %s, %v",
				nodes[0].Name, first.Entries, first.Digest, first.Context, n.Name, r.Entries, r.Digest, r.Context)
		}
	}
	return nil
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

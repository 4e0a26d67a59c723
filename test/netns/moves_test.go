package netns

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
	"github.com/edgemem/edgemem/test/lab/wire"
)

// far is how long a frame takes between hosts: an edge is 15 ms from the regional site, and that is 40 ms from the cloud.
var far = map[[2]string]time.Duration{
	{"edge-a", "regional"}: 15 * time.Millisecond, {"edge-b", "regional"}: 15 * time.Millisecond, {"edge-a", "edge-b"}: 30 * time.Millisecond,
	{"regional", "cloud"}: 40 * time.Millisecond, {"edge-a", "cloud"}: 55 * time.Millisecond, {"edge-b", "cloud"}: 55 * time.Millisecond,
}

const (
	roaming = "maps"
	// faster is how much faster reads become at least, at the median, when the region has come.
	faster = 100
	// hotWithin is how long that may take: the node that decides hears of use once a second, and the copy comes by way of the regional site.
	hotWithin = 15 * time.Second
)

// TestRegionFollowsItsReaders has a region that lives in the cloud be read at one edge, then at another, and then nowhere.
func TestRegionFollowsItsReaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, "regional", "edge-a", "edge-b")
	for pair, d := range far {
		a, b := s.host(pair[0]), s.host(pair[1])
		s.net.set(a, b, wire.Condition{Delay: d})
		s.net.set(b, a, wire.Condition{Delay: d})
	}
	cloud := s.node("cloud")
	cloud.CLI("region", "create", roaming, "--placement", "demand", "--ack", "disk")
	writer := selected(t, cloud)
	for i := range 300 {
		if _, err := writer.Do("SET", fmt.Sprint("tile:", i), strings.Repeat("t", 200)); err != nil {
			t.Fatal(err)
		}
	}
	s.heldBy("the region is new", "cloud")

	a := s.readAt("edge-a")
	s.heldBy("it is read at edge-a", "cloud", "edge-a", "regional")
	first, last, took := a.end()
	if last*faster > first {
		t.Errorf("at edge-a a read took %v at first and %v in the end: want %d times less", first, last, faster)
	}
	t.Logf("edge-a: a read took %v at first and %v in the end (medians); it was local %v after the first", first, last, took)

	b := s.readAt("edge-b")
	s.heldBy("it is read at edge-b", "cloud", "edge-a", "edge-b", "regional")
	stop := s.writeAt(writer)
	s.heldBy("the readers have gone from edge-a to edge-b", "cloud", "edge-b", "regional")
	first, last, took = b.end()
	t.Logf("edge-b: a read took %v at first and %v in the end (medians); it was local %v after the first", first, last, took)
	s.heldBy("nobody reads it any more", "cloud")
	stop()
	t.Log(cloud.CLI("region", "explain", roaming))
}

// selected is a connection that has the region selected.
func selected(t *testing.T, m *member) *harness.Conn {
	t.Helper()
	conn := m.Dial()
	if _, err := conn.Do("SELECT", roaming); err != nil {
		t.Fatal(err)
	}
	return conn
}

// heldBy waits until these nodes hold the region, and no others, and says so everywhere.
func (s *site) heldBy(why string, want ...string) {
	s.t.Helper()
	began := time.Now()
	harness.Eventually(s.t, hotWithin, why+", and the region is held by "+strings.Join(want, ", "), func() error {
		for _, m := range s.nodes {
			r, _ := m.MustStatus().Region(roaming)
			var held []string
			for _, h := range r.Holders {
				held = append(held, h.Name)
			}
			slices.Sort(held)
			if !slices.Equal(held, want) || r.Held != slices.Contains(want, m.Name) {
				return fmt.Errorf("%s says that %v hold it", m.Name, held)
			}
		}
		return nil
	})
	s.t.Logf("%s: held by %s after %v", why, strings.Join(want, ", "), time.Since(began).Round(100*time.Millisecond))
}

// readers read until end.
type readers struct {
	stop  chan struct{}
	wg    sync.WaitGroup
	took  []time.Duration
	local time.Duration // after the first read
	errs  error
}

func (s *site) readAt(name string) *readers {
	s.t.Helper()
	conn := selected(s.t, s.node(name))
	x := &readers{stop: make(chan struct{})}
	x.wg.Go(func() {
		began := time.Now()
		for i := 0; ; i++ {
			select {
			case <-x.stop:
				return
			case <-time.After(time.Millisecond):
			}
			start := time.Now()
			got, err := conn.Do("GET", fmt.Sprint("tile:", i%300))
			if text, _ := got.(string); err == nil && len(text) == 0 {
				err = fmt.Errorf("tile:%d is %v", i%300, got)
			}
			if err != nil {
				x.errs = err
				return
			}
			d := time.Since(start)
			if x.took = append(x.took, d); x.local == 0 && d < 5*time.Millisecond {
				x.local = time.Since(began)
			}
		}
	})
	s.t.Cleanup(func() {
		x.halt()
		if x.errs != nil {
			s.t.Errorf("reads at %s: %v", name, x.errs)
		}
	})
	return x
}

func (x *readers) halt() {
	select {
	case <-x.stop:
	default:
		close(x.stop)
	}
	x.wg.Wait()
}

// end ends them after a moment, and gives the medians of the first reads and of the last.
func (x *readers) end() (first, last, local time.Duration) {
	time.Sleep(500 * time.Millisecond)
	x.halt()
	median := func(d []time.Duration) time.Duration {
		d = slices.Sorted(slices.Values(d))
		if len(d) == 0 {
			return 0
		}
		return d[len(d)/2].Round(time.Microsecond)
	}
	n := len(x.took)
	return median(x.took[:min(n, 5)]), median(x.took[max(0, n-100):]), x.local.Round(10 * time.Millisecond)
}

// writeAt overwrites a large value all the time, so that copies have to earn their keep.
func (s *site) writeAt(conn *harness.Conn) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if _, err := conn.Do("SET", "traffic", strings.Repeat(fmt.Sprint(i%10), 20_000)); err != nil {
				s.t.Error(err)
				return
			}
		}
	})
	stop = sync.OnceFunc(func() { close(done); wg.Wait() })
	s.t.Cleanup(stop)
	return stop
}

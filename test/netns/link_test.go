package netns

import (
	"fmt"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/lab/wire"
)

// TestIsolatedDevice pulls the device's cable through 10,000 writes elsewhere and some at the device, whose link is slow besides.
func TestIsolatedDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	s.net.blow(s.host("device"), wire.Presets["mobile"])
	s.write(s.nodes...)
	s.written(200)
	s.rest()
	s.converge("the first writes", s.nodes...)

	plug := s.unplug(s.node("device"))
	s.writeEvery(0, s.group("cloud", "edge")...)
	s.written(10_000)
	s.rest()
	s.write(s.node("device"))
	s.written(100)
	s.rest()
	s.converge("the last write, among those that are connected", s.group("cloud", "edge")...)
	last(*part)
	plug()
	s.converge("the device is plugged in again", s.nodes...)
	s.check(0, s.nodes...)
	if pull := s.node("device").MustStatus().Node.Sync.LastPull; pull != nil {
		t.Logf("the device's last pull: %d round trips for %d writes, %d bytes", pull.Rounds, pull.News, pull.BytesIn)
	}
}

// TestOneWayLink drops what the device sends, and lets through what it is sent; then the other way round.
func TestOneWayLink(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	device, others := s.group("device"), s.group("cloud", "edge")
	for _, way := range []struct {
		what     string
		from, to []*member
	}{{"the device could not be heard", device, others}, {"the device could not hear", others, device}} {
		heal := s.net.mute(hosts(way.from), hosts(way.to))
		s.write(s.nodes...)
		last(*part)
		s.rest()
		s.converge("the last write, among the others", others...)
		heal()
		s.converge(way.what, s.nodes...)
		s.check(0, s.nodes...)
	}
}

// flaps and flapEvery: the link is down for half of each span, and up for the other half.
const (
	flaps     = 8
	flapEvery = time.Second
)

// TestFlappingLink has the device's link go down and come back every second while everyone writes.
func TestFlappingLink(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	s.write(s.nodes...)
	tick := time.NewTicker(flapEvery / 2)
	defer tick.Stop()
	for range flaps {
		plug := s.unplug(s.node("device"))
		<-tick.C
		plug()
		<-tick.C
	}
	s.rest()
	s.converge(fmt.Sprintf("%d flaps", flaps), s.nodes...)
	s.check(0, s.nodes...)
}

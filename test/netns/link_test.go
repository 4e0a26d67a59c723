package netns

import (
	"fmt"
	"testing"
	"time"
)

// TestIsolatedDevice pulls the device's cable through 10,000 writes elsewhere and a few at the device.
func TestIsolatedDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	s.write(s.nodes...)
	s.written(200)
	s.rest()
	s.converge("the first writes", s.nodes...)

	s.host("device").unplug()
	s.write(s.group("cloud", "edge")...)
	s.written(10_000)
	s.rest()
	s.write(s.node("device"))
	s.written(1)
	s.rest()
	s.converge("the last write, among those that are connected", s.group("cloud", "edge")...)
	last(*part)
	s.host("device").plug()
	s.converge("the device is plugged in again", s.nodes...)
	s.check(s.nodes...)
	if pull := s.node("device").MustStatus().Node.Sync.LastPull; pull != nil {
		t.Logf("the device's last pull: %d round trips for %d writes, %d bytes", pull.Rounds, pull.News, pull.BytesIn)
	}
}

// TestOneWayLink drops what the device sends, and lets through what it is sent; then the other way round.
func TestOneWayLink(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	for _, mute := range []bool{true, false} {
		what := "the device could not be heard"
		if mute {
			s.host("cloud").deafen(s.host("device"))
			s.host("edge").deafen(s.host("device"))
		} else {
			what = "the device could not hear"
			s.host("device").deafen(s.hosts("cloud", "edge")...)
		}
		s.write(s.nodes...)
		last(*part)
		s.rest()
		s.converge("the last write, among the others", s.group("cloud", "edge")...)
		s.net.heal()
		s.converge(what, s.nodes...)
		s.check(s.nodes...)
	}
}

// flaps and flapEvery: 15 s in which the link is down for half of each second and up for the other.
const (
	flaps     = 15
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
		s.host("device").unplug()
		<-tick.C
		s.host("device").plug()
		<-tick.C
	}
	s.rest()
	s.converge(fmt.Sprintf("%d flaps", flaps), s.nodes...)
	s.check(s.nodes...)
}

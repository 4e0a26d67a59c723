package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// TestRestoredBackup puts an old copy of a device's data in place of what it had become since. What others had seen of the
// device by then comes back to it, and its next writes clash with none of those.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	s.expected = []string{"restored"}
	device := s.node("device")
	s.write(s.nodes...)
	s.written(300)
	s.rest()
	s.converge("the first writes", s.nodes...)
	s.halt(device)
	backup, made := s.copyOf(device), s.log.Now()
	s.start(device)

	s.write(s.nodes...)
	s.written(300)
	s.rest()
	s.converge("the writes after the backup", s.nodes...)
	plug := s.unplug(device)
	s.write(s.nodes...)
	s.written(300)
	s.rest()
	s.kill(device) // with writes that nobody else has: these may go
	life, _ := device.now()
	s.log.RolledBack(life, made)
	s.putBack(backup, device)
	s.write(s.without(device)...)
	s.start(device) // off line at first: it writes before anyone can tell it what it was
	stop := s.stop
	s.write(device)
	s.written(300)
	plug()
	s.written(300)
	s.rest()
	stop()
	s.converge("the restored device is back", s.nodes...)
	s.check(0, s.nodes...)
}

// TestClone runs a copy of a device beside the device itself, under the same identity and at another address. Both write, nothing
// that either acknowledged is lost, and everyone is told.
func TestClone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "edge", "device")
	s.expected = []string{"clone", "restored"}
	device := s.node("device")
	s.write(s.nodes...)
	s.written(300)
	s.rest()
	s.converge("the first writes", s.nodes...)
	s.halt(device)
	copied := s.copyOf(device)
	clone := s.prepare("clone", harness.Options{Tier: "device", Args: []string{"--name", device.Name}})
	s.putBack(copied, clone)
	s.start(device, clone)
	if device.Started().Node.ID != clone.Started().Node.ID {
		t.Fatal("the clone has an identity of its own")
	}
	s.write(s.nodes...)
	s.written(1000)
	s.rest()
	s.converge("a clone wrote beside its original", s.nodes...)
	s.check(0, s.nodes...)
	harness.Eventually(t, *healed, "an alarm for the clone", func() error {
		for _, m := range s.without(device, clone) {
			if alarms := m.CLIStatus().Alarms; !hasKind(alarms, "clone") {
				return fmt.Errorf("%s has the alarms %+v", m.Name, alarms)
			}
		}
		return nil
	})
}

func hasKind(alarms []harness.Alarm, kind string) bool {
	for _, a := range alarms {
		if a.Kind == kind {
			return true
		}
	}
	return false
}

// copyOf copies the data of a node that does not run.
func (s *site) copyOf(m *member) (dir string) {
	s.t.Helper()
	dir = filepath.Join(harness.ShortDir(s.t), "copy")
	if err := os.CopyFS(dir, os.DirFS(m.Dir)); err != nil {
		s.t.Fatalf("copy the data of %s: %v", m.Name, err)
	}
	return dir
}

// putBack makes a copy the data of a node that does not run.
func (s *site) putBack(dir string, m *member) {
	s.t.Helper()
	if err := os.RemoveAll(m.Dir); err != nil {
		s.t.Fatal(err)
	}
	if err := os.CopyFS(m.Dir, os.DirFS(dir)); err != nil {
		s.t.Fatalf("put data back at %s: %v", m.Name, err)
	}
}

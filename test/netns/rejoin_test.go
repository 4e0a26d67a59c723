package netns

import (
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

package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTAP makes a card where the test is, since a namespace is not the test's to make, and pulls its cable.
func TestTAP(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: TAP devices need root")
	}
	const name = "emwire0"
	tap, err := OpenTAP("/proc/self/ns/net", name)
	if err != nil {
		t.Skipf("SKIPPED: this machine has no TAP devices: %v", err)
	}
	if _, err := os.Stat(filepath.Join("/sys/class/net", name)); err != nil {
		t.Error(err)
	}
	for _, up := range []bool{false, true} {
		if err := tap.Carrier(up); err != nil {
			t.Errorf("carrier %v: %v", up, err)
		}
	}
	reading := make(chan error, 1)
	go func() {
		_, err := tap.Read(make([]byte, frameMax))
		reading <- err
	}()
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-reading:
		if err == nil {
			t.Error("a card that was never up received a frame")
		}
	case <-time.After(10 * time.Second):
		t.Error("Close did not end a Read that waited")
	}
	if _, err := OpenTAP("/nowhere", name); err == nil || !bytes.Contains([]byte(err.Error()), []byte("/nowhere")) {
		t.Errorf("no such namespace: %v", err)
	}
}

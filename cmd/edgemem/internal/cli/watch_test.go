package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/control"
)

// startNode runs a daemon of this test binary and waits until it is ready.
func startNode(t *testing.T) (dir string, c *control.Client) {
	t.Helper()
	dir = t.TempDir()
	cmd := self("run", "--data-dir", dir, "--name", "n", "--resp", "off", "--http", "off", "--mdns=false",
		"--listen", "/ip4/127.0.0.1/tcp/0", "--log-level", "error")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c = control.NewClient(dir)
	t.Cleanup(func() {
		c.Close()
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("daemon: %v", err)
		}
	})
	if _, err := c.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir, c
}

// asCommand makes the test binary run Main instead of tests.
const asCommand = "EDGEMEM_TEST_AS_COMMAND"

func self(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// TestWatchTellsChangesInOrderUntilInterrupted writes a first key until the watch tells of it, because a
// process that has just started says nothing of when its watch is in place.
func TestWatchTellsChangesInOrderUntilInterrupted(t *testing.T) {
	t.Parallel()
	dir, c := startNode(t)
	watch := self("watch", "w:", "-o", "json", "--data-dir", dir)
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	events := decode(out)
	for heard := false; !heard; {
		must(t, c.Set(t.Context(), defaultRegion, "w:first", nil))
		select {
		case _, heard = <-events:
		case <-time.After(10 * time.Millisecond):
		}
	}
	must(t, c.Set(t.Context(), defaultRegion, "other", []byte("not watched")))
	must(t, c.Set(t.Context(), defaultRegion, "w:k", []byte("v")))
	_, err = c.Delete(t.Context(), defaultRegion, []string{"w:k"})
	must(t, err)
	for _, kind := range []string{"string", "none"} {
		want := control.Event{Region: defaultRegion, Key: "w:k", Kind: kind, Local: true}
		if got := nextAfterFirst(t, events); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	must(t, watch.Process.Signal(os.Interrupt))
	if err := watch.Wait(); err != nil {
		t.Errorf("an interrupted watch ended with %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func decode(r io.Reader) <-chan control.Event {
	events := make(chan control.Event)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			var ev control.Event
			if json.Unmarshal(lines.Bytes(), &ev) == nil {
				events <- ev
			}
		}
	}()
	return events
}

// nextAfterFirst passes over what is left of the first key's writes.
func nextAfterFirst(t *testing.T, events <-chan control.Event) control.Event {
	t.Helper()
	for {
		select {
		case ev := <-events:
			if ev.Key != "w:first" {
				return ev
			}
		case <-time.After(patience):
			t.Fatal("the watch tells nothing")
		}
	}
}

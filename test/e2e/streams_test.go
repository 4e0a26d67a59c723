package e2e

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// A device writes to a log while it is off line, with ids below those that a reader at the edge has had meanwhile: once it is back, the
// reader, which goes on by XREAD, has had every entry once, and both nodes list the same, also after a restart.
func TestStreamReaderGetsWhatComesLate(t *testing.T) {
	t.Parallel()
	nodes := startFabric(t, harness.Options{Name: "edge", Tier: "edge"}, harness.Options{Name: "device", Tier: "device"})
	edge, device := nodes[0], nodes[1]
	reader, had, last := edge.Dial(), map[string]int{}, "0"
	read := func(want int) {
		t.Helper()
		for len(had) < want {
			reply, err := reader.Do("XREAD", "COUNT", "7", "BLOCK", "20000", "STREAMS", "log", last)
			if err != nil || reply == nil {
				t.Fatalf("after %s and %d entries: %v, %v", last, len(had), reply, err)
			}
			for _, e := range reply.([]any)[0].([]any)[1].([]any) {
				last = e.([]any)[0].(string)
				had[last]++
			}
		}
	}
	add := func(n *harness.Node, count int) {
		c := n.Dial()
		for i := range count {
			if _, err := c.Do("XADD", "log", "*", "from", n.Name, "n", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(edge, 10)
	read(10)
	harness.Converge(t, harness.Patience, "default", nodes...)
	device.CLI("offline")
	for range 5 { // by turns, so that ids of both lie among each other
		add(device, 10)
		add(edge, 10)
	}
	read(60)
	device.CLI("online")
	read(110)
	harness.Converge(t, harness.Patience, "default", nodes...)
	for id, n := range had {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	all := edge.Do("XRANGE", "log", "-", "+")
	if got := device.Do("XRANGE", "log", "-", "+"); len(all.([]any)) != 110 || !reflect.DeepEqual(got, all) {
		t.Errorf("the edge lists %d entries, the device %d", len(all.([]any)), len(got.([]any)))
	}
	if n := edge.Do("XTRIM", "log", "MAXLEN", "30"); n != int64(80) {
		t.Error("trimmed", n)
	}
	harness.Converge(t, harness.Patience, "default", nodes...)
	info := device.Do("XINFO", "STREAM", "log")
	device.Stop()
	device.Start()
	if got := device.Do("XINFO", "STREAM", "log"); !reflect.DeepEqual(got, info) || device.Do("XLEN", "log") != int64(30) {
		t.Errorf("after a restart the stream is\n%v, was\n%v", got, info)
	}
}

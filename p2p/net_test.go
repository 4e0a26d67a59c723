package p2p

import "testing"

// TestDialableOrder: an order that changes by itself would be taken for a change of the network, signed anew and
// told to everyone, over and over.
func TestDialableOrder(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	c.Listen = loopbackBoth
	a := start(t, c)
	first := a.net.dialable()
	if len(first) != 2 || transportOf(first[0]) != "tcp" {
		t.Fatalf("addresses %v, want TCP and QUIC", first)
	}
	for range 100 {
		if again := a.net.dialable(); !sameAddrs(first, again) {
			t.Fatalf("addresses %v, then %v, and nothing has changed", first, again)
		}
	}
}

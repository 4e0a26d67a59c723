package crdt_test

import (
	"fmt"

	"github.com/edgemem/edgemem/crdt"
)

// Two replicas write apart from each other and become equal with one pull in each direction.
func Example() {
	const now = 1_800_000_000_000
	open := func(node crdt.NodeID) *crdt.Region {
		nonce := crdt.Nonce{1} // fresh randomness, durable before the first write
		return crdt.NewRegion(crdt.Config{Name: "default", Self: crdt.NewOrigin(node, nonce)})
	}
	device, edge := open("device"), open("edge")

	_ = device.Update(now, func(tx *crdt.Tx) error {
		_, err := tx.Incr("visits", 2)
		return err
	})
	_ = edge.Update(now, func(tx *crdt.Tx) error {
		tx.Set("name", []byte("edge-1"), false)
		_, err := tx.Incr("visits", 3)
		return err
	})

	pull(device, edge, now)
	pull(edge, device, now)

	visits, _, _ := device.View(now).Get("visits")
	name, _, _ := device.View(now).Get("name")
	fmt.Printf("visits %s, name %s, equal %v\n", visits, name, device.Digest() == edge.Digest())
	// Output: visits 5, name edge-1, equal true
}

// pull brings to everything that from has and it lacks.
func pull(to, from *crdt.Region, now int64) {
	receiver := to.NewReceiver()
	peer, err := crdt.DecodeHello(to.Hello())
	if err != nil {
		panic(err)
	}
	answer := from.NewPull(peer)
	for chunk := answer.Next(256 << 10); chunk != nil; chunk = answer.Next(256 << 10) {
		if err := receiver.Merge(chunk, now); err != nil {
			panic(err)
		}
	}
}

// Removing an entry takes what was seen of it, and no more: an increment made meanwhile stays.
func ExampleTx_Del() {
	const now = 1_800_000_000_000
	a := crdt.NewRegion(crdt.Config{Name: "default", Self: crdt.NewOrigin("a", crdt.Nonce{1})})
	b := crdt.NewRegion(crdt.Config{Name: "default", Self: crdt.NewOrigin("b", crdt.Nonce{1})})
	_ = a.Update(now, func(tx *crdt.Tx) error { _, err := tx.Incr("n", 10); return err })
	pull(b, a, now)
	_ = a.Update(now, func(tx *crdt.Tx) error { _, err := tx.Incr("n", 1); return err })
	_ = b.Update(now, func(tx *crdt.Tx) error { tx.Del("n"); return nil })
	pull(a, b, now)
	n, _, _ := a.View(now).Get("n")
	fmt.Println(string(n))
	// Output: 1
}

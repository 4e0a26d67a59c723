package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/fabric"
)

// Two nodes write while they are apart, and converge when they meet. Mesh stands in for p2p.Host here.
func Example() {
	ctx := context.Background()
	mesh := fabric.NewMesh(1)
	open := func(name string) (*fabric.Region, *fabric.Fabric) {
		f, err := fabric.Open(ctx, fabric.Config{Name: name, Tier: "edge", Transport: mesh.Node(crdt.NodeID(name))})
		if err != nil {
			log.Fatal(err)
		}
		r, err := f.Region("shop")
		if err != nil {
			log.Fatal(err)
		}
		return r, f
	}
	kiosk, f := open("kiosk")
	defer f.Close()
	office, g := open("office")
	defer g.Close()
	mesh.Cut("kiosk", "office")
	must(fabric.CounterOf(kiosk, "sold").Add(ctx, 3))
	must(fabric.CounterOf(office, "sold").Add(ctx, 4))
	must(fabric.SetOf[string](kiosk, "open-orders").Add(ctx, "a17"))
	mesh.Heal("kiosk", "office")

	for {
		sold, _ := fabric.CounterOf(office, "sold").Value()
		if has, _ := fabric.SetOf[string](office, "open-orders").Has("a17"); has && sold == 7 {
			fmt.Println("sold", sold)
			return
		}
		time.Sleep(time.Millisecond)
	}
	// Output: sold 7
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// A follower is told the state, then what changes. It keeps the cursor of the last event, and goes on there after a break.
func ExampleFollow() {
	ctx := context.Background()
	f, r := alone(ctx)
	defer f.Close()
	read := func(v *crdt.View, key string) (string, int) {
		val, ok, _ := v.Get(key)
		if !ok {
			return "gone", 0
		}
		return string(val), len(val)
	}
	var cursor fabric.Cursor
	follow := func() {
		for e, err := range fabric.Follow(ctx, r, fabric.FollowConfig{Prefix: "door:", From: cursor}, read) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(strings.TrimSpace(fmt.Sprint(e.Kind, " ", e.Key, " ", e.Value)))
			if cursor = e.Cursor; e.Kind == fabric.EventCaught {
				return
			}
		}
	}
	door := fabric.RegisterOf[string](r, "door:1")
	if err := door.Set(ctx, "open"); err != nil {
		log.Fatal(err)
	}
	follow()
	if err := door.Set(ctx, "shut"); err != nil {
		log.Fatal(err)
	}
	follow()
	// Output:
	// entry door:1 open
	// caught-up
	// entry door:1 shut
	// caught-up
}

// A token says what a session has seen. It may travel as text, to another node too.
func ExampleRegion_At() {
	ctx := context.Background()
	f, r := alone(ctx)
	defer f.Close()
	must(fabric.CounterOf(r, "visits").Add(ctx, 1))
	text := r.Token().String()

	token := must(fabric.ParseToken(text))
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := r.At(ctx, token); err != nil { // a *fabric.StaleError says what is missing
		log.Fatal(err)
	}
	fmt.Println(fabric.CounterOf(r, "visits").Value())
	// Output: 1 <nil>
}

// Release waits until others have what was written here; Acquire brings what they have.
func ExampleRegion_Release() {
	ctx := context.Background()
	f, r := alone(ctx)
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	must(fabric.CounterOf(r, "orders").Add(ctx, 1))
	_, err := r.Release(ctx, 1)
	fmt.Println(err)
	// Output: fabric: stale: region "shop": 0 of 1 members are known to have it
}

// A lease has one holder at a time. Its token outlives it: what it guards refuses what an earlier holder sent.
func ExampleRegion_AcquireLease() {
	ctx := context.Background()
	f, err := fabric.Open(ctx, fabric.Config{Name: "site-1", Tier: "edge"})
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.SetVoters(ctx, []string{"site-1"}); err != nil { // once in the life of a fabric, with three or five nodes
		panic(err)
	}
	r, err := f.Region("shop")
	if err != nil {
		panic(err)
	}

	// What is guarded keeps the highest token that it has seen beside its state, and refuses older ones.
	type price struct {
		Cents int
		Token uint64
	}
	var shelf price
	write := func(cents int, token uint64) bool {
		if token < shelf.Token {
			return false
		}
		shelf = price{cents, token}
		return true
	}

	ann, err := r.AcquireLease(ctx, "prices", time.Minute, "ann")
	if err != nil {
		panic(err)
	}
	fmt.Println("ann writes:", write(100, ann.Token()))
	_, err = r.AcquireLease(ctx, "prices", time.Minute, "bob")
	var held *fabric.LeaseHeldError
	if errors.As(err, &held) {
		fmt.Println("bob has to wait for", held.Owner)
	}
	if err := ann.Release(ctx); err != nil {
		panic(err)
	}
	bob, err := r.AcquireLease(ctx, "prices", time.Minute, "bob")
	if err != nil {
		panic(err)
	}
	fmt.Println("bob writes:", write(110, bob.Token()))
	fmt.Println("what ann sent before comes late:", write(90, ann.Token()))
	// Output:
	// ann writes: true
	// bob has to wait for ann
	// bob writes: true
	// what ann sent before comes late: false
}

// Keys gives keys in byte order, a page at a time.
func ExampleRegion_Keys() {
	ctx := context.Background()
	f, r := alone(ctx)
	defer f.Close()
	for _, city := range []string{"Oslo", "Bergen", "Narvik"} {
		must(fabric.CounterOf(r, "sold:"+city).Add(ctx, 1))
	}
	for after, more := "", true; more; {
		var page []fabric.KeyInfo
		page, more, _ = r.Keys("sold:", after, 2)
		for _, k := range page {
			fmt.Println(k.Key)
			after = k.Key
		}
	}
	// Output:
	// sold:Bergen
	// sold:Narvik
	// sold:Oslo
}

// alone opens a node that is on its own, in memory.
func alone(ctx context.Context) (*fabric.Fabric, *fabric.Region) {
	f := must(fabric.Open(ctx, fabric.Config{Name: "kiosk"}))
	return f, must(f.Region("shop"))
}

// Messages are for what happens now: who is not there does not get them.
func ExampleFabric_Subscribe() {
	mesh := fabric.NewMesh(1)
	here, err := fabric.Open(context.Background(), fabric.Config{Name: "here", Transport: mesh.Node("here")})
	if err != nil {
		log.Fatal(err)
	}
	defer here.Close()
	alarms, err := here.Subscribe(fabric.ChannelPrefix("alarm:"))
	if err != nil {
		log.Fatal(err)
	}
	if _, _, err := here.Publish("alarm:door", []byte("open")); err != nil {
		log.Fatal(err)
	}
	m, err := alarms.Next(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", m.Channel, m.Payload)
	// Output: alarm:door: open
}

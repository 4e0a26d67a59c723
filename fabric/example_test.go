package fabric_test

import (
	"context"
	"fmt"
	"log"
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

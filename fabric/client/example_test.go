package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/fabric/client"
)

// open gives a client of a node in memory. With client.Dial("http://127.0.0.1:7380", "") it would be one of a daemon, and nothing else would change.
func open(ctx context.Context) client.Client {
	f, err := fabric.Open(ctx, fabric.Config{Name: "kiosk"})
	if err != nil {
		log.Fatal(err)
	}
	return client.Embedded(f)
}

func Example() {
	ctx := context.Background()
	c := open(ctx)
	fmt.Println(client.CounterOf(c, "shop", "sold").Add(ctx, 3))
	// Output: 3 <nil>
}

// Update looks at the old value, and is tried again where somebody else wrote at this node meanwhile.
func ExampleRegister_Update() {
	ctx := context.Background()
	c := open(ctx)
	type order struct {
		Table int
		State string
	}
	r := client.RegisterOf(c, "shop", "order:17", fabric.JSON[order]{})
	if err := r.Set(ctx, order{4, "open"}); err != nil {
		log.Fatal(err)
	}
	if err := r.Update(ctx, func(o order) (order, error) { o.State = "paid"; return o, nil }); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Get(ctx))
	// Output: {4 paid} <nil>
}

// Write does several operations in one step.
func ExampleClient_write() {
	ctx := context.Background()
	c := open(ctx)
	one, state := int64(1), "open"
	_, err := c.Write(ctx, "shop",
		client.Op{Op: "counter/add", Key: "sold", Args: client.Args{By: &one}},
		client.Op{Op: "register/set", Key: "order:17", IfNoneMatch: "*", Args: client.Args{Value: &state}},
	)
	if err != nil {
		log.Fatal(err)
	}
	for k, err := range c.Keys(ctx, "shop", "") {
		fmt.Println(k.Key, k.Type, err)
	}
	// Output:
	// order:17 string <nil>
	// sold string <nil>
}

// Watch goes on at the cursor of the last event.
func ExampleClient_watch() {
	ctx := context.Background()
	c := open(ctx)
	sold, cursor := client.CounterOf(c, "shop", "sold"), ""
	for range 2 {
		if _, err := sold.Add(ctx, 1); err != nil {
			log.Fatal(err)
		}
		for ev, err := range c.Watch(ctx, "shop", client.WatchConfig{Cursor: cursor}) {
			if err != nil {
				log.Fatal(err)
			}
			if cursor = ev.Cursor; ev.Event == "caught-up" {
				break
			}
			fmt.Println(ev.Entry.Key, *ev.Entry.Value)
		}
	}
	// Output:
	// sold 1
	// sold 2
}

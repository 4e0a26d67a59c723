package offheap_test

import (
	"fmt"
	"time"

	"github.com/edgemem/edgemem/tiers/offheap"
)

func Example() {
	heap, err := offheap.New(offheap.Config{})
	if err != nil {
		panic(err)
	}
	values := heap.NewPool(offheap.Value)

	ref, b := values.Alloc(11)
	copy(b, "hello there")
	fmt.Printf("%s\n", values.Bytes(ref))

	u := values.Usage()
	fmt.Println(u.Requested, "bytes asked for,", u.Used, "used")

	values.Free(ref)
	values.Trim(time.Now(), 0)
	heap.Trim(time.Now(), 0)
	fmt.Println(heap.Stats().Mapped, "bytes mapped")
	if err := heap.Close(); err != nil {
		panic(err)
	}
	// Output:
	// hello there
	// 11 bytes asked for, 16 used
	// 0 bytes mapped
}

package wire_test

import (
	"fmt"

	"github.com/edgemem/edgemem/test/lab/wire"
)

// A link as bad as a phone's, and worse in one respect.
func ExampleParse() {
	c, err := wire.Parse("mobile,loss=10%")
	fmt.Println(c, err)
	// Output: 30ms+30ms, loss 10%, duplicates 0.5%, reordered 1%, 500 kB/s <nil>
}

// Two namespaces, made with `ip netns add`, are connected by a bad link in one direction and a perfect one in the other.
func ExampleSwitch() {
	s := wire.New(42)
	defer s.Close()
	for _, name := range []string{"left", "right"} {
		card, err := wire.OpenTAP("/run/netns/"+name, "eth0")
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := s.Attach(name, card); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := s.Set("left", "right", wire.Presets["mobile"]); err != nil {
		fmt.Println(err)
	}
	// Now give the cards addresses: ip -n left addr add 10.0.0.1/24 dev eth0; ip -n left link set eth0 up …
}

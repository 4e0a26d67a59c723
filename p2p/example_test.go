package p2p_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/edgemem/edgemem/crdt"
	"github.com/edgemem/edgemem/p2p"
)

// Two nodes on one machine: the first founds a fabric, the second joins it with a ticket.
func Example() {
	dir, err := os.MkdirTemp("", "edgemem")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	arrived := make(chan string, 1)
	open := func(name, ticket string) *p2p.Host {
		h, err := p2p.Open(ctx, p2p.Config{Dir: dir + "/" + name, Name: name, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Ticket: ticket})
		if err != nil {
			panic(err)
		}
		err = h.Serve(
			func(_ crdt.NodeID, peer, tier string, up bool) {
				if up {
					arrived <- fmt.Sprintf("%s sees %s, a %s", name, peer, tier)
				}
			},
			func(crdt.NodeID, []byte) {},
			func(_ crdt.NodeID, s io.ReadWriteCloser) { s.Close() },
		)
		if err != nil {
			panic(err)
		}
		return h
	}

	first := open("first", "")
	defer first.Close()
	ticket, err := first.Invite(p2p.InviteOptions{})
	if err != nil {
		panic(err)
	}
	second := open("second", ticket)
	defer second.Close()

	a, b := <-arrived, <-arrived
	fmt.Println(min(a, b))
	fmt.Println(max(a, b))
	// Output:
	// first sees second, a device
	// second sees first, a device
}

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/sync"
	crdt "github.com/ipfs/go-ds-crdt"
	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"net"
)

const topicName = "bench"

// A node is one replica in memory: the fastest store that go-ds-crdt can have, so that what is
// measured is the replication and not the disk.
type node struct {
	host  host.Host // nil for a node alone
	store *sync.MutexDatastore
	crdt  *crdt.Datastore
	stop  context.CancelFunc
}

func (n *node) close() {
	n.stop()
	_ = n.crdt.Close() // the process ends right after
	if n.host != nil {
		_ = n.host.Close()
	}
}

// openAlone gives a replica without a network.
func openAlone(ctx context.Context, opts *crdt.Options) (*node, error) {
	_, stop := context.WithCancel(ctx)
	n := &node{store: sync.MutexWrap(ds.NewMapDatastore()), stop: stop}
	bs := blockstore.NewBlockstore(n.store)
	return n, n.openReplica(bs, offline.Exchange(bs), nil, opts)
}

// openNode gives a replica that listens on a loopback TCP address, "127.0.0.1:0" for a free port.
func openNode(ctx context.Context, listen string, opts *crdt.Options) (*node, error) {
	ctx, stop := context.WithCancel(ctx)
	n := &node{store: sync.MutexWrap(ds.NewMapDatastore()), stop: stop}
	addr, err := tcpMultiaddr(listen)
	if err != nil {
		return nil, err
	}
	if n.host, err = libp2p.New(libp2p.ListenAddrs(addr)); err != nil {
		return nil, err
	}
	ps, err := pubsub.NewGossipSub(ctx, n.host)
	if err != nil {
		return nil, err
	}
	bcast, err := crdt.NewPubSubBroadcaster(ctx, ps, topicName)
	if err != nil {
		return nil, err
	}
	bs := blockstore.NewBlockstore(n.store)
	swap := bitswap.New(ctx, bsnet.NewFromIpfsHost(n.host), nil, bs)
	return n, n.openReplica(bs, swap, bcast, opts)
}

func (n *node) openReplica(bs blockstore.Blockstore, ex exchange.Interface, b crdt.Broadcaster, opts *crdt.Options) error {
	dag := merkledag.NewDAGService(blockservice.New(bs, ex))
	replica, err := crdt.New(n.store, ds.NewKey("/bench"), dag, b, opts)
	n.crdt = replica
	return err
}

// connect dials to at addr, or at its own address when addr is empty.
func (n *node) connect(ctx context.Context, to *node, addr string) error {
	info := peer.AddrInfo{ID: to.host.ID(), Addrs: to.host.Addrs()}
	if addr != "" {
		ma, err := tcpMultiaddr(addr)
		if err != nil {
			return err
		}
		info.Addrs = []multiaddr.Multiaddr{ma}
	}
	return n.host.Connect(ctx, info)
}

func tcpMultiaddr(addr string) (multiaddr.Multiaddr, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	return manet.FromNetAddr(tcp)
}

// options are the defaults, with heads announced often, so that catching up does not wait a minute
// for the first announcement.
func options(put func(ds.Key)) *crdt.Options {
	opts := crdt.DefaultOptions()
	opts.RebroadcastInterval = 100 * time.Millisecond
	if put != nil {
		opts.PutHook = func(k ds.Key, _ []byte) { put(k) }
	}
	return opts
}

// Keys of 16 bytes as they are stored, values of 100 random bytes, as in every other benchmark here.
const valueBytes = 100

func key(i int) ds.Key { return ds.RawKey(fmt.Sprintf("/k:%013d", i)) }

const keyBytes = 16

func value() []byte {
	v := make([]byte, valueBytes)
	if _, err := rand.Read(v); err != nil {
		panic(err) // the system has no randomness: nothing can be measured
	}
	return v
}

// putAll writes n entries with keys taken modulo distinct, batch at a time, or one by one for 1.
func (n *node) putAll(ctx context.Context, count, distinct, batch int) error {
	if batch <= 1 {
		for i := range count {
			if err := n.crdt.Put(ctx, key(i%distinct), value()); err != nil {
				return err
			}
		}
		return nil
	}
	for start := 0; start < count; start += batch {
		b, err := n.crdt.Batch(ctx)
		if err != nil {
			return err
		}
		for i := start; i < min(start+batch, count); i++ {
			if err := b.Put(ctx, key(i%distinct), value()); err != nil {
				return err
			}
		}
		if err := b.Commit(ctx); err != nil {
			return err
		}
	}
	return nil
}

package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/options"
	datastore "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	badger "github.com/ipfs/go-ds-badger"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/record"
	//lint:ignore SA1019 libp2p means to move it out, not to change it: there is no other peerstore on a datastore
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoreds"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// memberAddrTTL is how long an address of a member is kept without hearing from the member. Under a
	// century, because libp2p takes longer ones for addresses in use and never drops them.
	memberAddrTTL = 2 * 365 * 24 * time.Hour
	// durableTTL divides what goes to disk from what is only tried once.
	durableTTL = time.Hour
	// bookCache is how many peers' addresses are kept in memory.
	bookCache = 256
)

var membersPrefix = datastore.NewKey("/edgemem/members")

// durableAddrs is what this package uses of the address book of pstoreds, one call at a time: there, a reader that
// found no record puts its empty one into the cache after a writer has put the full one there, and the peer is without
// addresses until the cache forgets it.
type durableAddrs struct {
	mu   sync.Mutex // a leaf
	book interface {
		peerstore.AddrBook
		peerstore.CertifiedAddrBook
		Close() error
	}
}

func (d *durableAddrs) add(p peer.ID, addrs []ma.Multiaddr, ttl time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.book.AddAddrs(p, addrs, ttl)
}

func (d *durableAddrs) addrs(p peer.ID) []ma.Multiaddr {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.book.Addrs(p)
}

func (d *durableAddrs) clear(p peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.book.ClearAddrs(p)
}

func (d *durableAddrs) consume(env *record.Envelope, ttl time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.book.ConsumePeerRecord(env, ttl)
	return err
}

func (d *durableAddrs) record(p peer.ID) *record.Envelope {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.book.GetPeerRecord(p)
}

// book is libp2p's peerstore: members' addresses durable through go-ds-badger, all else in memory. What a
// stranger can make libp2p note down, such as its key, never reaches the disk.
//
// Nothing in it is needed to be a member. A rebooted node finds its peers by it, with no network service;
// without it, through the issuer, static addresses or mDNS.
type book struct {
	peerstore.Peerstore // in memory
	durable             durableAddrs
	store               datastore.Batching
}

// openBook opens the peerstore in dir. A damaged one is moved aside and a new one begun.
func openBook(ctx context.Context, dir string, log *slog.Logger) (*book, error) {
	if _, err := os.ReadDir(dir); errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("p2p: open the peerstore: %w; it must belong to the user that runs the node", err)
	}
	store, err := openStore(dir)
	if errors.Is(err, ErrLocked) {
		return nil, err
	}
	if err != nil {
		log.Warn("p2p: the peerstore is damaged; moved aside, peers will be learned anew", "dir", dir, "to", dir+".damaged", "err", err)
		if store, err = replaceStore(dir); err != nil {
			return nil, fmt.Errorf("p2p: open the peerstore %s: %w", dir, err)
		}
	}
	b, err := newBook(ctx, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return b, nil
}

func openStore(dir string) (*badger.Datastore, error) {
	store, err := badger.NewDatastore(dir, smallBadger())
	if err != nil && strings.Contains(err.Error(), "Another process is using this Badger database") {
		return nil, fmt.Errorf("%w: another edgemem has %s open; stop it, or give this one a directory of its own", ErrLocked, dir)
	}
	return store, err
}

// replaceStore keeps one damaged peerstore, for whoever wants to look.
func replaceStore(dir string) (*badger.Datastore, error) {
	if err := errors.Join(os.RemoveAll(dir+".damaged"), os.Rename(dir, dir+".damaged")); err != nil {
		return nil, err
	}
	return openStore(dir)
}

// smallBadger fits Badger to a few hundred small records on a device: with its defaults it would take
// hundreds of megabytes.
func smallBadger() *badger.Options {
	o := badger.DefaultOptions
	o.MaxTableSize = 1 << 20
	o.ValueLogFileSize = 2 << 20
	o.LevelOneSize = 4 << 20
	o.NumMemtables = 1
	o.NumLevelZeroTables = 1
	o.NumLevelZeroTablesStall = 2
	o.NumCompactors = 1
	o.TableLoadingMode = options.FileIO
	o.EventLogging = false
	o.GcInterval = time.Hour
	return &o
}

func newBook(ctx context.Context, store datastore.Batching) (*book, error) {
	mem, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	opts := pstoreds.DefaultOpts()
	opts.CacheSize = bookCache
	opts.MaxAddrsPerPeer = 2 * addrsMax
	opts.GCPurgeInterval = 24 * time.Hour
	durable, err := pstoreds.NewAddrBook(ctx, store, opts)
	if err != nil {
		return nil, err
	}
	return &book{Peerstore: mem, durable: durableAddrs{book: durable}, store: store}, nil
}

// bookPatience bounds how long the peerstore may take to close. On a full disk its Badger tries for ever.
const bookPatience = 3 * time.Second

func (b *book) Close() error {
	err := errors.Join(b.durable.book.Close(), b.Peerstore.Close())
	closed := make(chan error, 1) // one answer, never blocks
	go func() { closed <- b.store.Close() }()
	select {
	case storeErr := <-closed:
		return errors.Join(err, storeErr)
	case <-time.After(bookPatience):
		return err // it is left as by a process that was killed, and nothing in it is missed
	}
}

// AddAddrs implements peerstore.AddrBook.
func (b *book) AddAddrs(p peer.ID, addrs []ma.Multiaddr, ttl time.Duration) {
	if ttl >= durableTTL {
		b.durable.add(p, addrs, ttl)
		return
	}
	b.Peerstore.AddAddrs(p, addrs, ttl)
}

// Addrs implements peerstore.AddrBook.
func (b *book) Addrs(p peer.ID) []ma.Multiaddr {
	return ma.Unique(append(b.durable.addrs(p), b.Peerstore.Addrs(p)...))
}

// PeerInfo implements peerstore.Peerstore.
func (b *book) PeerInfo(p peer.ID) peer.AddrInfo { return peer.AddrInfo{ID: p, Addrs: b.Addrs(p)} }

// storedMember is what the book keeps of a member besides its signed addresses.
type storedMember struct {
	cert     *Certificate
	contact  contact
	lastSeen time.Time
}

const storedVersion = 1

func memberKey(id peer.ID) datastore.Key { return membersPrefix.ChildString(id.String()) }

// saveMember remembers a member over restarts. Losing the last save in a crash is harmless: it is said
// again at the next connection.
func (b *book) saveMember(m storedMember) error {
	value := appendBytes([]byte{storedVersion}, m.cert.marshal())
	value = binary.AppendUvarint(value, uint64(max(0, m.lastSeen.Unix())))
	err := b.store.Put(context.Background(), memberKey(m.cert.Peer), value)
	return errors.Join(err, b.saveContact(m.contact))
}

func (b *book) saveContact(c contact) error {
	if len(c.envelope) == 0 {
		return nil
	}
	env, err := record.UnmarshalEnvelope(c.envelope)
	if err != nil {
		return err
	}
	return b.durable.consume(env, memberAddrTTL)
}

func (b *book) forgetMember(id peer.ID) error {
	b.durable.clear(id)
	return b.store.Delete(context.Background(), memberKey(id))
}

// loadMembers reads back all members, at most limit; a record that cannot be read is skipped.
func (b *book) loadMembers(limit int) ([]storedMember, error) {
	results, err := b.store.Query(context.Background(), query.Query{Prefix: membersPrefix.String(), Limit: limit})
	if err != nil {
		return nil, err
	}
	defer results.Close()
	var members []storedMember
	for r := range results.Next() {
		if r.Error != nil {
			return members, r.Error
		}
		if m, err := b.decodeMember(r.Value); err == nil {
			members = append(members, m)
		}
	}
	return members, nil
}

func (b *book) decodeMember(value []byte) (m storedMember, err error) {
	d := decoder{rest: value}
	if v := d.byte(); d.err == nil && v != storedVersion {
		return m, errVersion
	}
	cert := d.bytes(certificateBytesMax)
	m.lastSeen = d.instant()
	if err := d.done(); err != nil {
		return m, err
	}
	if m.cert, err = parseCertificate(cert); err != nil {
		return m, err
	}
	m.contact = b.contactOf(m.cert.Peer)
	return m, nil
}

// contactOf is the newest signed address record of a peer, empty if none is stored.
func (b *book) contactOf(id peer.ID) contact {
	if env := b.durable.record(id); env != nil {
		if raw, err := env.Marshal(); err == nil {
			if c, err := parseContact(raw, id); err == nil {
				return c
			}
		}
	}
	return contact{id: id}
}

package p2p

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func TestBookKeepsMembers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "peers")
	c := fixedCertificate(t)
	ct, err := parseContact(sealedContact(t), c.Peer)
	if err != nil {
		t.Fatal(err)
	}
	seen := time.Unix(1_800_000_123, 0)
	b := mustOpenBook(t, dir)
	if err := b.saveMember(storedMember{c, ct, seen}); err != nil {
		t.Fatal(err)
	}
	closeBook(t, b)

	b = mustOpenBook(t, dir)
	defer closeBook(t, b)
	got, err := b.loadMembers(membersMax)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d members, %v", len(got), err)
	}
	if m := got[0]; m.cert.Serial != c.Serial || !m.lastSeen.Equal(seen) || m.contact.seq != ct.seq || !sameAddrs(m.contact.addrs, ct.addrs) {
		t.Errorf("got %+v", m)
	}
	if addrs := b.Addrs(c.Peer); len(addrs) != len(ct.addrs) {
		t.Errorf("addresses %v, want %v", addrs, ct.addrs)
	}
	if err := b.forgetMember(c.Peer); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.loadMembers(membersMax); len(got) != 0 || len(b.Addrs(c.Peer)) != 0 {
		t.Errorf("still there: %v, %v", got, b.Addrs(c.Peer))
	}
}

// Addresses that are looked up while they come are found from then on.
func TestBookFindsWhatItWasJustTold(t *testing.T) {
	t.Parallel()
	b := mustOpenBook(t, filepath.Join(t.TempDir(), "peers"))
	defer closeBook(t, b)
	for n := range byte(255) {
		ct := contact{id: fixedID(t, n), envelope: sealedBy(t, n)}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { b.Addrs(ct.id) })
		}
		wg.Go(func() {
			if err := b.saveContact(ct); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if len(b.Addrs(ct.id)) == 0 {
			t.Fatalf("peer %d has no addresses", n)
		}
	}
}

// What strangers leave behind, and addresses that are tried once, are not written to disk.
func TestBookKeepsStrangersInMemory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "peers")
	id := fixedID(t, 5)
	b := mustOpenBook(t, dir)
	key, err := libp2pKey(fixedKey(5))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.AddPubKey(id, key.GetPublic()); err != nil {
		t.Fatal(err)
	}
	b.AddAddrs(id, fixedTicket(t).addrs, time.Minute)
	if len(b.Addrs(id)) == 0 {
		t.Error("not even in memory")
	}
	closeBook(t, b)
	b = mustOpenBook(t, dir)
	defer closeBook(t, b)
	if len(b.Addrs(id)) != 0 || len(b.PeersWithKeys()) != 0 {
		t.Errorf("kept %v", b.PeerInfo(id))
	}
}

// Whatever happens to whichever of its files, the peerstore opens: as far as it can be read, or empty.
func TestDamagedBookOpens(t *testing.T) {
	for what, damage := range map[string]func([]byte) []byte{
		"flipped": func(b []byte) []byte {
			for i := range b {
				b[i] ^= 0x55
			}
			return b
		},
		"cut":   func(b []byte) []byte { return b[:len(b)/2] },
		"empty": func([]byte) []byte { return nil },
	} {
		for _, file := range []string{"MANIFEST", "000000.vlog", "000001.sst"} {
			t.Run(file+" "+what, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "peers")
				b := mustOpenBook(t, dir)
				if err := b.saveMember(storedMember{cert: fixedCertificate(t)}); err != nil {
					t.Fatal(err)
				}
				closeBook(t, b)
				path := filepath.Join(dir, file)
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, damage(data), privateFile); err != nil {
					t.Fatal(err)
				}
				b = mustOpenBook(t, dir)
				defer closeBook(t, b)
				if err := b.saveMember(storedMember{cert: fixedCertificate(t)}); err != nil {
					t.Errorf("not usable: %v", err)
				}
			})
		}
	}
}

func TestBookIsLocked(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "peers")
	b := mustOpenBook(t, dir)
	defer closeBook(t, b)
	if _, err := openBook(t.Context(), dir, quiet); !errors.Is(err, ErrLocked) {
		t.Errorf("second: %v, want ErrLocked", err)
	}
	if _, err := os.Stat(dir + ".damaged"); err == nil {
		t.Error("a peerstore in use was moved aside")
	}
}

func mustOpenBook(t *testing.T, dir string) *book {
	t.Helper()
	b, err := openBook(t.Context(), dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func closeBook(t *testing.T, b *book) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

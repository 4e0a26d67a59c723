package p2p

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/crdt"
)

// reopen closes nothing: the caller does. It opens a host on the same directory.
func mustOpen(t *testing.T, c Config) *Host {
	t.Helper()
	h, err := Open(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func mustClose(t *testing.T, h *Host) {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

func openFails(t *testing.T, c Config, want error, says ...string) {
	t.Helper()
	h, err := Open(within(t), c)
	if err == nil {
		h.Close()
		t.Fatalf("opened; want %v", want)
	}
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

func TestIdentityAndMembershipSurviveRestart(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	h := mustOpen(t, c)
	id, fabric := h.Self(), h.FabricID()
	mustClose(t, h)

	c.Name, c.Tier = "renamed", "cloud"
	h = mustOpen(t, c)
	defer mustClose(t, h)
	if h.Self() != id || h.FabricID() != fabric {
		t.Errorf("became %v of %v, was %v of %v", h.Self(), h.FabricID(), id, fabric)
	}
	if h.Name() != "alpha" || h.Tier() != "edge" {
		t.Errorf("the certificate says %q, %q", h.Name(), h.Tier())
	}
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	h := mustOpen(t, c)
	if _, err := h.Invite(InviteOptions{}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, h)
	for _, file := range []string{nodeKeyFile, authorityFile, membershipFile, ticketsFile} {
		info, err := os.Stat(filepath.Join(c.Dir, folderName, file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != privateFile {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	left, _ := filepath.Glob(filepath.Join(c.Dir, folderName, "*.new"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Every flipped bit and every truncation of the files that make up the identity is an error that names the
// file; none is silently a new identity or a new fabric.
func TestDamagedIdentity(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	mustClose(t, mustOpen(t, c))
	dir := filepath.Join(c.Dir, folderName)
	for _, file := range []string{nodeKeyFile, authorityFile, membershipFile} {
		path := filepath.Join(dir, file)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			if file != membershipFile && whole[i] == '\n' {
				continue // the end of the line carries nothing
			}
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= 1
			wantDamaged(t, dir, path, damaged)
		}
		for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 2} {
			wantDamaged(t, dir, path, whole[:n])
		}
		if err := os.WriteFile(path, whole, privateFile); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := loadMembership(dir); err != nil {
		t.Fatalf("restored: %v", err)
	}
}

func wantDamaged(t *testing.T, dir, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, privateFile); err != nil {
		t.Fatal(err)
	}
	_, err := loadMembership(dir)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Fatalf("with %d bytes %q: %v; want ErrDamaged naming %s", len(content), content, err, path)
	}
}

func TestMissingKeyOfAMember(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	mustClose(t, mustOpen(t, c))
	key := filepath.Join(c.Dir, folderName, nodeKeyFile)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	openFails(t, c, ErrDamaged, key, "missing")
}

// A crash after the authority was made, before the membership, is completed by the next start.
func TestFoundingIsCompleted(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	h := mustOpen(t, c)
	id, fabric := h.Self(), h.FabricID()
	mustClose(t, h)
	if err := os.Remove(filepath.Join(c.Dir, folderName, membershipFile)); err != nil {
		t.Fatal(err)
	}
	h = mustOpen(t, c)
	defer mustClose(t, h)
	if h.Self() != id || h.FabricID() != fabric {
		t.Errorf("became %v of %v, was %v of %v", h.Self(), h.FabricID(), id, fabric)
	}
}

func TestTicketIsForOneNode(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	ticket := a.invite(InviteOptions{})

	first := testConfig(t, "first")
	first.Ticket = ticket
	b := mustOpen(t, first)
	defer mustClose(t, b)

	second := testConfig(t, "second")
	second.Ticket = ticket
	openFails(t, second, ErrTicketUsed, a.FabricID().String(), "edgemem invite")
}

// The answer to the first redemption may be lost: the same node may ask again, and gets the same
// certificate, even after the issuer restarted.
func TestTicketIsRedeemedAgainByTheSameNode(t *testing.T) {
	t.Parallel()
	ca := testConfig(t, "alpha")
	a := mustOpen(t, ca)
	text, err := a.Invite(InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := parseTicket(text)
	if err != nil {
		t.Fatal(err)
	}
	o := newOutsider(t)
	first, err := a.invites.redeem(ticket.secret, o.id, "beta", "edge")
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, a)

	a = mustOpen(t, ca)
	defer mustClose(t, a)
	again, err := a.invites.redeem(ticket.secret, o.id, "beta", "edge")
	if err != nil {
		t.Fatal(err)
	}
	if again.Serial != first.Serial {
		t.Error("another certificate for the same question")
	}
	if renamed, err := a.invites.redeem(ticket.secret, o.id, "gamma", "edge"); err != nil || renamed.Name != "gamma" {
		t.Errorf("with another name: %v, %v", renamed, err)
	}
	if _, err := a.invites.redeem(ticket.secret, newOutsider(t).id, "beta", "edge"); !errors.Is(err, ErrTicketUsed) {
		t.Errorf("another node: %v, want ErrTicketUsed", err)
	}
}

func TestTicketWithSeveralUses(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "one")
	c.Ticket = a.invite(InviteOptions{Uses: 2})
	mustClose(t, mustOpen(t, c))
	c2 := testConfig(t, "two")
	c2.Ticket = c.Ticket
	mustClose(t, mustOpen(t, c2))
	c3 := testConfig(t, "three")
	c3.Ticket = c.Ticket
	openFails(t, c3, ErrTicketUsed)
}

func TestTicketExpires(t *testing.T) {
	t.Parallel()
	now := newTestClock()
	ca := testConfig(t, "alpha")
	ca.Now = now.read
	a := start(t, ca)
	c := testConfig(t, "late")
	c.Ticket = a.invite(InviteOptions{TTL: time.Hour})
	now.advance(time.Hour)
	openFails(t, c, ErrTicketExpired, "edgemem invite")
}

func TestTicketOfAnUnknownSecret(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	ticket, err := parseTicket(a.invite(InviteOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	ticket.secret[0] ^= 1
	c := testConfig(t, "beta")
	c.Ticket = ticket.String()
	openFails(t, c, ErrTicketRefused)
}

// One mistyped character anywhere is found before anything is dialled or created.
func TestTicketTypos(t *testing.T) {
	t.Parallel()
	a := open(t, testConfig(t, "alpha"))
	ticket := a.invite(InviteOptions{})
	if strings.ContainsAny(ticket, " \n\t\"'") || len(ticket) > 400 {
		t.Errorf("a ticket of %d characters: %q", len(ticket), ticket)
	}
	for i := range ticket {
		typo := []byte(ticket)
		if typo[i]++; typo[i] == ticket[i] {
			continue
		}
		if _, err := parseTicket(string(typo)); !errors.Is(err, ErrTicketMalformed) {
			t.Fatalf("typo at %d: %v", i, err)
		}
	}
	for _, bad := range []string{"x", ticketPrefix, ticket[:len(ticket)-1], ticket + "a", strings.Repeat("a", 1<<16)} {
		c := testConfig(t, "beta")
		c.Ticket = bad
		openFails(t, c, ErrTicketMalformed, "edgemem invite")
		if _, err := os.Stat(filepath.Join(c.Dir, folderName)); err == nil {
			t.Error("a bad ticket left files behind")
		}
	}
	if _, err := parseTicket("  " + strings.ToUpper(ticket) + "\n"); err != nil {
		t.Errorf("blanks and upper case: %v", err)
	}
}

func TestIssuerUnreachable(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "beta")
	c.Ticket = a.invite(InviteOptions{})
	addr := a.net.ListenAddresses()[0].String()
	mustClose(t, a.Host)
	openFails(t, c, ErrUnreachable, addr, string(a.Self()))
}

func TestTicketOfAnotherFabric(t *testing.T) {
	t.Parallel()
	a, b := start(t, testConfig(t, "alpha")), open(t, testConfig(t, "beta"))
	c := b.cfg
	mustClose(t, b.Host)
	c.Ticket = a.invite(InviteOptions{})
	openFails(t, c, ErrOtherFabric, a.FabricID().String(), b.FabricID().String())

	// Also before the membership file exists, when only the authority does.
	if err := os.Remove(filepath.Join(c.Dir, folderName, membershipFile)); err != nil {
		t.Fatal(err)
	}
	openFails(t, c, ErrOtherFabric, a.FabricID().String(), b.FabricID().String())
}

func TestTicketForAMemberIsANote(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "beta")
	c.Ticket = a.invite(InviteOptions{})
	b := mustOpen(t, c)
	mustClose(t, b)
	c.Ticket = a.invite(InviteOptions{})
	mustClose(t, mustOpen(t, c))
	// The second ticket was not used up.
	c2 := testConfig(t, "gamma")
	c2.Ticket = c.Ticket
	mustClose(t, mustOpen(t, c2))
}

func TestOnlyTheAuthorityInvites(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	_, err := b.Invite(InviteOptions{})
	if !errors.Is(err, ErrNotAuthority) || !strings.Contains(err.Error(), "alpha") || !strings.Contains(err.Error(), string(a.Self())) {
		t.Errorf("error %v: want ErrNotAuthority naming alpha", err)
	}
}

func TestInviteOptions(t *testing.T) {
	t.Parallel()
	a := open(t, testConfig(t, "alpha"))
	for _, o := range []InviteOptions{{TTL: -1}, {TTL: inviteTTLMax + 1}, {Uses: -1}, {Uses: inviteUsesMax + 1}} {
		if _, err := a.Invite(o); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v, want ErrConfig", o, err)
		}
	}
}

func TestOutstandingTicketsAreBounded(t *testing.T) {
	t.Parallel()
	now := newTestClock()
	v, err := loadInvites(&membership{dir: t.TempDir()}, now.read, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range invitesMax {
		v.open[newSecret(t).key()] = &invite{Expiry: now.read().Add(time.Hour), Uses: 1}
	}
	if _, _, err := v.add(InviteOptions{TTL: time.Hour, Uses: 1}); !errors.Is(err, ErrTooManyTickets) {
		t.Errorf("one more: %v", err)
	}
	now.advance(time.Hour + inviteTTLDefault + time.Second)
	if _, _, err := v.add(InviteOptions{TTL: time.Hour, Uses: 1}); err != nil {
		t.Errorf("after they expired: %v", err)
	}
}

func TestDamagedTicketsFileVoidsTickets(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "alpha")
	a := mustOpen(t, c)
	text, err := a.Invite(InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, a)
	for _, content := range []string{"{", "null", `{"x":null}`} {
		if err := os.WriteFile(filepath.Join(c.Dir, folderName, ticketsFile), []byte(content), privateFile); err != nil {
			t.Fatal(err)
		}
		a = mustOpen(t, c)
		ticket, _ := parseTicket(text)
		if _, err := a.invites.redeem(ticket.secret, "x", "beta", "edge"); !errors.Is(err, ErrTicketRefused) {
			t.Errorf("%q: %v", content, err)
		}
		if _, err := a.Invite(InviteOptions{}); err != nil {
			t.Errorf("%q: invite: %v", content, err)
		}
		mustClose(t, a)
	}
}

// A node whose clock is wrong by decades still joins and talks: only expiry is judged, by each side's clock.
func TestClockInThePast(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "alpha"))
	c := testConfig(t, "beta")
	c.Now = func() time.Time { return time.Unix(86400, 0) }
	b := a.joined(c)
	connected(a, b)
	a.mustReach("hello", b)
}

func TestExpiredMemberIsDropped(t *testing.T) {
	t.Parallel()
	now := newTestClock()
	ca := testConfig(t, "alpha")
	ca.Now = now.read
	a := start(t, ca)
	b := a.joined(testConfig(t, "beta"))
	connected(a, b)
	now.advance(certificateLifetime + time.Hour)
	a.expire(now.read())
	a.awaitPeer(b.Self(), false)
	if p := a.Peers(); len(p) != 0 {
		t.Errorf("still listed: %+v", p)
	}
}

func TestIDIsThePeerID(t *testing.T) {
	t.Parallel()
	a := open(t, testConfig(t, "alpha"))
	if a.Self() != crdt.NodeID(a.id.String()) || !strings.HasPrefix(string(a.Self()), "12D3Koo") {
		t.Errorf("id %v", a.Self())
	}
}

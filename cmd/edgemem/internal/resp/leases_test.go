package resp

import (
	"strings"
	"testing"

	"github.com/edgemem/edgemem/fabric"
)

// EM.LEASE gives a lease to one at a time, and says who has it.
func TestLeases(t *testing.T) {
	t.Parallel()
	f, err := fabric.Open(t.Context(), fabric.Config{Name: "one", Tier: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	_, addr := start(t, func(c *Config) { c.Fabric = f })
	p, q := dial(t, addr), dial(t, addr)
	fails := func(want string, args ...string) {
		t.Helper()
		if r := p.do(args...); r.kind != '-' || !strings.HasPrefix(r.text, want) {
			t.Errorf("%q answers %v, want an error that begins with %q", args, r, want)
		}
	}
	fails("NOVOTERS ", "em.lease", "acquire", "till", "1000")
	fails("ERR ", "em.lease", "elect", "nobody")
	p.want("+OK", "em.lease", "elect", "one")
	p.want(`*["epoch" :1 "majority" :1 "votes-here" :1 "voters" *["one"]]`, "em.lease", "voters")
	r := p.do("em.lease", "acquire", "till", "60000", "owner", "ann")
	if r.kind != '*' || len(r.items) != 2 || r.items[0].kind != ':' {
		t.Fatalf("acquire answers %v", r)
	}
	token := r.items[0].text
	fails("HELD ", "em.lease", "acquire", "till", "1000")
	if r := q.do("em.lease", "show", "till"); !strings.HasPrefix(r.String(), `*["held" :1 "token" :`+token+` "owner" "ann" "left-ms" :`) {
		t.Errorf("show answers %v", r)
	}
	if r := q.do("em.lease", "renew", "till", token, "60000"); r.kind != ':' || len(r.text) != 5 {
		t.Errorf("renew answers %v", r)
	}
	fails("LOST ", "em.lease", "renew", "till", "999", "60000")
	q.want("+OK", "em.lease", "release", "till", token)
	q.want(`*["held" :0 "token" :`+token+` "owner" "ann" "left-ms" :0]`, "em.lease", "show", "till")
	for _, line := range []string{"acquire till", "acquire till 1", "acquire till x", "acquire till -1", "acquire till 9223372036854775807", "acquire till 1000 owner",
		"acquire till 1000 holder x", "renew till x 1000", "renew till -1 1000", "renew till 0 1000", "release till", "show", "elect", "steal till"} {
		if r := p.do(append([]string{"em.lease"}, strings.Fields(line)...)...); r.kind != '-' {
			t.Errorf("%s answers %v", line, r)
		}
	}
	p.want("+OK", "multi")
	fails("ERR ", "em.lease", "show", "till")
}

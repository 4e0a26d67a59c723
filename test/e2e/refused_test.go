package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// Exit codes, as `edgemem --help` documents them.
const (
	failed      = 1
	usage       = 2
	unreachable = 3
	notFound    = 4
)

// refuse starts a daemon that must end by itself, with one line that says why.
func refuse(t *testing.T, code int, pattern string, o harness.Options) {
	t.Helper()
	mustMatch(t, "the complaint", harness.NewNode(t, o).Refused(code), pattern)
}

func TestTicketsThatDoNotWork(t *testing.T) {
	t.Parallel()
	cloud := harness.Start(t, harness.Options{Name: "cloud", Tier: "cloud"})
	used := cloud.Ticket()
	harness.Start(t, harness.Options{Join: used})
	short := cloud.Ticket("--ttl", "1ms")
	fresh := cloud.Ticket()

	refuse(t, failed, `^--join: .*malformed ticket`, harness.Options{Join: "nonsense"})
	refuse(t, failed, `^--join: .*malformed ticket`, harness.Options{Join: garble(fresh)})
	refuse(t, failed, `^--join: .*malformed ticket`, harness.Options{Join: fresh[:len(fresh)/2]})
	refuse(t, failed, `^--join: .*ticket has been used`, harness.Options{Join: used})
	refuse(t, failed, `^--join: .*ticket has expired`, harness.Options{Join: short})

	other := harness.Start(t, harness.Options{Name: "other"})
	other.Stop()
	refuse(t, failed, `^--join: .*belongs to another fabric`, harness.Options{Name: "other", Dir: other.Dir, Join: fresh})

	// A ticket that was refused is not spent, and neither is the issuer.
	late := harness.Start(t, harness.Options{Name: "late", Join: fresh})
	harness.Connected(t, harness.Patience, 1, late)
	gone := cloud.Ticket()
	cloud.Stop()
	refuse(t, failed, `^--join: .*unreachable`, harness.Options{Join: gone})
}

// garble changes one character in the middle to another of the same alphabet.
func garble(ticket string) string {
	b := []byte(ticket)
	if i := len(b) / 2; b[i] == 'a' {
		b[i] = 'b'
	} else {
		b[i] = 'a'
	}
	return string(b)
}

func TestTakenPorts(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	s := n.Started().Node
	refuse(t, failed, `--resp `+s.RESP+` is taken`, harness.Options{RESP: s.RESP})
	refuse(t, failed, `--http `+s.HTTP+` is taken`, harness.Options{Args: []string{"--http", s.HTTP}})
	for _, listen := range s.Listen {
		addr, _, _ := strings.Cut(listen, "/p2p/")
		refuse(t, failed, `^--listen: .*`+addr+`.*taken`, harness.Options{Listen: []string{addr}})
	}
	if got := n.Do("PING"); got != "PONG" {
		t.Errorf("the daemon that has the ports answers %v", got)
	}
}

func TestDataDirectories(t *testing.T) {
	t.Parallel()
	dir := harness.ShortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, failed, `^--data-dir `+file+`: .*not a directory`, harness.Options{Dir: file})
	refuse(t, failed, `^--data-dir `+file+`/below: .*not a directory`, harness.Options{Dir: file + "/below"})
	if b, err := os.ReadFile(file); err != nil || string(b) != "not a directory" {
		t.Errorf("the file in the way now holds %q, %v", b, err)
	}
	unreadable(t, filepath.Join(dir, "unreadable"))
}

// unreadable starts a daemon on a directory that it has no rights to.
func unreadable(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n := harness.NewNode(t, harness.Options{Dir: dir})
	cmd := exec.Command(harness.Binary, n.Arguments()...)
	cmd.Env = harness.Environment()
	if os.Geteuid() == 0 {
		cmd = asNobody(t, cmd)
	} else if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	r := harness.RunCommand(t, "", cmd)
	if r.Code != failed {
		t.Errorf("exit code %d, want %d", r.Code, failed)
	}
	mustMatch(t, "the complaint", harness.Complaint(t, r), `^--data-dir `+dir+`: .*permission denied`)
}

// asNobody runs a command without root's rights, which no file mode holds back. The folders above it were
// made for their owner alone, so they are opened.
func asNobody(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	program := harness.Need(t, "setpriv", "util-linux")
	for _, dir := range []string{filepath.Dir(harness.Binary), filepath.Dir(cmd.Args[3])} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, info.Mode()|0o055); err != nil { // adds to a mode, which may be that of a shared folder
			t.Fatal(err)
		}
	}
	line := append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "--"}, cmd.Args...)
	nobody := exec.Command(program, line...)
	nobody.Env = cmd.Env
	return nobody
}

func TestTwoDaemonsOneDirectory(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	n.Do("SET", "k", "v")
	refuse(t, failed, `^--data-dir `+n.Dir+`: .*in use.* held by process \d+`, harness.Options{Dir: n.Dir})
	if got := strings.TrimSpace(n.CLI("get", "k")); got != "v" {
		t.Errorf("the first daemon answers %q", got)
	}
	n.Kill()
	harness.Start(t, harness.Options{Dir: n.Dir}) // its lock died with it
}

func TestConfigurationThatIsWrong(t *testing.T) {
	t.Parallel()
	dir := harness.ShortDir(t)
	file := filepath.Join(dir, "edgemem.yaml")
	if err := os.WriteFile(file, []byte("teir: edge\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	never := filepath.Join(dir, "never")
	refuse(t, usage, `unknown key "teir" in `+file+`; did you mean "tier"\?`, harness.Options{Dir: never, Args: []string{"--config", file}})
	refuse(t, usage, `tier: "clud".*did you mean "cloud"`, harness.Options{Dir: never, Tier: "clud"})
	refuse(t, usage, `resp: .*password`, harness.Options{Dir: never, RESP: "0.0.0.0:0"})
	refuse(t, usage, `resp: .*password`, harness.Options{Dir: never, RESP: ":0"})
	refuse(t, usage, `http: .*token`, harness.Options{Dir: never, Args: []string{"--http", "0.0.0.0:0", "--http-cert-file", "a.pem", "--http-key-file", "a.key"}})
	refuse(t, usage, `http-cert-file: .*TLS`, harness.Options{Dir: never, Args: []string{"--http", "0.0.0.0:0", "--http-token-file", file}})
	refuse(t, usage, `unknown flag: --lisen`, harness.Options{Dir: never, Args: []string{"--lisen", "/ip4/127.0.0.1/tcp/0"}})
	if _, err := os.Stat(never); err == nil {
		t.Error("a start that was refused for its configuration made its data directory")
	}
}

// TestExitCodes holds what scripts branch on.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	nobody := filepath.Join(harness.ShortDir(t), "nobody")
	for _, c := range []struct {
		code    int
		pattern string
		args    []string
	}{
		{unreachable, `no daemon is running on ` + nobody, []string{"status", "--data-dir", nobody}},
		{unreachable, `no daemon is running on ` + nobody, []string{"set", "k", "v", "--data-dir", nobody}},
		{notFound, `no key "k"`, []string{"get", "k", "--data-dir", n.Dir}},
		{notFound, `nowhere`, []string{"region", "show", "nowhere", "--data-dir", n.Dir}},
		{usage, `unknown command "statsu" for "edgemem"; did you mean "status"`, []string{"statsu"}},
		{usage, `unknown flag`, []string{"status", "--nonsense"}},
		{failed, `bad region name`, []string{"region", "create", "two words", "--data-dir", n.Dir}},
	} {
		r := harness.Edgemem(t, c.args...)
		if r.Code != c.code {
			t.Errorf("edgemem %q: exit code %d, want %d", c.args, r.Code, c.code)
		}
		mustMatch(t, fmt.Sprint(c.args), harness.Complaint(t, r), c.pattern)
	}
}

// TestSlowIssuer joins through an address that accepts and then says nothing: the start must give up by itself.
func TestSlowIssuer(t *testing.T) {
	t.Parallel()
	cloud := harness.Start(t, harness.Options{Name: "cloud", Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	ticket, addr := cloud.Ticket(), cloud.Started().Node.Listen[0]
	cloud.Stop()
	held, err := net.Listen("tcp", "127.0.0.1:"+strings.Split(addr, "/")[4])
	if err != nil {
		t.Skipf("the port of the issuer was taken meanwhile: %v", err)
	}
	defer held.Close()
	began := time.Now()
	refuse(t, failed, `^--join: .*unreachable`, harness.Options{Join: ticket})
	t.Logf("gave up after %v", time.Since(began).Round(time.Millisecond))
}

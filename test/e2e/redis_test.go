package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgemem/edgemem/test/e2e/harness"
)

// redisCLI runs redis-cli against a node and wants it to end well.
func redisCLI(t *testing.T, n *harness.Node, stdin string, args ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(n.RESP())
	if err != nil {
		t.Fatal(err)
	}
	r := harness.Run(t, stdin, append([]string{harness.Need(t, "redis-cli", "redis-tools"), "-h", host, "-p", port}, args...)...)
	if r.Code != 0 {
		t.Fatalf("redis-cli %q: exit code %d\n%s%s", args, r.Code, r.Stdout, r.Stderr)
	}
	return strings.TrimSpace(r.Stdout)
}

func TestRedisCLIAcrossNodes(t *testing.T) {
	t.Parallel()
	harness.Need(t, "redis-cli", "redis-tools")
	cloud, edge, device := startMesh(t)
	redisCLI(t, device, "", "SET", "greeting", "hello from the device")
	redisCLI(t, edge, "", "HSET", "user", "name", "Ada", "born", "1815")
	redisCLI(t, cloud, "", "SADD", "colours", "red", "green")
	harness.Converge(t, harness.Patience, "default", cloud, edge, device)
	for _, n := range []*harness.Node{cloud, edge, device} {
		if got := redisCLI(t, n, "", "GET", "greeting"); got != "hello from the device" {
			t.Errorf("%s: GET greeting: %q", n.Name, got)
		}
		if got := redisCLI(t, n, "", "HGET", "user", "name"); got != "Ada" {
			t.Errorf("%s: HGET user name: %q", n.Name, got)
		}
		if got := redisCLI(t, n, "", "SCARD", "colours"); got != "2" {
			t.Errorf("%s: SCARD colours: %q", n.Name, got)
		}
	}
}

func TestRedisCLIModes(t *testing.T) {
	t.Parallel()
	n := harness.Start(t, harness.Options{})
	const keys = 2000
	if got := redisCLI(t, n, massInsert(keys), "--pipe"); !strings.Contains(got, fmt.Sprintf("errors: 0, replies: %d", keys)) {
		t.Fatalf("--pipe: %s", got)
	}
	if got := redisCLI(t, n, "", "DBSIZE"); got != fmt.Sprint(keys) {
		t.Errorf("DBSIZE after --pipe: %s, want %d", got, keys)
	}
	redisCLI(t, n, "", "SADD", "a-set", "1", "2", "3")
	redisCLI(t, n, "", "HSET", "a-hash", "f", "v")

	scanned := strings.Fields(redisCLI(t, n, "", "--scan", "--pattern", "key:*"))
	slices.Sort(scanned)
	if scanned = slices.Compact(scanned); len(scanned) != keys {
		t.Errorf("--scan found %d keys, want %d", len(scanned), keys)
	}
	big := redisCLI(t, n, "", "--bigkeys")
	for _, want := range []string{`Biggest\s+set found '?"a-set"'? has 3 members`, `Biggest\s+hash found '?"a-hash"'? has 1 fields`} {
		if !regexp.MustCompile(want).MatchString(big) {
			t.Errorf("--bigkeys does not say %s:\n%s", want, big)
		}
	}
	if got := redisCLI(t, n, "", "-3", "HGETALL", "a-hash"); got != "f v" && !strings.Contains(got, "1# \"f\" => \"v\"") {
		t.Errorf("-3 HGETALL: %q", got)
	}
	if got := redisCLI(t, n, "", "-3", "HELLO", "3"); !strings.Contains(got, "proto 3") {
		t.Errorf("-3 HELLO 3: %q", got)
	}
	if got := redisCLI(t, n, "", "--no-raw", "-n", "1", "GET", "key:1"); got != "(nil)" {
		t.Errorf("database 1 has %q of database 0", got)
	}
	if got := redisCLI(t, n, "GET key:1\nDEL key:1\nGET key:1\n"); got != "value 1\n1" {
		t.Errorf("commands from standard input: %q", got)
	}
}

// massInsert is what redis.io tells to feed to --pipe: the protocol itself.
func massInsert(keys int) string {
	var b strings.Builder
	for i := range keys {
		b.WriteString("*3\r\n")
		for _, arg := range []string{"SET", fmt.Sprintf("key:%d", i), fmt.Sprintf("value %d", i)} {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
		}
	}
	return b.String()
}

// TestRedisCLIPassword uses AUTH as redis-cli does, and wants nothing without it.
func TestRedisCLIPassword(t *testing.T) {
	t.Parallel()
	file := filepath.Join(harness.ShortDir(t), "password")
	if err := os.WriteFile(file, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := harness.Start(t, harness.Options{RESP: "0.0.0.0:0", Args: []string{"--resp-password-file", file}})
	_, port, err := net.SplitHostPort(n.RESP())
	if err != nil {
		t.Fatal(err)
	}
	cli := []string{harness.Need(t, "redis-cli", "redis-tools"), "-h", "127.0.0.1", "-p", port}
	if r := harness.Run(t, "", append(cli, "GET", "k")...); !strings.Contains(r.Stdout, "NOAUTH") {
		t.Errorf("without a password: %s%s", r.Stdout, r.Stderr)
	}
	if r := harness.Run(t, "", append(cli, "--no-auth-warning", "-a", "wrong", "GET", "k")...); !strings.Contains(r.Stdout+r.Stderr, "WRONGPASS") {
		t.Errorf("with a wrong password: %s%s", r.Stdout, r.Stderr)
	}
	if r := harness.Run(t, "", append(cli, "--no-auth-warning", "-a", "open sesame", "SET", "k", "v")...); strings.TrimSpace(r.Stdout) != "OK" {
		t.Errorf("with the password: %s%s", r.Stdout, r.Stderr)
	}
}

// benchmarked are the tests of redis-benchmark that use commands of this version.
const benchmarked = "ping_inline,ping_mbulk,set,get,incr,sadd,hset,mset"

// TestRedisBenchmark wants every request answered without an error, and every INCR counted.
func TestRedisBenchmark(t *testing.T) {
	t.Parallel()
	const requests = 20_000
	program := harness.Need(t, "redis-benchmark", "redis-tools")
	n := harness.Start(t, harness.Options{Tier: "cloud"})
	host, port, err := net.SplitHostPort(n.RESP())
	if err != nil {
		t.Fatal(err)
	}
	pipelines := []string{"1", "16"}
	for _, pipeline := range pipelines {
		r := harness.Run(t, "", program, "-h", host, "-p", port, "-c", "50", "-P", pipeline, "-n", fmt.Sprint(requests), "-r", "10000",
			"-d", "100", "-t", benchmarked, "--csv")
		if r.Code != 0 || regexp.MustCompile(`(?i)error`).MatchString(r.Stdout+r.Stderr) {
			t.Fatalf("-P %s: exit code %d\n%s%s", pipeline, r.Code, r.Stdout, r.Stderr)
		}
		if rows := strings.Count(strings.TrimSpace(r.Stdout), "\n"); rows != strings.Count(benchmarked, ",")+1 {
			t.Errorf("-P %s: %d results, want one for each of %s\n%s", pipeline, rows, benchmarked, r.Stdout)
		}
	}
	if sum := sumOfCounters(t, n); sum != int64(len(pipelines)*requests) {
		t.Errorf("the counters add up to %d, want %d", sum, len(pipelines)*requests)
	}
}

func sumOfCounters(t *testing.T, n *harness.Node) (sum int64) {
	t.Helper()
	c := n.Dial()
	cursor := "0"
	for {
		page, err := c.Do("SCAN", cursor, "MATCH", "counter:*", "COUNT", "1000")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range page.([]any)[1].([]any) {
			text, err := c.Do("GET", key.(string))
			if err != nil {
				t.Fatal(err)
			}
			by, err := strconv.ParseInt(text.(string), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += by
		}
		if cursor = page.([]any)[0].(string); cursor == "0" {
			return sum
		}
	}
}

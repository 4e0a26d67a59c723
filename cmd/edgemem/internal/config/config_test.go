package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Tests that set variables cannot be parallel: the environment is the process's.

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func valueOf(l *Loaded, key string) Value {
	i := slices.IndexFunc(l.Values, func(v Value) bool { return v.Key == key })
	return l.Values[i]
}

func TestPrecedence(t *testing.T) {
	file := write(t, "c.yaml", "name: from-file\ntier: cloud\nhttp: 127.0.0.1:1\nmdns: false\n")
	t.Setenv("EDGEMEM_NAME", "from-env")
	t.Setenv("EDGEMEM_TIER", "regional")
	l, err := Load(flags(t, "--name", "from-flag"), file)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]Value{
		"name":       {"name", "from-flag", "flag --name"},
		"tier":       {"tier", "regional", "env EDGEMEM_TIER"},
		"http":       {"http", "127.0.0.1:1", "file " + file},
		"mdns":       {"mdns", false, "file " + file},
		"resp":       {"resp", "127.0.0.1:7379", "default"},
		"log-format": {"log-format", "text", "default"},
	} {
		if got := valueOf(l, key); got != want {
			t.Errorf("%s: got %+v, want %+v", key, got, want)
		}
	}
	c := l.Config
	if c.Name != "from-flag" || c.Tier != "regional" || c.HTTP != "127.0.0.1:1" || c.MDNS {
		t.Errorf("the struct disagrees: %+v", c)
	}
}

func TestEveryFormatAndSpelling(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a.yaml": "data-dir: /d\nlisten: [/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2]\n",
		"b.toml": "data_dir = \"/d\"\nlisten = [\"/ip4/127.0.0.1/tcp/1\", \"/ip4/127.0.0.1/tcp/2\"]\n",
		"c.json": `{"Data-Dir": "/d", "listen": "/ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2"}`,
	} {
		l, err := LoadFile(write(t, name, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := []string{"/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"}; l.Config.DataDir != "/d" || !reflect.DeepEqual(l.Config.Listen, want) {
			t.Errorf("%s: %+v", name, l.Config)
		}
	}
}

func TestListsFromFlagsAndVariables(t *testing.T) {
	l, err := Load(flags(t, "--listen", "/a", "--listen", "/b"), "")
	if want := []string{"/a", "/b"}; err != nil || !slices.Equal(l.Config.Listen, want) {
		t.Errorf("flags: %v, %v", l.Config.Listen, err)
	}
	t.Setenv("EDGEMEM_LISTEN", "/c,/d")
	l, err = Load(flags(t), "")
	if want := []string{"/c", "/d"}; err != nil || !slices.Equal(l.Config.Listen, want) {
		t.Errorf("variable: %v, %v", l.Config.Listen, err)
	}
}

func TestBadFilesAreExplained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want error
		says string
	}{
		"unknown.yaml":   {"tire: edge\n", ErrUnknownKey, `"tire" in `},
		"nearest.toml":   {"data_dri = \"/d\"\n", ErrUnknownKey, `did you mean "data-dir"?`},
		"far.yaml":       {"frobnicate: 1\n", ErrUnknownKey, `"frobnicate"`},
		"nested.yaml":    {"http:\n  addr: x\n", ErrValue, "http"},
		"dotted.json":    {`{"http.addr": "x"}`, ErrUnknownKey, `"http.addr"`},
		"broken.yaml":    {"name: [\n", ErrFile, "broken.yaml"},
		"broken.json":    {"{", ErrFile, "broken.json"},
		"wrongtype.yaml": {"mdns: perhaps\n", ErrValue, "mdns"},
		"plain.conf":     {"", ErrFile, ".yaml, .yml, .toml or .json"},
	} {
		_, err := LoadFile(write(t, name, c.text))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v that says %q", name, err, c.want, c.says)
		}
	}
	if _, err := LoadFile("/does/not/exist.yaml"); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("absent file: %v", err)
	}
}

func TestUnknownVariablesAreNamedAndKubernetesIsPassedOver(t *testing.T) {
	t.Parallel()
	got := unknownVariables([]string{
		"EDGEMEM_DATADIR=/d", "EDGEMEM_NAME=ok", "EDGEMEM_CONFIG=c", "HOME=/", "EDGEMEM_RESP_PASSWORD=x",
		"EDGEMEM_PORT=tcp://10.0.0.1:7379", "EDGEMEM_SERVICE_HOST=10.0.0.1", "EDGEMEM_SERVICE_PORT_RESP=7379",
		"EDGEMEM_PORT_7379_TCP_ADDR=10.0.0.1", "EDGEMEM_HEADLESS_SERVICE_PORT=1",
	})
	if len(got) != 1 || !strings.Contains(got[0], "EDGEMEM_DATADIR") || !strings.Contains(got[0], `"EDGEMEM_DATA_DIR"`) {
		t.Errorf("got %q", got)
	}
}

func TestSecretsAreMaskedAndReadFromFiles(t *testing.T) {
	t.Setenv("EDGEMEM_RESP_PASSWORD", "sesame")
	l, err := Load(flags(t, "--join", "ticket"), "")
	if err != nil {
		t.Fatal(err)
	}
	if v := valueOf(l, "join"); v.Value != "********" || v.Source != "flag --join" || l.Config.Join != "ticket" {
		t.Errorf("ticket shown as %+v", v)
	}
	if v := valueOf(l, "resp-password"); v.Value != "********" || v.Source != "env EDGEMEM_RESP_PASSWORD" {
		t.Errorf("shown as %+v", v)
	}
	c := Config{HTTPTokenFile: write(t, "token", "t0ken\nignored\n"), RESPPassword: "direct"}
	if password, token, err := c.Secrets(); err != nil || password != "direct" || token != "t0ken" {
		t.Errorf("got %q, %q, %v", password, token, err)
	}
	c = Config{RESPPasswordFile: write(t, "empty", "\n")}
	if _, _, err := c.Secrets(); err == nil || !strings.Contains(err.Error(), "resp-password-file") {
		t.Errorf("empty file: %v", err)
	}
}

func TestValidateNamesTheSetting(t *testing.T) {
	t.Parallel()
	good := Config{DataDir: "/d", Name: "n", Tier: "edge", Listen: []string{"/ip4/127.0.0.1/tcp/0"},
		RESP: "127.0.0.1:0", HTTP: "127.0.0.1:0", LogLevel: "info", LogFormat: "text"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field string
		wrong func(*Config)
	}{
		{"data-dir", func(c *Config) { c.DataDir = "" }},
		{"name", func(c *Config) { c.Name = "two words" }},
		{"name", func(c *Config) { c.Name = strings.Repeat("x", 64) }},
		{"tier", func(c *Config) { c.Tier = "egde" }},
		{"listen", func(c *Config) { c.Listen = []string{"127.0.0.1:7381"} }},
		{"listen", func(c *Config) { c.Listen = nil }},
		{"label", func(c *Config) { c.Label = []string{"site"} }},
		{"label", func(c *Config) { c.Label = []string{"site=a b"} }},
		{"peer", func(c *Config) { c.Peer = []string{"/ip4/127.0.0.1/tcp/1"} }},
		{"resp", func(c *Config) { c.RESP = "7379" }},
		{"resp", func(c *Config) { c.RESP = "127.0.0.1:70000" }},
		{"resp", func(c *Config) { c.RESP = "0.0.0.0:7379" }},
		{"resp", func(c *Config) { c.RESP = ":7379" }},
		{"resp-password", func(c *Config) { c.RESPPassword, c.RESPPasswordFile = "a", "b" }},
		{"http", func(c *Config) { c.HTTP = "[::]:7380" }},
		{"http", func(c *Config) { c.HTTP = "example.org:7380" }},
		{"memory", func(c *Config) { c.Memory = "lots" }},
		{"memory", func(c *Config) { c.Memory = "8MB" }},
		{"region-memory", func(c *Config) { c.RegionMemory = "1KB" }},
		{"region-memory", func(c *Config) { c.Memory, c.RegionMemory = "64MB", "64MB" }},
		{"device-lease", func(c *Config) { c.DeviceLease = "a week" }},
		{"device-lease", func(c *Config) { c.DeviceLease = "-1h" }},
		{"max-ghost-age", func(c *Config) { c.MaxGhostAge = "1s" }},
		{"max-ghosts", func(c *Config) { c.MaxGhosts = "many" }},
		{"max-ghosts", func(c *Config) { c.MaxGhosts = "3" }},
		{"max-ghost-bytes", func(c *Config) { c.MaxGhostBytes = "1kB" }},
		{"eviction", func(c *Config) { c.Eviction = "fifo" }},
		{"scrub-every", func(c *Config) { c.ScrubEvery = "1s" }},
		{"limit-rate", func(c *Config) { c.LimitRate = "fast" }},
		{"limit-rate", func(c *Config) { c.LimitRate = "100" }},
		{"limit-rate", func(c *Config) { c.LimitRate = "2GiB" }},
		{"log-level", func(c *Config) { c.LogLevel = "loud" }},
		{"log-format", func(c *Config) { c.LogFormat = "xml" }},
	} {
		bad := good
		c.wrong(&bad)
		var f *FieldError
		if err := bad.Validate(); !errors.As(err, &f) || f.Field != c.field {
			t.Errorf("want an error about %s, got %v", c.field, err)
		}
	}
}

func TestExposedAddressesAreFineWithASecret(t *testing.T) {
	t.Parallel()
	c := Config{DataDir: "/d", Name: "n", Tier: "edge", Listen: []string{"/ip4/127.0.0.1/tcp/0"},
		RESP: "0.0.0.0:0", RESPPassword: "p", HTTP: "0.0.0.0:0", HTTPToken: "t", HTTPCertFile: "/c", HTTPKeyFile: "/k", LogLevel: "info", LogFormat: "text"}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, wrong := range map[string]func(*Config){
		"http: .*token":             func(c *Config) { c.HTTPToken = "" },
		"needs TLS":                 func(c *Config) { c.HTTPCertFile, c.HTTPKeyFile = "", "" },
		"http-key-file, or neither": func(c *Config) { c.HTTPKeyFile = "" },
	} {
		bad := c
		wrong(&bad)
		if err := bad.Validate(); err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "unix:/s": true, "off": true,
		"[::ffff:127.0.0.1]:1": true, "0.0.0.0:1": false, "[::]:1": false, ":1": false, "10.0.0.1:1": false, "host:1": false,
	} {
		if got := IsLoopback(addr); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"": 0, "auto": 0, "0": 0, "64MB": 64_000_000, "1GiB": 1 << 30, "256 mib": 256 << 20} {
		if node, regions, limited, err := (&Config{Memory: text}).MemoryWish(); err != nil || node != want || regions != 0 || limited != (text != "0") {
			t.Errorf("%q: %d, %d, limited: %v, %v", text, node, regions, limited, err)
		}
	}
	if node, regions, limited, err := (&Config{Memory: "0", RegionMemory: "4MiB"}).MemoryWish(); err != nil || node != 0 || regions != 4<<20 || !limited {
		t.Errorf("regions alone: %d, %d, limited: %v, %v", node, regions, limited, err)
	}
}

func TestDefaultDataDir(t *testing.T) {
	t.Parallel()
	for want, env := range map[string]map[string]string{
		"/var/lib/edgemem":         {"STATE_DIRECTORY": "/var/lib/edgemem:/other", "XDG_STATE_HOME": "/x", "HOME": "/h"},
		"/x/edgemem":               {"XDG_STATE_HOME": "/x", "HOME": "/h"},
		"/h/.local/state/edgemem":  {"HOME": "/h"},
		"/h2/.local/state/edgemem": {"XDG_STATE_HOME": "relative", "HOME": "/h2"},
		"":                         {},
	} {
		if got := DefaultDataDir(func(k string) string { return env[k] }); got != want {
			t.Errorf("%v: got %q, want %q", env, got, want)
		}
	}
}

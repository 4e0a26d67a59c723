package config

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/profile"
	"github.com/edgemem/edgemem/tiers/evict"
)

// envPrefix begins the name of every variable that sets a setting.
const envPrefix = "EDGEMEM_"

// configVariable names the file to read when --config is absent; it is no setting itself.
const configVariable = envPrefix + "CONFIG"

// DefaultListen is every interface, TCP and QUIC. A machine without IPv6 does without that half.
var DefaultListen = []string{
	"/ip4/0.0.0.0/tcp/7381", "/ip4/0.0.0.0/udp/7381/quic-v1", "/ip6/::/tcp/7381", "/ip6/::/udp/7381/quic-v1",
}

// A setting is one row: its key in files and as a flag, what it defaults to, and its line of help.
type setting struct {
	key    string
	def    any
	usage  string
	masked bool // never printed
	secret bool // masked, and no flag
}

// flag gives the name of the flag, or "" where there is none.
func (s setting) flag() string {
	if s.secret {
		return ""
	}
	return s.key
}

func (s setting) env() string { return EnvName(s.key) }

// EnvName gives the variable that sets key.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// settings lists every setting in the order in which people read them.
func settings() []setting {
	return []setting{
		{key: "data-dir", def: DefaultDataDir(os.Getenv), usage: "`DIR` for identity, entries and the control socket"},
		{key: "key-file", def: "", usage: "`FILE` with the 32-byte key that the store is encrypted with, raw, in hexadecimal or base64; for its owner alone to read"},
		{key: "name", def: defaultName(), usage: "`NAME` that people know the node by"},
		{key: "tier", def: "device", usage: "`TIER` of the node: device, edge, regional or cloud"},
		{key: "profile", def: "auto", usage: "`SIZE` of machine to fit the node to: device, server, or auto, which is device for that tier and for up to 512 MiB of memory; 'edgemem config profiles' has the table"},
		{key: "listen", def: DefaultListen, usage: "libp2p `MULTIADDR` to listen on (repeatable; port 0 picks a free one)"},
		{key: "label", def: []string{}, usage: "`KEY=VALUE` that says what else the node is, such as site=b, for 'region create --labels' (repeatable)"},
		{key: "peer", def: []string{}, usage: "`MULTIADDR` of a member to keep connected to, ending in /p2p/PEER-ID (repeatable)"},
		{key: "resp", def: "127.0.0.1:7379", usage: "`ADDR` of the Redis protocol: host:port, unix:PATH or off"},
		{key: "resp-password", def: "", secret: true},
		{key: "resp-password-file", def: "", usage: "`FILE` whose first line is the password that AUTH asks for"},
		{key: "http", def: "127.0.0.1:7380", usage: "`ADDR` of the HTTP API, health and metrics: host:port, unix:PATH or off"},
		{key: "http-cert-file", def: "", usage: "`FILE` with the certificate chain for HTTP, PEM; beyond loopback there must be one"},
		{key: "http-key-file", def: "", usage: "`FILE` with the certificate's private key, PEM"},
		{key: "http-token", def: "", secret: true},
		{key: "http-token-file", def: "", usage: "`FILE` whose first line is the bearer token for HTTP (/healthz and /readyz stay open)"},
		{key: "join", def: "", masked: true, usage: "`TICKET` from 'edgemem invite'; no effect on a node that is a member already"},
		{key: "memory", def: "auto", usage: "`SIZE` that the process may take, such as 64MB or 1GiB; auto is what the cgroup or the machine has, 0 is no limit"},
		{key: "region-memory", def: "auto", usage: "budget `SIZE` of that for what regions hold; auto is some 60 %, less of a small one; of what a cgroup has up to 70 %. Near it values leave memory for the disk (see --eviction) and writes slow down, at it they are refused"},
		{key: "eviction", def: profile.Auto, usage: "`ORDER` in which values leave memory for the disk when the budget runs short, to come back when they are read: " + strings.Join(evict.Names()[:len(evict.Names())-1], ", ") + " or none, for never; auto is " + evict.Names()[0] + " on servers and none on devices"},
		{key: "limit-rate", def: "0", usage: "what pulls may move over the link to one peer, `SIZE` a second each way, such as 500kB or 4MiB; 0 is no limit. What is written is pushed all the same"},
		{key: "device-lease", def: "168h", usage: "`TIME` that a device may be away before removes are forgotten without it; it loses nothing, but compares live entries when it is back"},
		{key: "max-ghost-age", def: "720h", usage: "`TIME` that a remove is remembered for nodes that do not come to see it"},
		{key: "max-ghost-bytes", def: "0", usage: "`SIZE` that the removes of a region may take in memory, such as 4MiB; 0 is no limit"},
		{key: "max-ghosts", def: "65536", usage: "`COUNT` of removes that a region remembers at most, at about 28 bytes each"},
		{key: "scrub-every", def: "1h", usage: "`TIME` of one pass that checks every region and compares it with another node's; 0 is never"},
		{key: "manual-moves", def: false, usage: "leave copies of regions that are not everywhere where they are, until 'region take-copy' and 'region give-copy' move them"},
		{key: "mdns", def: true, usage: "find members on the local network"},
		{key: "relay", def: "auto", usage: "pass on connections between members that cannot reach each other: on, off or auto, on at regional and cloud nodes"},
		{key: "directory", def: "auto", usage: "take part in the fabric's directory of members: on, off or auto, on at edge, regional and cloud nodes"},
		{key: "log-level", def: "info", usage: "`LEVEL` of the log: debug, info, warn or error"},
		{key: "log-format", def: "text", usage: "`FORMAT` of the log: text or json"},
	}
}

// AddFlags declares a flag for every setting that may be one. Flags carry no default of their own, so
// that Load can tell a flag that was given from one that was not.
func AddFlags(fs *pflag.FlagSet) {
	for _, s := range settings() {
		if s.secret || fs.Lookup(s.key) != nil {
			continue
		}
		switch def := s.def.(type) {
		case bool:
			fs.Bool(s.key, def, s.usage)
		case []string:
			fs.StringArray(s.key, def, s.usage)
		case string:
			fs.String(s.key, def, s.usage)
		}
	}
}

// AddClientFlags declares what a command needs to find its daemon: the data directory.
func AddClientFlags(fs *pflag.FlagSet) { addTexts(fs, "data-dir") }

// AddStoreFlags declares what a command needs to open the store of a daemon that is stopped.
func AddStoreFlags(fs *pflag.FlagSet) { addTexts(fs, "data-dir", "key-file") }

// AddPasswordFlags declares what a command needs that speaks to the daemon as a Redis client.
func AddPasswordFlags(fs *pflag.FlagSet) { addTexts(fs, "resp-password-file") }

func addTexts(fs *pflag.FlagSet, keys ...string) {
	for _, s := range settings() {
		if slices.Contains(keys, s.key) {
			fs.String(s.key, s.def.(string), s.usage)
		}
	}
}

func keys() []string {
	var ks []string
	for _, s := range settings() {
		ks = append(ks, s.key)
	}
	return ks
}

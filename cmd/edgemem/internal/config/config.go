package config

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Config is what one daemon runs with. Load fills it; Validate names the setting that is wrong.
type Config struct {
	// DataDir holds identity, entries, causal context and the control socket. Default: $STATE_DIRECTORY
	// under systemd, else $XDG_STATE_HOME/edgemem, else ~/.local/state/edgemem.
	DataDir string `mapstructure:"data-dir"`
	// KeyFile names the file with the key that the store is encrypted with, see ReadKey. Default: none, the store is plain.
	KeyFile string `mapstructure:"key-file"`
	// Name is what people call the node, 1 to 63 bytes; identity is the key, not the name. It goes into
	// the certificate when the node founds or joins a fabric. Default: the host's name.
	Name string `mapstructure:"name"`
	// Tier says how near the consumer the node is: device, edge, regional or cloud. Default:
	// device, the tier that promises least.
	Tier string `mapstructure:"tier"`
	// Label holds what else the node is, as KEY=VALUE. Default: none.
	Label []string `mapstructure:"label"`
	// Profile fits the node to a size of machine: "device", "server" or "auto", which is device for that tier and for machines and cgroups
	// of up to 512 MiB. Package profile has the table. Default: auto.
	Profile string `mapstructure:"profile"`
	// Listen holds libp2p multiaddrs. Default: DefaultListen, because a mesh that nobody can reach is
	// none; membership is proven before any other protocol opens.
	Listen []string `mapstructure:"listen"`
	// Peer holds addresses of members to keep connected to, each ending in /p2p/PEER-ID, for networks
	// where neither tickets nor mDNS lead to them. Default: none.
	Peer []string `mapstructure:"peer"`
	// RESP is the address of the Redis protocol: host:port, unix:PATH, or off. Default: 127.0.0.1:7379.
	RESP string `mapstructure:"resp"`
	// RESPPassword is what AUTH asks for; empty means none is asked. Needed when RESP is not loopback.
	RESPPassword string `mapstructure:"resp-password"`
	// RESPPasswordFile names a file whose first line is the password, so that it is in no environment.
	RESPPasswordFile string `mapstructure:"resp-password-file"`
	// HTTP is the address of the HTTP API, health and metrics: host:port, unix:PATH, or off. Default: 127.0.0.1:7380.
	HTTP string `mapstructure:"http"`
	// HTTPCertFile and HTTPKeyFile name the certificate chain and its private key, PEM, both or none; needed when HTTP is
	// not loopback. They are read at the start.
	HTTPCertFile string `mapstructure:"http-cert-file"`
	HTTPKeyFile  string `mapstructure:"http-key-file"`
	// HTTPToken is the bearer token that all but /healthz and /readyz ask for; needed when HTTP is not
	// loopback.
	HTTPToken string `mapstructure:"http-token"`
	// HTTPTokenFile names a file whose first line is the token.
	HTTPTokenFile string `mapstructure:"http-token-file"`
	// Join is a ticket from `edgemem invite`. On a node that is a member already it changes nothing.
	Join string `mapstructure:"join"`
	// Memory is what the process may take ("64MB", "1GiB"), as if the machine had no more for it; 0 means no limit. Default: auto, the limit of the
	// cgroup, or 60 % of the machine's memory for regions. The budget of regions, the Go runtime's limit and what may be resident of the
	// store's files follow from it.
	Memory string `mapstructure:"memory"`
	// RegionMemory is the budget for what regions hold, of Memory. Default: auto, some 60 % of it or less, of what a cgroup has up to 70 %; 0 is the same.
	RegionMemory string `mapstructure:"region-memory"`
	// Eviction is the order in which values leave memory for the disk when the budget runs short: s3fifo, lru, lfu, ttl, or none for never.
	// Default: auto, as the profile has it: s3fifo on a server, none on a device.
	Eviction string `mapstructure:"eviction"`
	// LimitRate is what pulls may move over the link to one peer, each way, a size a second such as 4MiB. Default: 0, no
	// limit.
	LimitRate string `mapstructure:"limit-rate"`
	// DeviceLease is how long a device may be away before removes are forgotten without it ("168h"). Default: a week.
	DeviceLease string `mapstructure:"device-lease"`
	// MaxGhostAge is how long a remove is remembered for nodes that do not come to see it. Default: 30 days.
	MaxGhostAge string `mapstructure:"max-ghost-age"`
	// MaxGhosts is how many removes a region remembers, at about 28 bytes each. Default: 65536.
	MaxGhosts string `mapstructure:"max-ghosts"`
	// MaxGhostBytes is how much memory the removes of a region may take ("4MiB"). Default: 0, no limit.
	MaxGhostBytes string `mapstructure:"max-ghost-bytes"`
	// ScrubEvery is the time of one pass that checks every region and compares it with another node's; "0" is never.
	// Default: an hour.
	ScrubEvery string `mapstructure:"scrub-every"`
	// MDNS announces the node to, and finds members on, the local network. Default: true.
	MDNS bool `mapstructure:"mdns"`
	// ManualMoves keeps copies of regions where they are until they are moved by hand.
	ManualMoves bool `mapstructure:"manual-moves"`
	// Relay is whether the node passes on connections between members that cannot reach each other: "on", "off" or
	// "auto", which is on at regional and cloud nodes. Default: auto.
	Relay string `mapstructure:"relay"`
	// Directory is whether the node takes part in the fabric's directory of members: "on", "off" or "auto", which is
	// on at edge, regional and cloud nodes. Default: auto.
	Directory string `mapstructure:"directory"`
	// LogLevel is debug, info, warn or error. Default: info.
	LogLevel string `mapstructure:"log-level"`
	// LogFormat is text or json. Default: text.
	LogFormat string `mapstructure:"log-format"`
}

// Off is the value that turns a local interface off.
const Off = "off"

// DefaultDataDir is where the daemon keeps its data when nobody says otherwise; empty if the
// environment names no home.
func DefaultDataDir(getenv func(string) string) string {
	if dirs := getenv("STATE_DIRECTORY"); dirs != "" {
		first, _, _ := strings.Cut(dirs, ":")
		return first
	}
	if xdg := getenv("XDG_STATE_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "edgemem")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "edgemem")
	}
	return ""
}

func defaultName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "edgemem"
	}
	short, _, _ := strings.Cut(strings.ToValidUTF8(host, ""), ".")
	return short[:min(len(short), maxNameBytes)]
}

// Secrets gives the password and the token, reading their files where files were named.
func (c *Config) Secrets() (password, token string, err error) {
	password, perr := secret("resp-password-file", c.RESPPassword, c.RESPPasswordFile)
	token, terr := secret("http-token-file", c.HTTPToken, c.HTTPTokenFile)
	return password, token, errors.Join(perr, terr)
}

// HTTPCertificate reads the certificate for HTTP; nil where none is named.
func (c *Config) HTTPCertificate() (*tls.Config, error) {
	if c.HTTPCertFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.HTTPCertFile, c.HTTPKeyFile)
	if err != nil {
		return nil, &FieldError{"http-cert-file", err.Error()}
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}

func secret(setting, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", &FieldError{setting, err.Error()}
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", &FieldError{setting, "the first line of " + file + " is empty"}
	}
	return line, nil
}

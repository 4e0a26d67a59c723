package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/multiformats/go-multiaddr"

	"github.com/edgemem/edgemem/cmd/edgemem/internal/profile"
	"github.com/edgemem/edgemem/fabric"
	"github.com/edgemem/edgemem/tiers"
	"github.com/edgemem/edgemem/tiers/evict"
)

const (
	// maxNameBytes is what a certificate holds.
	maxNameBytes = 63
	// minGhosts leaves a burst of removes time to be seen by those who are connected.
	minGhosts = 64
	// maxGhosts is some 28 GiB in one region: more is a slip of the pen.
	maxGhosts = 1 << 30
	// minMemoryBytes is what a process takes that holds nothing, about.
	minMemoryBytes = 32 << 20
	// minRegionMemoryBytes is the least budget of regions: a quarter of it is kept for merges.
	minRegionMemoryBytes = 1 << 20
)

// FieldError names the setting that is wrong.
type FieldError struct{ Field, Problem string }

func (e *FieldError) Error() string { return "config: " + e.Field + ": " + e.Problem }

// Validate checks every setting and gives all that is wrong, each error naming its setting.
func (c *Config) Validate() error {
	_, memoryErr := memorySize(c.Memory, minMemoryBytes)
	_, regionMemoryErr := c.regionMemory()
	_, ghostBytesErr := c.GhostBytes()
	_, countErr := c.Ghosts()
	_, rateErr := c.LimitRateBytes()
	return errors.Join(
		field("data-dir", c.checkDataDir()),
		field("name", checkName(c.Name)),
		field("tier", oneOf(c.Tier, tiers.Names())),
		field("label", checkLabels(c.Label)),
		field("profile", oneOf(cmp.Or(c.Profile, profile.Auto), profile.Names())),
		field("listen", checkListen(c.Listen)),
		field("peer", checkPeers(c.Peer)),
		field("resp", checkLocal(c.RESP, c.RESPPassword+c.RESPPasswordFile,
			"a password: set resp-password-file or "+EnvName("resp-password"))),
		field("resp-password", bothSet(c.RESPPassword, c.RESPPasswordFile)),
		field("http", checkLocal(c.HTTP, c.HTTPToken+c.HTTPTokenFile,
			"a token: set http-token-file or "+EnvName("http-token"))),
		field("http-cert-file", c.checkCertificate()),
		field("http-token", bothSet(c.HTTPToken, c.HTTPTokenFile)),
		field("memory", memoryErr),
		field("region-memory", regionMemoryErr),
		field("eviction", oneOf(cmp.Or(c.Eviction, profile.Auto), append([]string{profile.Auto}, evict.Names()...))),
		field("device-lease", checkTime(c.DeviceLease, time.Minute)),
		field("max-ghost-age", checkTime(c.MaxGhostAge, time.Minute)),
		field("max-ghosts", countErr),
		field("max-ghost-bytes", ghostBytesErr),
		field("scrub-every", checkScrub(c.ScrubEvery)),
		field("limit-rate", rateErr),
		field("relay", oneOf(cmp.Or(c.Relay, "auto"), []string{"auto", "on", "off"})),
		field("directory", oneOf(cmp.Or(c.Directory, "auto"), []string{"auto", "on", "off"})),
		field("log-level", oneOf(c.LogLevel, []string{"debug", "info", "warn", "error"})),
		field("log-format", oneOf(c.LogFormat, []string{"text", "json"})),
	)
}

func field(name string, err error) error {
	if err == nil {
		return nil
	}
	return &FieldError{name, err.Error()}
}

func (c *Config) checkDataDir() error {
	if c.DataDir == "" {
		return errors.New("not set, and neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME says where: give --data-dir")
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > maxNameBytes {
		return fmt.Errorf("%q: want 1 to %d bytes", name, maxNameBytes)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return fmt.Errorf("%q: want printable characters without spaces", name)
	}
	return nil
}

func oneOf(value string, allowed []string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%q: want one of %s%s", value, strings.Join(allowed, ", "), didYouMean(value, allowed))
}

func bothSet(value, file string) error {
	if value != "" && file != "" {
		return errors.New("set both directly and through a file: keep one")
	}
	return nil
}

func checkListen(addrs []string) error {
	if len(addrs) == 0 {
		return errors.New("empty: want at least one multiaddr, such as /ip4/0.0.0.0/tcp/7381")
	}
	for _, a := range addrs {
		if _, err := multiaddr.NewMultiaddr(a); err != nil {
			return fmt.Errorf("%q is no multiaddr such as /ip4/0.0.0.0/tcp/7381 or /ip4/0.0.0.0/udp/7381/quic-v1: %w", a, err)
		}
	}
	return nil
}

func checkLabels(pairs []string) error {
	_, err := fabric.ParseLabels(pairs)
	return err
}

func checkPeers(addrs []string) error {
	for _, a := range addrs {
		m, err := multiaddr.NewMultiaddr(a)
		if err == nil {
			_, err = m.ValueForProtocol(multiaddr.P_P2P)
		}
		if err != nil {
			return fmt.Errorf("%q is no address such as /ip4/192.0.2.7/tcp/7381/p2p/PEER-ID: %w", a, err)
		}
	}
	return nil
}

// checkLocal holds the rule of local interfaces: loopback or a unix socket, or else a secret.
func checkLocal(addr, secret, wanted string) error {
	if err := checkAddr(addr); err != nil {
		return err
	}
	if !IsLoopback(addr) && secret == "" {
		return fmt.Errorf("%s can be reached from other machines, so it needs %s", addr, wanted)
	}
	return nil
}

// checkCertificate wants TLS where others can reach HTTP: the token would cross the network as it is.
func (c *Config) checkCertificate() error {
	switch {
	case (c.HTTPCertFile == "") != (c.HTTPKeyFile == ""):
		return errors.New("set http-cert-file and http-key-file, or neither")
	case checkAddr(c.HTTP) == nil && !IsLoopback(c.HTTP) && c.HTTPCertFile == "":
		return fmt.Errorf("%s can be reached from other machines, so it needs TLS: set http-cert-file and http-key-file", c.HTTP)
	}
	return nil
}

func checkAddr(addr string) error {
	if addr == Off {
		return nil
	}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if path == "" {
			return errors.New("unix: names no path")
		}
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q: want host:port, unix:PATH or off", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be a number from 0 to 65535", addr)
	}
	return nil
}

// IsLoopback says whether only this machine can reach addr. A name other than localhost is taken to be
// reachable, because what it resolves to may change.
func IsLoopback(addr string) bool {
	if addr == Off || strings.HasPrefix(addr, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// checkTime wants a time of at least low.
func checkTime(text string, low time.Duration) error {
	if text == "" {
		return nil // the default
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q: want a time such as 90m or 168h", text)
	}
	if d < low {
		return fmt.Errorf("%s: want at least %v", text, low)
	}
	return nil
}

func checkScrub(text string) error {
	if text == "0" {
		return nil
	}
	return checkTime(text, time.Minute)
}

// Scrub gives the time of one pass; less than 0 for never, 0 for the default.
func (c *Config) Scrub() time.Duration {
	if c.ScrubEvery == "0" {
		return -1
	}
	return Time(c.ScrubEvery)
}

// Time reads a setting that Validate has seen; 0 for none.
func Time(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

// Ghosts gives how many removes a region remembers; 0 for the default.
func (c *Config) Ghosts() (int, error) {
	if c.MaxGhosts == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(c.MaxGhosts)
	if err != nil || n < minGhosts || n > maxGhosts {
		return 0, fmt.Errorf("%q: want a count from %d to %d", c.MaxGhosts, minGhosts, maxGhosts)
	}
	return n, nil
}

// GhostBytes gives what the removes of a region may take, bytes; 0 is no limit.
func (c *Config) GhostBytes() (int64, error) {
	if c.MaxGhostBytes == "" || c.MaxGhostBytes == "0" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(c.MaxGhostBytes)
	if err != nil || n < minGhostBytes || n > 1<<40 {
		return 0, fmt.Errorf("%q: want a size of at least %s, or 0 for no limit", c.MaxGhostBytes, humanize.IBytes(minGhostBytes))
	}
	return int64(n), nil
}

// minGhostBytes is what some thousand removes take: fewer would make every pull compare live entries.
const minGhostBytes = 64 << 10

// MemoryWish gives what the process may take and what its regions may hold of that, bytes; 0 leaves it to the machine. limited is false where
// nothing is to be limited.
func (c *Config) MemoryWish() (node, regions int64, limited bool, err error) {
	node, err = memorySize(c.Memory, minMemoryBytes)
	if err != nil {
		return 0, 0, false, err
	}
	regions, err = c.regionMemory()
	return node, regions, c.Memory != "0" || regions > 0, err
}

func (c *Config) regionMemory() (int64, error) {
	n, err := memorySize(c.RegionMemory, minRegionMemoryBytes)
	if node, nodeErr := memorySize(c.Memory, minMemoryBytes); err == nil && nodeErr == nil && node > 0 && n >= node {
		err = fmt.Errorf("%s: want less than --memory, which is for the whole process, has: %s", c.RegionMemory, c.Memory)
	}
	return n, err
}

// memorySize reads a size of at least so many bytes; 0 is that of the machine, or none.
func memorySize(text string, least uint64) (int64, error) {
	switch text {
	case "", profile.Auto, "0":
		return 0, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil {
		return 0, fmt.Errorf("%q: want a size such as 64MB or 1GiB, auto for a part of what there is, or 0 for no limit", text)
	}
	if n < least || n > 1<<62 {
		return 0, fmt.Errorf("%s: want at least %s", text, humanize.IBytes(least))
	}
	return int64(n), nil
}

// What limit-rate may be: a session of less would not be seen to move.
const (
	minLimitRateBytes = 1 << 10
	maxLimitRateBytes = 1 << 30
)

// LimitRateBytes gives the limit of pulls in bytes a second; 0 means none.
func (c *Config) LimitRateBytes() (int, error) {
	if c.LimitRate == "" || c.LimitRate == "0" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(c.LimitRate)
	if err != nil {
		return 0, fmt.Errorf("%q: want a size such as 500kB or 4MiB, which a second may take, or 0 for no limit", c.LimitRate)
	}
	if n < minLimitRateBytes || n > maxLimitRateBytes {
		return 0, fmt.Errorf("%s: want %s to %s a second", c.LimitRate, humanize.IBytes(minLimitRateBytes), humanize.IBytes(maxLimitRateBytes))
	}
	return int(n), nil
}

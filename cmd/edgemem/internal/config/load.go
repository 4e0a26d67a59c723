package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// maxFileBytes bounds a configuration file: a larger one is some other file named by mistake.
const maxFileBytes = 1 << 20

var (
	// ErrFile is wrapped by every error about the configuration file itself.
	ErrFile = errors.New("config: bad file")
	// ErrUnknownKey is wrapped when the file has a key that no setting has.
	ErrUnknownKey = errors.New("config: unknown key")
	// ErrValue is wrapped when a value has the wrong type, such as "maybe" for yes or no.
	ErrValue = errors.New("config: bad value")
)

// Loaded is a configuration with the story of each value.
type Loaded struct {
	Config   Config
	File     string // "" if none was read
	Values   []Value
	Warnings []string // variables that no setting has
}

// Value is one setting as it took effect.
type Value struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source string `json:"source"` // "flag --x", "env EDGEMEM_X", "file PATH" or "default"
}

// Load reads flags (those of AddFlags or AddClientFlags), variables, and the file, which may be "" for
// the one that EDGEMEM_CONFIG names, or none. It does not validate.
func Load(flags *pflag.FlagSet, file string) (*Loaded, error) {
	if file == "" {
		file = os.Getenv(configVariable)
	}
	return load(file, flags, os.Getenv, unknownVariables(os.Environ()))
}

// LoadFile reads the file over the defaults and nothing else: what the file says, on any machine.
func LoadFile(file string) (*Loaded, error) {
	return load(file, nil, func(string) string { return "" }, nil)
}

func load(file string, flags *pflag.FlagSet, getenv func(string) string, warnings []string) (*Loaded, error) {
	v := viper.New()
	fromFile, err := readFile(file)
	if err != nil {
		return nil, err
	}
	if err := v.MergeConfigMap(fromFile); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrFile, file, err)
	}
	if err := bind(v, flags, getenv); err != nil {
		return nil, err
	}
	l := &Loaded{File: file, Warnings: warnings}
	if err := v.Unmarshal(&l.Config); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrValue, plainDecodeError(err))
	}
	for _, s := range settings() {
		l.Values = append(l.Values, Value{s.key, shown(s, v), source(s, flags, getenv, fromFile, file)})
	}
	return l, nil
}

func bind(v *viper.Viper, flags *pflag.FlagSet, getenv func(string) string) error {
	for _, s := range settings() {
		v.SetDefault(s.key, s.def)
		if getenv(s.env()) != "" {
			if err := v.BindEnv(s.key, s.env()); err != nil {
				return fmt.Errorf("config: %s: %w", s.env(), err)
			}
		}
		if f := lookup(flags, s); f != nil {
			if err := v.BindPFlag(s.key, f); err != nil {
				return fmt.Errorf("config: --%s: %w", s.key, err)
			}
			if s.masked && f.Changed && f.Value.String() == "" { // as from a command in $(…) that failed
				return fmt.Errorf("%w: --%s is empty: leave it out, or give it a value", ErrValue, s.flag())
			}
		}
	}
	return nil
}

func lookup(flags *pflag.FlagSet, s setting) *pflag.Flag {
	if flags == nil || s.flag() == "" {
		return nil
	}
	return flags.Lookup(s.flag())
}

// source repeats viper's order of precedence, which viper applies but does not tell.
func source(s setting, flags *pflag.FlagSet, getenv func(string) string, fromFile map[string]any, file string) string {
	if f := lookup(flags, s); f != nil && f.Changed {
		return "flag --" + s.flag()
	}
	if getenv(s.env()) != "" {
		return "env " + s.env()
	}
	if _, ok := fromFile[s.key]; ok {
		return "file " + file
	}
	return "default"
}

func shown(s setting, v *viper.Viper) any {
	if s.secret || s.masked {
		if v.GetString(s.key) == "" {
			return ""
		}
		return "********"
	}
	switch s.def.(type) {
	case bool:
		return v.GetBool(s.key)
	case []string:
		var list []string
		_ = v.UnmarshalKey(s.key, &list) // Unmarshal of the whole has succeeded already
		return list
	default:
		return v.GetString(s.key)
	}
}

// readFile gives the file's settings under their own names: a file may write data_dir for data-dir.
func readFile(file string) (map[string]any, error) {
	if file == "" {
		return nil, nil
	}
	if err := checkFile(file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00")) // a dot in a key is a dot
	v.SetConfigFile(file)
	if err := v.ReadInConfig(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFile, file, err)
	}
	known, out := keys(), map[string]any{}
	for k, value := range v.AllSettings() {
		key := strings.ReplaceAll(k, "_", "-")
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("%w %q in %s%s", ErrUnknownKey, k, file, didYouMean(key, known))
		}
		out[key] = value
	}
	return out, nil
}

func checkFile(file string) error {
	if !slices.Contains([]string{".yaml", ".yml", ".toml", ".json"}, filepath.Ext(file)) {
		return fmt.Errorf("%s: the name must end in .yaml, .yml, .toml or .json", file)
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no such file", file)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file", file)
	case info.Size() > maxFileBytes:
		return fmt.Errorf("%s: %d bytes; a configuration file has at most %d", file, info.Size(), maxFileBytes)
	}
	return nil
}

// kubernetesLink matches what Kubernetes sets for a service called edgemem or edgemem-anything.
var kubernetesLink = regexp.MustCompile(`^EDGEMEM_([A-Z0-9_]+_)?(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]+)?$`)

func unknownVariables(environ []string) []string {
	known := []string{configVariable}
	for _, k := range keys() {
		known = append(known, EnvName(k))
	}
	var warnings []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || kubernetesLink.MatchString(name) {
			continue
		}
		warnings = append(warnings, fmt.Sprintf("%s is no setting of edgemem%s", name, didYouMean(name, known)))
	}
	slices.Sort(warnings)
	return warnings
}

// plainDecodeError drops the preamble of mapstructure, which counts errors instead of naming them.
func plainDecodeError(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimLeft(strings.TrimSpace(l), "* ")
	}
	return strings.Join(lines, " ")
}

// Package build says what this executable was built from.
package build

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// version is set by the release build: -ldflags "-X …/internal/build.version=v1.2.3". Without it the
// module's version counts, and without that, "dev".
var version string

// Info is what `edgemem version -o json` prints.
type Info struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Commit   string `json:"commit"`   // "" if built without version control
	Modified bool   `json:"modified"` // the tree differed from the commit
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// Get reads the build information once.
var Get = sync.OnceValue(func() Info {
	info := Info{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	bi, ok := debug.ReadBuildInfo()
	if ok && info.Version == "" && bi.Main.Version != "(devel)" {
		info.Version = bi.Main.Version
	}
	if info.Version == "" {
		info.Version = "dev"
	}
	if ok {
		info.fromSettings(bi.Settings)
	}
	return info
})

func (i *Info) fromSettings(settings []debug.BuildSetting) {
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
}

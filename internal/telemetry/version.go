package telemetry

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// version and commit are set by the linker in released builds:
// -ldflags "-X orderbridge/internal/telemetry.version=v1.2.3".
var version, commit string

// Build says what this program was built from.
type Build struct {
	Version string `json:"version"`          // "v1.2.3", or "devel"
	Commit  string `json:"commit,omitempty"` // with "-dirty" if the tree had changes; "" if unknown
	Go      string `json:"go"`               // "go1.26.0"
}

// Version tells the build: what the linker was told, else what Go has noted.
func Version() Build { return build() }

var build = sync.OnceValue(func() Build {
	b := Build{Version: version, Commit: commit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	if ok && b.Commit == "" {
		b.Commit = revision(info.Settings)
	}
	return b
})

func revision(settings []debug.BuildSetting) string {
	var rev, dirty string
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			rev = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if rev == "" {
		return ""
	}
	return rev + dirty
}

package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// OldestServer is the oldest NATS server on which the protocol holds. Before it
// a write cannot be checked against another subject: the server stores it as if
// nothing had been asked, and a replica that was deposed could write on.
const OldestServer = "2.11.0"

// oldestLevel is the JetStream API level of OldestServer; what is older tells none.
const oldestLevel = 1

// TooOldError says which server does not do.
type TooOldError struct {
	What    string // "stream KV_owed is led by", "JetStream is served by"
	Version string // "" where it cannot be told
}

func (e *TooOldError) Error() string {
	version := "a NATS server of a version before 2.11"
	if e.Version != "" {
		version = "NATS server " + e.Version
	}
	return fmt.Sprintf("%s %s, which is too old: it ignores the check that fences off a deposed replica, so that events could be lost or sent many times. Upgrade every server of the cluster to NATS %s or later",
		e.What, version, OldestServer)
}

// FitAccount asks whoever answers for the JetStream account whether it is new
// enough. Which server leads a stream is another question: see FitStreams.
func FitAccount(ctx context.Context, js jetstream.JetStream) error {
	info, err := js.AccountInfo(ctx)
	if err != nil {
		return fmt.Errorf("ask JetStream for its API level: %w", err)
	}
	if info.API.Level < oldestLevel {
		return &TooOldError{What: "JetStream is served by", Version: connectedIfOld(js)}
	}
	return nil
}

// FitStreams asks the leader of each of the streams. What the client is
// connected to does not matter: it may be a leaf without JetStream, and in a
// cluster of several versions any server may come to lead a stream.
func FitStreams(ctx context.Context, js jetstream.JetStream, streams ...string) error {
	var errs []error
	for _, name := range streams {
		s, err := js.Stream(ctx, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("ask for the server of stream %s: %w", name, err))
			continue
		}
		if !newEnough(s.CachedInfo().Config.Metadata) {
			return &TooOldError{What: fmt.Sprintf("stream %s is led by", name), Version: connectedIfOld(js)}
		}
	}
	return errors.Join(errs...)
}

// newEnough reads what servers since 2.11 add to the metadata of a stream when
// they answer for it.
func newEnough(metadata map[string]string) bool {
	level, err := strconv.Atoi(metadata["_nats.level"])
	return err == nil && level >= oldestLevel
}

// connectedIfOld is the version of the server that the client is connected to,
// if it is one of those that do not do: then it is most likely the one.
func connectedIfOld(js jetstream.JetStream) string {
	version := js.Conn().ConnectedServerVersion()
	if OldVersion(version) {
		return version
	}
	return ""
}

// OldVersion tells whether a version is below OldestServer; what cannot be read is not.
func OldVersion(version string) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (major < 2 || major == 2 && minor < 11)
}

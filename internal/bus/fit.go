package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// OldestServer is the oldest NATS server on which the protocol holds. Before
// 2.11.0 a write cannot be checked against another subject: the server stores it
// as if nothing had been asked, and a replica that was deposed could write on.
// Up to 2.11.6 it looks for the header Nats-Expected-Last-Subject-Sequence by its
// beginning, and so does not find it behind …-Sequence-Subject; clients send
// headers in any order, and about one write in seven was not checked.
const OldestServer = "2.11.7"

// oldestLevel is the JetStream API level since 2.11.0; what is older tells none.
const oldestLevel = 1

// tooOldError says which server does not do.
type tooOldError struct {
	What    string // "stream KV_owed is led by", "JetStream is served by"
	Version string // "" where it cannot be told
}

func (e *tooOldError) Error() string {
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
		return &tooOldError{What: "JetStream is served by", Version: connectedIfOld(js)}
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
		if metadata := s.CachedInfo().Config.Metadata; !newEnough(metadata) {
			return &tooOldError{What: fmt.Sprintf("stream %s is led by", name),
				Version: cmp.Or(metadata[versionKey], connectedIfOld(js))}
		}
	}
	return errors.Join(errs...)
}

// versionKey is where a server tells its version in what it answers.
const versionKey = "_nats.ver"

// newEnough reads what servers since 2.11 add to the metadata of a stream when
// they answer for it.
func newEnough(metadata map[string]string) bool {
	level, err := strconv.Atoi(metadata["_nats.level"])
	return err == nil && level >= oldestLevel && !oldVersion(metadata[versionKey])
}

// connectedIfOld is the version of the server that the client is connected to,
// if it is one of those that do not do: then it is most likely the one.
func connectedIfOld(js jetstream.JetStream) string {
	version := js.Conn().ConnectedServerVersion()
	if oldVersion(version) {
		return version
	}
	return ""
}

// oldVersion tells whether a version is below OldestServer; what cannot be read is not.
func oldVersion(version string) bool {
	is, readable := numbers(version)
	oldest, _ := numbers(OldestServer)
	return readable && slices.Compare(is[:], oldest[:]) < 0
}

// numbers are major, minor and patch of a version; a pre-release counts as what
// it comes before.
func numbers(version string) (n [3]int, readable bool) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	parts := strings.SplitN(version, ".", 3)
	for i, part := range parts {
		var err error
		if n[i], err = strconv.Atoi(part); err != nil {
			return n, false
		}
	}
	return n, len(parts) >= 2
}

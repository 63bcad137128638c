package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/limits"
)

// Making a stream where there are limits: of the account, of the server, of its
// disk. What can be smaller is made smaller; where that does not help, the
// error names the limit and where it is set.

// JetStream's refusals of a new stream.
const (
	codeNoPeers             = 10005
	codeMaximumConsumers    = 10026
	codeMaximumStreams      = 10027
	codeInvalidConfig       = 10052
	codeSubjectsOverlap     = 10065
	codeReplicasUnsupported = 10074
	codeMaxBytesRequired    = 10113
	codeNoLimits            = 10120
)

// allowance is what the account lets us have.
type allowance struct {
	free      int64 // bytes that can still be reserved; noBound if there is no limit
	perStream int64 // largest stream, bytes; noBound if there is no limit
	sizes     bool  // each stream must have a size
	streams   int   // allowed; 0: any number
	has       int   // of them in use
}

const noBound = math.MaxInt64

// allowanceOf reads the limits that hold for streams of so many replicas.
func allowanceOf(info *jetstream.AccountInfo, replicas int) allowance {
	tier, copies := info.Tier, int64(replicas) // without tiers each replica counts
	if t, ok := info.Tiers[fmt.Sprintf("R%d", replicas)]; ok {
		tier, copies = t, 1
	}
	a := allowance{free: noBound, perStream: noBound, sizes: tier.Limits.MaxBytesRequired, has: tier.Streams}
	if most := tier.Limits.MaxStore; most > 0 {
		a.free = max(0, most-int64(min(max(tier.Store, tier.ReservedStore), math.MaxInt64))) / max(copies, 1)
	}
	if most := tier.Limits.StoreMaxStreamBytes; most > 0 {
		a.perStream = most
	}
	if tier.Limits.MaxStreams > 0 {
		a.streams = tier.Limits.MaxStreams
	}
	return a
}

// room is how large a stream of ours is made where it has to have a size, or
// the usual one does not fit.
type room struct {
	share       float64 // of what the account has free
	most, least int64   // bytes
}

// size is what a stream is made with that usually has so many bytes (-1: no bound).
func (r room) size(usual int64, a allowance) int64 {
	if usual <= 0 && !a.sizes {
		return usual
	}
	size := r.most
	if usual > 0 {
		size = usual
	}
	if a.free != noBound {
		size = min(size, max(int64(r.share*float64(a.free)), r.least))
	}
	return min(size, a.perStream)
}

// stream returns what is there; if nothing is, it makes it and returns nil.
func (e *ensurer) stream(ctx context.Context, a asset) (*jetstream.StreamInfo, error) {
	patience := 4 * limits.JetStreamTime
	if a.optional { // an answer may never come, where the user has no permission for it
		patience = limits.JetStreamTime
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := e.js.Stream(ctx, a.config.Name)
	if err == nil {
		return s.CachedInfo(), nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("read %s (stream %q): %w", a.what, a.config.Name, err)
	}
	made, err := e.create(ctx, a)
	switch {
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse): // another replica was faster, with other settings
		if s, err = e.js.Stream(ctx, a.config.Name); err == nil {
			return s.CachedInfo(), nil
		}
	case errorCode(err) == codeSubjectsOverlap:
		e.overlap(ctx, a)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("make %s (stream %q): %w", a.what, a.config.Name, e.refusal(a, err))
	}
	e.tellMade(a, made.CachedInfo().Config)
	return nil, nil
}

// create asks for the stream, and for less if it is refused for its size, its
// replicas or its duplicate window.
func (e *ensurer) create(ctx context.Context, a asset) (jetstream.Stream, error) {
	c := a.config
	c.Storage, c.MaxBytes = jetstream.FileStorage, a.room.size(a.config.MaxBytes, e.account)
	for {
		c.Replicas = e.replicas
		s, err := e.js.CreateStream(ctx, c)
		if err == nil {
			return s, nil
		}
		switch code := errorCode(err); {
		case code == codeReplicasUnsupported && e.o.Replicas <= 0 && e.replicas > 1:
			// A single leaf node tells its own name as that of a cluster.
			e.replicas = 1
		case code == codeMaxBytesRequired && c.MaxBytes <= 0:
			e.account.sizes = true
			c.MaxBytes = a.room.size(a.config.MaxBytes, e.account)
		case noRoom(code) && c.MaxBytes > a.room.least:
			c.MaxBytes = max(c.MaxBytes/2, a.room.least)
		case code == codeInvalidConfig && c.Duplicates > 0:
			c.Duplicates = 0 // the longest that the server allows; if it was something else, it says so again
		default:
			return nil, err
		}
	}
}

func noRoom(code jetstream.ErrorCode) bool {
	switch code {
	case codeStorageExceeded, codeInsufficientResources, codeAccountExceeded, codeStreamBytesExceeded, codeNoPeers:
		return true
	}
	return false
}

func (e *ensurer) tellMade(a asset, c jetstream.StreamConfig) {
	usual := a.config
	if c.MaxBytes == usual.MaxBytes && c.Duplicates == usual.Duplicates {
		e.say(Note, a.what, "made, %d replicas", c.Replicas)
		return
	}
	if e.o.Storage > 0 && c.Duplicates == usual.Duplicates {
		e.say(Note, a.what, "made, %d replicas, %s: smaller than usual, since all streams together may take only %s",
			c.Replicas, mebibytes(c.MaxBytes), mebibytes(e.o.Storage))
		return
	}
	var less []string
	if c.MaxBytes != usual.MaxBytes {
		was := "no bound"
		if usual.MaxBytes > 0 {
			was = mebibytes(usual.MaxBytes)
		}
		less = append(less,
			fmt.Sprintf("it holds %s instead of %s, since the account or the server's disk allows no more or demands a size (max_storage, max_bytes, max_file_store); `nats stream edit %s --max-bytes` changes it", mebibytes(c.MaxBytes), was, c.Name))
	}
	if c.Duplicates != usual.Duplicates {
		less = append(less,
			fmt.Sprintf("its duplicate window is %s instead of %s, since the server allows no more (jetstream limits: duplicate_window)", c.Duplicates, usual.Duplicates))
	}
	e.say(Warning, a.what, "made, %d replicas; %s", c.Replicas, strings.Join(less, "; "))
	for _, f := range a.check(&jetstream.StreamInfo{Config: c}) {
		if f.Severity == Error {
			e.found = append(e.found, f)
		}
	}
}

func mebibytes(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// overlap: another stream hears what this one should.
func (e *ensurer) overlap(ctx context.Context, a asset) {
	holder := ""
	for _, s := range a.config.Subjects {
		if name, err := e.js.StreamNameBySubject(ctx, s); err == nil {
			holder = name
			break
		}
	}
	subjects := strings.Join(a.config.Subjects, ", ")
	if a.config.Name == e.n.Stream {
		e.say(Error, a.what,
			"stream %q holds the subjects %s already: set ORDERBRIDGE_STREAM=%s to use it, or ORDERBRIDGE_SUBJECTS to subjects that no stream holds", holder, subjects, holder)
		return
	}
	e.say(Error, a.what,
		"stream %q hears %s already, which is for the bridge's own: take that out of its subjects, or set ORDERBRIDGE_PREFIX", holder, subjects)
}

// refusal says which limit stands in the way and where it is set.
func (e *ensurer) refusal(a asset, err error) error {
	var why string
	switch code := errorCode(err); {
	case code == codeMaximumStreams:
		why = fmt.Sprintf("the account allows %d streams and has %d, the bridge needs %d of its own (%s): raise max_streams of the account", e.account.streams, e.account.has, len(e.assets()), e.listed())
	case code == codeNoLimits:
		why = fmt.Sprintf("the account has no limits for streams of %d replicas: set ORDERBRIDGE_REPLICAS to what it has, or give it a tier R%d", e.replicas, e.replicas)
	case code == codeReplicasUnsupported:
		why = fmt.Sprintf("ORDERBRIDGE_REPLICAS=%d, but the server is not clustered: set ORDERBRIDGE_REPLICAS=1",
			e.replicas)
	case noRoom(code) && e.replicas > 1:
		why = fmt.Sprintf("%d servers with room for it are needed, at least %s each: look at max_file_store, max_ha_assets and the disks of the servers and at max_storage and max_bytes of the account, or set ORDERBRIDGE_REPLICAS to fewer", e.replicas, mebibytes(a.room.least))
	case noRoom(code):
		why = fmt.Sprintf("not even %s are free for it: raise max_storage or max_bytes (max_stream_bytes) of the account or max_file_store of the server, or free space on its disk", mebibytes(a.room.least))
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, why)
}

func (e *ensurer) listed() string {
	var names []string
	for _, a := range e.assets() {
		names = append(names, a.config.Name)
	}
	return strings.Join(names, ", ")
}

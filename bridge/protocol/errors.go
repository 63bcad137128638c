package protocol

import (
	"errors"
	"fmt"
)

// What a port answers when it cannot do what was asked. Any other error means
// that the outcome is unknown: it may have happened, or may yet happen.
var (
	// ErrDeposed: the server refused a write because another leader's fence
	// (or lease revision) is newer. Stop at once, write nothing more.
	ErrDeposed = errors.New("deposed: another replica leads")
	// ErrRefused: certainly not written, and a later copy of it cannot land
	// either: the bucket is full, the value too large.
	ErrRefused = errors.New("refused by the server")
	// ErrLost: the state bucket is gone, was recreated or was purged: not by a
	// leader. It takes no write until it is fenced again (R16).
	ErrLost = errors.New("the bucket was deleted or purged by somebody")
	// ErrMeddled: somebody else than the leader has written to a state bucket, or
	// removed entries of it.
	ErrMeddled = errors.New("somebody has changed entries of the bucket")
	// ErrNotFound: the leader of the stream says that there is no such thing.
	ErrNotFound = errors.New("not found")
)

// ErrOtherMessage says that the message is gone and its sequence is that of another.
var ErrOtherMessage = fmt.Errorf("another message has its sequence: %w", ErrNotFound)

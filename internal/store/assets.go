package store

import (
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/limits"
)

// What the bridge has on the bus, and how each is made where it is absent.

// asset is one stream or bucket.
type asset struct {
	what     string // as people are told: "stream ORDERS", "bucket owed"
	config   jetstream.StreamConfig
	check    func(*jetstream.StreamInfo) []Finding
	users    bool // the user's own: what is in it came from elsewhere
	optional bool // the bridge works without it
	room     room // how large it is made where room is short
}

// assets are all of them, in the order in which they are made.
func (e *ensurer) assets() []asset {
	all := e.allAssets()
	if e.o.NoAttempts {
		all = slices.DeleteFunc(all, func(a asset) bool { return a.config.Name == e.n.Attempts })
	}
	return all
}

// allAssets are those of all settings.
func (e *ensurer) allAssets() []asset {
	n := e.n
	size := e.o.OwedBytes
	if size <= 0 {
		size = limits.OwedBytes
	}
	state := func(name, description string, maxBytes int64, r room) asset {
		c := bucketConfig(name, description)
		c.MaxBytes = maxBytes
		c.AllowMsgTTL = true  // removal markers go by themselves
		c.AllowRollup = false // one message could wipe it; only `nats kv purge` of the records needs that
		return asset{what: "bucket " + name, config: c, check: checkState, room: r}
	}
	records := bucketConfig(n.Subscriptions, "orderbridge: subscription records")
	records.MaxMsgsPerSubject = limits.RecordHistory
	return []asset{
		{what: "stream " + n.Stream, users: true, room: room{share: 0.375, most: 1 << 30, least: 1 << 20},
			config: jetstream.StreamConfig{
				Name: n.Stream, Description: "order change events", Subjects: e.o.Subjects, MaxBytes: -1,
				Retention: jetstream.LimitsPolicy, MaxAge: limits.SourceAge, Duplicates: limits.SourceDuplicates,
				AllowDirect: true,
			}, check: func(i *jetstream.StreamInfo) []Finding { return checkSource(i, e.o) }},
		{what: "bucket " + n.Subscriptions, users: true, config: records, check: checkRecords,
			room: room{share: 1. / 16, most: 256 << 20, least: 1 << 20}},
		state(n.Status, "orderbridge: state of each subscription", -1,
			room{share: 1. / 16, most: 256 << 20, least: 1 << 20}),
		state(n.Owed, "orderbridge: what is owed", size, room{share: 1. / 8, most: size, least: 1 << 20}),
		state(n.Lease, "orderbridge: which replica leads", -1, room{share: 1. / 64, most: 16 << 20, least: 1 << 20}),
		{what: "stream " + n.DeadLetters, check: checkLetters,
			room: room{share: 1. / 4, most: limits.DeadLetterBytes, least: 1 << 20}, config: jetstream.StreamConfig{
				Name: n.DeadLetters, Description: "orderbridge: deliveries that were given up",
				Subjects: []string{n.DeadLetterSubject + ".>"},
				MaxAge:   limits.DeadLetterAge, MaxBytes: limits.DeadLetterBytes, Duplicates: limits.BucketDuplicates,
				AllowDirect: true,
			}},
		{what: "stream " + n.Alerts, check: checkLetters, optional: true,
			room: room{share: 1. / 16, most: limits.AlertBytes, least: 1 << 20}, config: jetstream.StreamConfig{
				Name: n.Alerts, Description: "orderbridge: what operators want to be told",
				Subjects: []string{n.AlertSubject + ".>"},
				MaxAge:   limits.AlertAge, MaxBytes: limits.AlertBytes, Duplicates: limits.BucketDuplicates,
			}},
		{what: "stream " + n.Audit, check: checkLetters, optional: true,
			room: room{share: 1. / 32, most: limits.AuditBytes, least: 1 << 20}, config: jetstream.StreamConfig{
				Name: n.Audit, Description: "orderbridge: who changed what", Subjects: []string{n.AuditSubject + ".>"},
				MaxAge: limits.AuditAge, MaxBytes: limits.AuditBytes, MaxMsgsPerSubject: limits.AuditPerSubject,
				MaxMsgSize: limits.AuditEntryBytes,
				Duplicates: limits.BucketDuplicates, AllowDirect: true, DenyDelete: true,
				DenyPurge: true, // nobody takes an entry out
			}},
		{what: "stream " + n.Attempts, check: checkAttempts, optional: true,
			room: room{share: 1. / 16, most: limits.AttemptLogBytes, least: 1 << 20}, config: jetstream.StreamConfig{
				Name: n.Attempts, Description: "orderbridge: what became of each attempt",
				Subjects: []string{n.AttemptSubject + ".>"},
				MaxAge:   limits.AttemptLogAge, MaxBytes: limits.AttemptLogBytes,
				MaxMsgsPerSubject: limits.AttemptLogPerOrder, Discard: jetstream.DiscardOld,
				Duplicates: limits.BucketDuplicates, AllowDirect: true,
			}},
	}
}

func bucketConfig(name, description string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: bucketStream(name), Description: description, Subjects: []string{bucketSubject(name, ">")},
		MaxMsgsPerSubject: 1, MaxBytes: -1, MaxMsgs: -1, MaxMsgSize: -1, MaxConsumers: -1,
		Discard: jetstream.DiscardNew, Duplicates: limits.BucketDuplicates,
		AllowRollup: true, DenyDelete: true, AllowDirect: true,
	}
}

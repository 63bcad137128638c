// Package api is the management API: contract C's webhooks, contract A's
// registrations, and what operators ask (verdicts, debts, dead letters). It
// writes the same records that `nats kv put` writes, by compare-and-set, and
// every call is confined to what the caller's token may see.
package api

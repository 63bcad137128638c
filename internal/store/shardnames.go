package store

import (
	"fmt"
	"strconv"
	"strings"

	"orderbridge/bridge/protocol"
)

// How what belongs to a shard is called (R17). Generation 0 has the names of the
// builds before there were shards, so that these can be replaced while they run:
//
//	           generation 0             shard k of generation g
//	lease      leader                   leader.<g>.<k>
//	fence i    =fence.<i>               =fence.g<g>s<k>.<i>
//	seal       =fence.complete          =fence.g<g>s<k>.complete
//	durable    orderbridge-<epoch>-<n>  orderbridge-g<g>s<k>-<epoch>-<n>
//
// Statuses, marks and lanes are named by their subscription only.

const (
	leaseKey    = "leader"
	layoutKey   = "layout"
	replicaKeys = "replica." // and the name of a replica: its heartbeat

	fencePrefix = "=fence." // "=": no subscription id holds it
	sealed      = "complete"
)

func leaseKeyOf(s protocol.Shard) string {
	if s.Layout == 0 {
		return leaseKey
	}
	return fmt.Sprintf("%s.%d.%d", leaseKey, s.Layout, s.Number)
}

// leaseShard is the shard whose lease has the key; Of is not told by it.
func leaseShard(key string) (protocol.Shard, bool) {
	if key == leaseKey {
		return protocol.Shard{}, true
	}
	rest, ok := strings.CutPrefix(key, leaseKey+".")
	g, k, two := strings.Cut(rest, ".")
	s, err := numbered(g, k)
	return s, ok && two && err == nil && leaseKeyOf(s) == key
}

func fencesOf(s protocol.Shard) string {
	if s.Layout == 0 {
		return fencePrefix
	}
	return fencePrefix + inName(s) + "."
}

func fenceKeyOf(s protocol.Shard, i int) string { return fencesOf(s) + strconv.Itoa(i) }

func sealKeyOf(s protocol.Shard) string { return fencesOf(s) + sealed }

// fenceShard is the shard to which a fence or a seal belongs.
func fenceShard(key string) (protocol.Shard, bool) {
	rest, ok := strings.CutPrefix(key, fencePrefix)
	name, last, two := strings.Cut(rest, ".")
	if !two {
		last = name
	}
	if n, err := strconv.Atoi(last); !ok || last != sealed && (err != nil || n < 0 || n >= fences) {
		return protocol.Shard{}, false
	}
	if !two {
		return protocol.Shard{}, true
	}
	return parseInName(name)
}

// DurablePrefix begins the names of a shard's durables.
func DurablePrefix(n Names, s protocol.Shard) string {
	if s.Layout == 0 {
		return n.DurablePrefix
	}
	return n.DurablePrefix + inName(s) + "-"
}

// durableShard is the shard to which a consumer of ours on the source stream belongs.
func durableShard(n Names, name string) (protocol.Shard, bool) {
	rest, ok := strings.CutPrefix(name, n.DurablePrefix)
	first, _, more := strings.Cut(rest, "-")
	if !ok || !more {
		return protocol.Shard{}, false
	}
	if _, err := strconv.ParseUint(first, 10, 64); err == nil || first == "keep" {
		return protocol.Shard{}, true
	}
	return parseInName(first)
}

// inName is a shard as it stands in the name of a fence or durable.
func inName(s protocol.Shard) string { return fmt.Sprintf("g%ds%d", s.Layout, s.Number) }

func parseInName(text string) (protocol.Shard, bool) {
	rest, ok := strings.CutPrefix(text, "g")
	g, k, two := strings.Cut(rest, "s")
	s, err := numbered(g, k)
	return s, ok && two && err == nil && inName(s) == text
}

func numbered(generation, number string) (s protocol.Shard, err error) {
	if s.Layout, err = strconv.ParseUint(generation, 10, 64); err != nil {
		return s, err
	}
	if s.Number, err = strconv.Atoi(number); err != nil {
		return s, err
	}
	if s.Layout == 0 || s.Layout > maxTracedEpoch || s.Number < 0 {
		return s, fmt.Errorf("shard %d of generation %d", s.Number, s.Layout)
	}
	return s, nil
}

// ownerOf is the subscription to which an entry of a state bucket belongs.
func ownerOf(key string) string {
	id, _, _ := strings.Cut(key, ".")
	return id
}

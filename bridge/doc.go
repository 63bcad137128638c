// Package bridge runs the protocol: a replica has a seat for each shard, which stands
// by, wins the shard's lease, leads a term and hands over.
//
// A term carries out on the bus what its machine (package protocol) asks for, by the
// ports of ports.go, and hands the answers to it as inputs; it matches what the feed
// brings against the directory of the records, sends attempts through a Watermill
// router, and judges how they ended (Judge). It decides nothing about events.
//
// Of our packages it imports only event, record, protocol, flight and limits;
// adapters implement its ports.
package bridge

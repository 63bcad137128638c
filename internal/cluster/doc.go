// Package cluster runs NATS servers as one cluster, each a process of its own,
// for tests and for the torture harness: servers can be killed, stopped and
// started again, and every way between two servers, and between a client and a
// server, leads through a proxy that can fall silent.
package cluster

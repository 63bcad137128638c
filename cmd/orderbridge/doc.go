// Command orderbridge delivers order change events from NATS JetStream to the
// HTTPS endpoints that subscribe to them, and manages what belongs to that.
// Each command stands in a file of its own; app.go wires the parts that serve.
package main

// Package subscribers is the inbound side, the bus: JetStream is the shared
// feed of the bridge and a Watermill Subscriber of its own, Source reads the
// source stream beside it.
package subscribers

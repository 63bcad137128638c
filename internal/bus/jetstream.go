package bus

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is the JetStream of the connection, in the domain or under the API
// prefix of o. Everything that asks it over this connection must be made here:
// what builds subjects by hand reads them from its options (msgget.APIPrefix).
func JetStream(nc *nats.Conn, o Options, timeout time.Duration) (js jetstream.JetStream, err error) {
	asking := jetstream.WithDefaultTimeout(timeout)
	switch {
	case o.APIPrefix != "":
		js, err = jetstream.NewWithAPIPrefix(nc, strings.TrimSuffix(o.APIPrefix, "."), asking)
	case o.Domain != "":
		js, err = jetstream.NewWithDomain(nc, o.Domain, asking)
	default:
		js, err = jetstream.New(nc, asking)
	}
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return js, nil
}

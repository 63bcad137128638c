package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "github.com/redpanda-data/benthos/v4/public/components/io" // http_client
	"github.com/redpanda-data/benthos/v4/public/service"
)

// runBenthos runs one stream of the engine: our input, its http_client output.
func runBenthos(ctx context.Context, s settings, ready func()) error {
	// It copies this one; two idle connections, the default, mean a new one for most requests.
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 4096 //nolint:errcheck // it is of this type
	env := service.GlobalEnvironment().Clone()
	err := env.RegisterInput("jetstream", service.NewConfigSpec(),
		func(*service.ParsedConfig, *service.Resources) (service.Input, error) {
			return service.AutoRetryNacks(&input{settings: s}), nil
		})
	if err != nil {
		return err
	}
	builder := env.NewStreamBuilder()
	err = builder.SetYAML(fmt.Sprintf(`
input:
  jetstream: {}
output:
  http_client:
    url: %q
    verb: POST
    headers: {Content-Type: application/json}
    tls: {enabled: true, root_cas_file: %q}
    max_in_flight: %d
logger:
  level: ERROR
`, s.URL, s.CAFile, s.InFlight))
	if err != nil {
		return err
	}
	stream, err := builder.Build()
	if err != nil {
		return err
	}
	ready()
	if err := stream.Run(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// input reads a durable pull consumer, as the engine's own NATS plugins do.
type input struct {
	settings
	nc       *nats.Conn
	messages jetstream.MessagesContext
}

// Connect implements service.Input.
func (i *input) Connect(ctx context.Context) (err error) {
	if i.nc, err = nats.Connect(i.NATS); err != nil {
		return err
	}
	js, err := jetstream.New(i.nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, i.Stream,
		jetstream.ConsumerConfig{Durable: "benthos", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return err
	}
	i.messages, err = consumer.Messages()
	return err
}

// Read implements service.Input.
func (i *input) Read(context.Context) (*service.Message, service.AckFunc, error) {
	m, err := i.messages.Next()
	if err != nil {
		return nil, nil, service.ErrEndOfInput
	}
	return service.NewMessage(m.Data()), func(_ context.Context, err error) error {
		if err != nil {
			return m.Nak()
		}
		return m.Ack()
	}, nil
}

// Close implements service.Input.
func (i *input) Close(context.Context) error {
	if i.messages != nil {
		i.messages.Stop()
	}
	if i.nc != nil {
		i.nc.Close()
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// bus is the harness's own way to the servers: a connection to each of them,
// beside all links, so that one that is cut off does not hold it up.
type bus struct {
	conns []*nats.Conn
	js    []jetstream.JetStream
}

func newBus(c *lab.Cluster) (*bus, error) {
	b := &bus{}
	for i := range c.Nodes() {
		nc, err := nats.Connect(c.URL(i), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
			nats.ReconnectBufSize(-1),
			nats.RetryOnFailedConnect(true), nats.PingInterval(2*time.Second),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			b.close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		b.conns = append(b.conns, nc)
		js, err := jetstream.New(nc)
		if err != nil {
			b.close()
			return nil, fmt.Errorf("connect: %w", err)
		}
		b.js = append(b.js, js)
	}
	return b, nil
}

func (b *bus) close() {
	for _, nc := range b.conns {
		nc.Close()
	}
}

const oneTry = 1500 * time.Millisecond // at first: a busy server needs longer

// anyhow does something by one connection after another until it succeeds or
// ctx ends.
func (b *bus) anyhow(ctx context.Context, first int, do func(context.Context, jetstream.JetStream) error) error {
	var last error
	for i := first; ; i++ {
		try, cancel := context.WithTimeout(ctx, min(oneTry*time.Duration(1+(i-first)/len(b.js)), 20*time.Second))
		err := do(try, b.js[i%len(b.js)])
		cancel()
		if err == nil {
			return nil
		}
		last = err
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// publish stores a message that has an id of its own and returns its sequence.
func (b *bus) publish(ctx context.Context, first int, m *nats.Msg) (seq uint64, err error) {
	err = b.anyhow(ctx, first, func(ctx context.Context, js jetstream.JetStream) error {
		// A copy: the client adds headers to what it is given.
		again := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{}}
		for k, v := range m.Header {
			again.Header[k] = v
		}
		ack, err := js.PublishMsg(ctx, again, jetstream.WithRetryAttempts(0))
		if err == nil {
			seq = ack.Sequence
		}
		return err
	})
	return seq, err
}

// last reads the newest message of a subject from the stream's leader; nil if
// there is none.
func (b *bus) last(ctx context.Context, stream, subject string) (*jetstream.RawStreamMsg, error) {
	var out *jetstream.RawStreamMsg
	err := b.anyhow(ctx, 0, func(ctx context.Context, js jetstream.JetStream) error {
		m, err := lastMessage(ctx, js, stream, subject)
		out = m
		return err
	})
	return out, err
}

// lastMessage asks the leader and no replica: jetstream's own call may ask any.
func lastMessage(ctx context.Context, js jetstream.JetStream, stream, subject string) (*jetstream.RawStreamMsg, error) {
	req, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	resp, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, req)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
		Message *struct {
			Seq  uint64 `json:"seq"`
			Data []byte `json:"data"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(resp.Data, &answer); {
	case err != nil:
		return nil, err
	case answer.Error != nil && answer.Error.Code == 404:
		return nil, nil
	case answer.Error != nil:
		return nil, errors.New(answer.Error.Description)
	case answer.Message == nil:
		return nil, errors.New("no message in the answer")
	}
	return &jetstream.RawStreamMsg{Sequence: answer.Message.Seq, Data: answer.Message.Data}, nil
}

// layout is what the harness reads of the key that says how many shards there are.
type layout struct {
	G    uint64 `json:"g"`
	N    int    `json:"n"`
	Done bool   `json:"done"`
	Want int    `json:"want"`
}

// lease is what the harness reads of a lease entry.
type lease struct {
	Epoch    uint64 `json:"epoch"`
	Holder   string `json:"holder"` // host/pid/…
	Free     bool   `json:"free"`
	key      string
	revision uint64
}

// leases reads those of the present layout; one that is absent is zero.
func (b *bus) leases(ctx context.Context) (l layout, all []lease, err error) {
	m, err := b.last(ctx, "KV_lease", "$KV.lease.layout")
	switch {
	case err != nil:
		return l, nil, err
	case m == nil || len(m.Data) == 0:
		return l, nil, errors.New("there is no layout")
	}
	if err := json.Unmarshal(m.Data, &l); err != nil {
		return l, nil, err
	}
	for k := range l.N {
		x := lease{key: "leader"}
		if l.G > 0 {
			x.key = fmt.Sprintf("leader.%d.%d", l.G, k)
		}
		m, err := b.last(ctx, "KV_lease", "$KV.lease."+x.key)
		if err != nil {
			return l, nil, err
		}
		if m != nil && len(m.Data) > 0 {
			x.revision = m.Sequence
			if err := json.Unmarshal(m.Data, &x); err != nil {
				return l, nil, err
			}
		}
		all = append(all, x)
	}
	return l, all, nil
}

// pid of the process that holds the lease; 0 if nobody does.
func (l lease) pid() int {
	parts := strings.Split(l.Holder, "/")
	if l.Free || len(parts) < 3 {
		return 0
	}
	pid, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0
	}
	return pid
}

// all reads a stream from its beginning to its present end.
func (b *bus) all(ctx context.Context, stream string, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	var s jetstream.Stream
	err := b.anyhow(ctx, 0, func(ctx context.Context, js jetstream.JetStream) (err error) {
		s, err = js.Stream(ctx, stream)
		return err
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	if info.State.Msgs == 0 {
		return nil
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	messages, err := c.Messages()
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		if err := each(m, meta); err != nil {
			return err
		}
		if meta.Sequence.Stream >= info.State.LastSeq {
			return nil
		}
	}
}

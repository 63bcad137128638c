package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// bridges are replicas of orderbridge on one place, with their records.
type bridges struct {
	place    place
	program  string
	records  []string // those of the subscriptions s0, s1, …
	others   int      // more records, that hear nothing
	replicas int      // 0: 1
	env      []string // more settings
	group    []string // a control group for each replica, or nil
}

// plain is a record of an endpoint of the sink.
func (b *bench) plain(path string, maxInFlight int) string {
	return fmt.Sprintf(`{"targetURL":%q,"maxInFlight":%d}`, b.to.URL+path, maxInFlight)
}

// serve starts one replica.
func (b *bench) serve(s *bridges, group string) (*lab.Program, error) {
	c := lab.Command{Name: "orderbridge", Path: s.program, Dir: b.dir,
		Env: append([]string{"HOME=" + b.dir, "PATH=" + os.Getenv("PATH"),
			"ORDERBRIDGE_NATS_URL=" + b.natsURL, "ORDERBRIDGE_STREAM=" + s.place.stream(),
			"ORDERBRIDGE_SUBJECTS=" + s.place.subject(), "ORDERBRIDGE_SUBSCRIPTIONS_BUCKET=" + s.place.subscriptions(),
			"ORDERBRIDGE_PREFIX=" + s.place.prefix(), "ORDERBRIDGE_TRUST_ROOTS=" + b.caFile,
			"ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8", "ORDERBRIDGE_HTTP_LISTEN=127.0.0.1:0"}, s.env...)}
	c.Args = []string{"serve"}
	if group != "" {
		c = inGroup(c, group)
	}
	p, err := lab.Start(c)
	if err != nil {
		return nil, err
	}
	return &lab.Program{Process: p}, nil
}

// startBridges makes the stream, starts the replicas, puts the records and waits
// until all have their verdict.
func (b *bench) startBridges(ctx context.Context, s *bridges) (all []*lab.Program, err error) {
	defer func() {
		if err != nil {
			for _, p := range all {
				err = errors.Join(err, b.stop(p.Process))
			}
		}
	}()
	if err := b.makeStream(ctx, s.place); err != nil {
		return nil, err
	}
	for i := range max(1, s.replicas) {
		group := ""
		if s.group != nil {
			group = s.group[i]
		}
		p, err := b.serve(s, group)
		if err != nil {
			return all, err
		}
		all = append(all, p)
	}
	return all, b.putRecords(ctx, s, all[0])
}

func (b *bench) putRecords(ctx context.Context, s *bridges, p *lab.Program) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var records, verdicts jetstream.KeyValue
	err := waitFor(ctx, func() bool {
		var err error
		if records, err = b.js.KeyValue(ctx, s.place.subscriptions()); err == nil {
			verdicts, err = b.js.KeyValue(ctx, s.place.prefix()+"subscription_status")
		}
		return err == nil || !p.Running()
	})
	if err != nil {
		return err
	}
	for i := range s.others {
		other := fmt.Sprintf(`{"targetURL":%q,"subjects":["%s.customer%d.>"]}`, b.to.URL, s.place.root, i)
		if _, err := b.js.PublishAsync(fmt.Sprintf("$KV.%s.other%d", s.place.subscriptions(), i), []byte(other),
			jetstream.WithStallWait(roundTimeout)); err != nil {
			return err
		}
	}
	if err := b.published(ctx); err != nil {
		return err
	}
	for i, record := range s.records {
		if _, err := records.PutString(ctx, fmt.Sprintf("s%d", i), record); err != nil {
			return err
		}
	}
	for i := range s.records {
		err = waitFor(ctx, func() bool {
			var status protocol.Status
			entry, err := verdicts.Get(ctx, fmt.Sprintf("s%d", i))
			return err == nil && json.Unmarshal(entry.Value(), &status) == nil &&
				status.State == protocol.StateActive || !p.Running()
		})
		if err != nil {
			return err
		}
	}
	return waitFor(ctx, func() bool {
		status, err := verdicts.Status(ctx)
		return err == nil && status.Values() >= uint64(s.others+len(s.records)) || !p.Running()
	})
}

func (b *bench) startNaive(p place, path, method string) (*lab.Process, error) {
	return startRole("naive", naiveSettings{b.natsURL, p.stream(), b.to.URL + path, b.caFile, method}, &struct{}{})
}

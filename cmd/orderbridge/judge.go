package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/internal/store"
)

// Whether a record is good depends on the settings and files of the bridge. So
// commands ask one that runs; without one they judge by their own settings, and
// what only those forbid is a warning.

// judge is what is wrong with a record.
func (s *session) judge(ctx context.Context, id string, record []byte) (bridge.Problems, error) {
	var answer store.JudgeAnswer
	subject := s.catalog().JudgeSubject()
	err := s.denials.without(ctx, subject, func(ctx context.Context) (err error) {
		answer, err = s.catalog().Judge(ctx, id, record)
		return err
	})
	if err == nil {
		return answer.Problems, nil
	}
	var why string
	var no *denial
	switch {
	case errors.As(err, &no):
		why = fmt.Sprintf("the bridge was not asked: %s may not publish to %q", s.denials.user, subject)
	case errors.Is(err, store.ErrNoJudge):
		why = "no bridge has answered"
	default:
		return nil, err
	}
	return s.judgeAlone(id, record, why), nil
}

// judgeAlone judges by the settings of this process; what they alone forbid is
// left to the bridge.
func (s *session) judgeAlone(id string, record []byte, why string) bridge.Problems {
	policy := recordPolicy(s.cfg)
	_, own := bridge.ParseSubscription(id, record, policy)
	policy.AllowHTTP, policy.AllowTrustAll = true, true
	policy.CheckAddress = func(netip.Addr) error { return nil }
	_, any := bridge.ParseSubscription(id, record, policy)
	for i, p := range own {
		if !p.Warning && !slices.Contains(any, p) {
			own[i].Warning = true
			own[i].Message += " (so say the settings of this command; " + why + ", and its settings decide)"
		}
	}
	return own
}

// judgeRecords answers those questions, by the settings of the bridge.
func (a *app) judgeRecords(ctx context.Context, parse func(string, []byte) (*bridge.Subscription, bridge.Problems)) error {
	subject := a.catalog().JudgeSubject()
	sub, err := a.nc.QueueSubscribe(subject, "judge", func(m *nats.Msg) {
		var request store.JudgeRequest
		var answer store.JudgeAnswer
		if err := json.Unmarshal(m.Data, &request); err != nil {
			answer.Problems = bridge.Problems{{Message: "the question is not readable; are command and bridge of the same version?"}}
		} else if s, problems := parse(request.ID, request.Record); problems.Err() != nil {
			answer.Problems = problems
		} else {
			answer.Problems, answer.Hears = problems, s.Describe()
		}
		data, err := json.Marshal(answer)
		if err == nil {
			err = m.Respond(data)
		}
		if err != nil {
			a.log.Debug("question could not be answered", "subject", m.Subject, "error", err)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to questions: %w", err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		a.log.Debug("unsubscribe from questions", "error", err)
	}
	return nil
}

// catalog is the state of the bridge, all of it.
func (a *app) catalog() *store.Catalog { return store.NewCatalog(a.js, a.names, nil) }

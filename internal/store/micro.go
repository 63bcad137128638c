package store

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"

	"orderbridge/internal/limits"
)

// service is a NATS micro service (ADR-32). That of nats.go counts what its handlers
// do; here answers are made beside them, and count with their own time and error.
type service struct {
	conn     *nats.Conn
	log      *slog.Logger
	identity micro.ServiceIdentity
	about    string
	started  time.Time
	subs     []*nats.Subscription

	mu        sync.Mutex
	endpoints []micro.EndpointInfo
	counted   []*counts
}

// counts are the statistics of an endpoint.
type counts struct {
	mu sync.Mutex
	micro.EndpointStats
}

func (c *counts) add(took time.Duration, refused string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.NumRequests++
	c.ProcessingTime += took
	c.AverageProcessingTime = c.ProcessingTime / time.Duration(c.NumRequests)
	if refused != "" {
		c.NumErrors++
		c.LastError = refused
	}
}

func (c *counts) now() *micro.EndpointStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.EndpointStats
	return &now
}

// tell has the service tell of itself.
func (s *service) tell() error {
	s.identity.ID, s.identity.Metadata, s.started = nuid.Next(), map[string]string{}, time.Now().UTC()
	for verb, about := range map[micro.Verb]func() any{micro.PingVerb: s.ping, micro.InfoVerb: s.info, micro.StatsVerb: s.stats} {
		for _, to := range []micro.ServiceIdentity{{}, {Name: s.identity.Name}, s.identity} {
			subject, err := micro.ControlSubject(verb, to.Name, to.ID)
			if err == nil {
				err = s.hear(subject, "", func(m *nats.Msg) { s.respond(m, about()) })
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *service) respond(m *nats.Msg, about any) {
	data, err := json.Marshal(about)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		s.log.Debug("the service cannot tell of itself", "subject", m.Subject, "error", err)
	}
}

func (s *service) ping() any {
	return micro.Ping{ServiceIdentity: s.identity, Type: micro.PingResponseType}
}

func (s *service) info() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return micro.Info{ServiceIdentity: s.identity, Type: micro.InfoResponseType, Description: s.about, Endpoints: s.endpoints[:len(s.endpoints):len(s.endpoints)]}
}

func (s *service) stats() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := micro.Stats{ServiceIdentity: s.identity, Type: micro.StatsResponseType, Started: s.started, Endpoints: []*micro.EndpointStats{}}
	for _, c := range s.counted {
		now.Endpoints = append(now.Endpoints, c.now())
	}
	return now
}

// add adds an endpoint.
func (s *service) add(e micro.EndpointInfo) *counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &counts{EndpointStats: micro.EndpointStats{Name: e.Name, Subject: e.Subject, QueueGroup: e.QueueGroup}}
	s.endpoints, s.counted = append(s.endpoints, e), append(s.counted, c)
	return c
}

// hear has messages handled one after another; group is the queue group, "" for none.
func (s *service) hear(subject, group string, handle nats.MsgHandler) error {
	sub, err := s.conn.QueueSubscribe(subject, group, handle)
	if err != nil {
		return err
	}
	s.subs = append(s.subs, sub)
	return sub.SetPendingLimits(limits.ServicePending, limits.ServicePendingBytes)
}

// end has nothing more come, and waits until what has come is handled and open is 0, for
// limits.ServiceEndTime at most.
func (s *service) end(open *atomic.Int64) {
	timeout := time.After(limits.ServiceEndTime)
	handled, left := make(chan struct{}, len(s.subs)), 0
	for _, sub := range s.subs {
		sub.SetClosedHandler(func(string) { handled <- struct{}{} })
		if err := sub.Drain(); err == nil {
			left++
		} else if !errors.Is(err, nats.ErrConnectionClosed) {
			s.log.Debug("end to answer commands", "subject", sub.Subject, "error", err)
		}
	}
	look := time.NewTicker(limits.ServiceEndLook)
	defer look.Stop()
	for s.conn.IsConnected() && (left > 0 || open.Load() > 0) {
		select {
		case <-handled:
			left--
		case <-look.C:
		case <-timeout:
			return
		}
	}
}

// request is one that has come to an endpoint.
type request struct {
	*nats.Msg
	counts  *counts
	former  bool   // it came by a former subject, and is refused as builds before did
	refused string // how it was
}

func (r *request) refuse(code int, answer []byte) error {
	text := http.StatusText(code)
	r.refused = strconv.Itoa(code) + ":" + text
	m := &nats.Msg{Data: answer}
	if !r.former {
		m.Header = nats.Header{micro.ErrorHeader: {text}, micro.ErrorCodeHeader: {strconv.Itoa(code)}}
	}
	return r.RespondMsg(m)
}

package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
)

// endpoint is a command or a question.
type endpoint struct {
	name, about     string
	request, answer any // of these types
	// handle answers; nil is nothing: another bridge does. An answer whose member
	// "reason" says something is a refusal, with "code" as HTTP has it, else 409.
	handle   func(context.Context, *nats.Msg) any
	question bool          // any bridge answers, else the leader alone
	within   time.Duration // it is answered; 0: limits.CommandCallTime
	beside   int           // so many are answered at the same time; 0: one after another, or limits.QuestionsAtOnce questions
	former   bool          // builds before listened to it on formerSubject
}

// formerSubject is where builds before this one listened for a command or
// question, "" if there was none. To be removed with the next minor version.
func formerSubject(subject string) string {
	at := strings.LastIndexByte(subject, '.')
	switch name := subject[at+1:]; name {
	case "redrive", "stream", "shards", "audit", "judge":
		return subject[:at] + ".cmd." + name
	}
	return ""
}

// Run answers until ctx ends.
func (c Commands) Run(ctx context.Context) error {
	service := &service{conn: c.Conn, log: c.Log, about: "orderbridge: commands to its leader and questions to any bridge",
		identity: micro.ServiceIdentity{Name: strings.NewReplacer(".", "_", " ", "_").Replace(c.Names.Commands), Version: semantic(c.Version)}}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	c.tasks, c.open = &tasks, new(atomic.Int64)
	answering, cancel := context.WithCancel(context.WithoutCancel(ctx)) // what has come is answered
	defer cancel()
	defer func() { service.end(c.open) }()
	if err := service.tell(); err != nil {
		return fmt.Errorf("begin to answer commands: %w", err)
	}
	for _, e := range c.endpoints() {
		if err := c.listen(answering, service, e); err != nil {
			return fmt.Errorf("listen for %s: %w", e.name, err)
		}
	}
	<-ctx.Done()
	return nil
}

func (c Commands) listen(ctx context.Context, s *service, e endpoint) error {
	of := micro.EndpointInfo{Name: e.name, Subject: c.Names.Commands + "." + e.name, Metadata: map[string]string{
		"description": e.about, "request": requestShape(e.request), "response": shape(e.answer), "answers": "the leader"}}
	answer := c.answering(ctx, e)
	switch {
	case e.question:
		of.QueueGroup, of.Metadata["answers"] = questions, "any bridge"
		answer = c.queued(ctx, cmp.Or(e.beside, limits.QuestionsAtOnce), answer)
	case e.beside > 0:
		answer = c.beside(ctx, e.beside, answer)
	}
	counts := s.add(of)
	err := s.hear(of.Subject, of.QueueGroup, func(m *nats.Msg) { answer(&request{Msg: m, counts: counts}) })
	if err == nil && e.former {
		err = s.hear(formerSubject(of.Subject), of.QueueGroup, func(m *nats.Msg) { answer(&request{Msg: m, counts: counts, former: true}) })
	}
	return err
}

// Spared are the beginnings of the subjects without which everything but commands,
// questions and the list of alerts goes on, as with the permissions of a former build.
func Spared(n Names) []string {
	return []string{n.Commands + ".", micro.APIPrefix + ".", jetstream.DefaultAPIPrefix + "STREAM.MSG.GET." + n.Alerts}
}

// questions is the queue group of those that any bridge answers.
const questions = "judge"

// answering makes the handler of an endpoint. What goes wrong is told in the
// answer, and to the service only by its kind: what it counts, everybody may see
// who may see its statistics.
func (c Commands) answering(ctx context.Context, e endpoint) func(*request) {
	return func(req *request) {
		if req.Reply == "" {
			return // nobody would hear the answer
		}
		began := time.Now()
		defer func() { req.counts.add(time.Since(began), req.refused) }()
		var answer any
		switch {
		case len(req.Data) > limits.ServiceRequestBytes:
			answer = refusedAnswer{fmt.Sprintf("the request has %d bytes; at most %d are read", len(req.Data),
				limits.ServiceRequestBytes), http.StatusRequestEntityTooLarge}
		default:
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.within, limits.CommandCallTime))
			defer cancel()
			answer = c.handle(ctx, e, req.Msg)
		}
		if answer == nil {
			return
		}
		if err := respond(req, answer); err != nil {
			c.Log.Warn("command could not be answered", "subject", req.Subject, "error", err)
		}
	}
}

// handle has an endpoint answer. A request that makes it panic ends nothing else;
// what the panic says may hold anything, the stack holds no texts.
func (c Commands) handle(ctx context.Context, e endpoint, m *nats.Msg) (answer any) {
	defer func() {
		if p := recover(); p != nil {
			c.Log.Error("a request over the bus made the program panic", "endpoint", e.name, "kind", fmt.Sprintf("%T", p),
				"stack", string(debug.Stack()))
			answer = refusedAnswer{"the request could not be answered; the log says more", http.StatusInternalServerError}
		}
	}()
	return e.handle(ctx, m)
}

// beside has requests answered beside the others, so many at the same time.
func (c Commands) beside(ctx context.Context, most int, answer func(*request)) func(*request) {
	slots := make(chan struct{}, most)
	return func(req *request) {
		select {
		case slots <- struct{}{}:
			c.open.Add(1)
			c.tasks.Go(func() {
				defer func() { <-slots; c.open.Add(-1) }()
				answer(req)
			})
		case <-ctx.Done():
		case <-time.After(limits.JetStreamTime): // whoever asks has given up, or soon will
		}
	}
}

// refusedAnswer is the answer to what is not even looked at.
type refusedAnswer struct {
	Reason string `json:"reason"`
	Code   int    `json:"code"`
}

func respond(req *request, answer any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people read it
	if err := enc.Encode(answer); err != nil {
		return fmt.Errorf("an answer is not JSON: %w", err)
	}
	data := safetext.JSON(bytes.TrimSpace(b.Bytes()))
	told := gjson.GetManyBytes(data, "reason", "code")
	code := int(told[1].Int())
	if code == 0 && told[0].String() != "" {
		code = http.StatusConflict
	}
	if own, ok := answer.(interface{ refusal() int }); ok { // its reason may be another's
		code = own.refusal()
	}
	if code == 0 {
		return req.Respond(data)
	}
	return req.refuse(code, data)
}

var noIdentifier = regexp.MustCompile(`[^0-9A-Za-z-]+`)

var semver = regexp.MustCompile(`^v?((0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)$`)

// semantic is the version as the service tells it.
func semantic(version string) string {
	if m := semver.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return "0.0.0-" + cmp.Or(strings.Trim(noIdentifier.ReplaceAllString(version, "-"), "-"), "devel")
}

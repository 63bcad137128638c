package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
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
	service, err := micro.AddService(c.Conn, micro.Config{
		Name:        strings.NewReplacer(".", "_", " ", "_").Replace(c.Names.Commands),
		Version:     semantic(c.Version),
		Description: "orderbridge: commands to its leader and questions to any bridge",
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			c.Log.Debug("commands and questions", "subject", err.Subject, "error", err.Description)
		},
	})
	if err != nil {
		return fmt.Errorf("begin to answer commands: %w", err)
	}
	defer func() {
		if err := service.Stop(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			c.Log.Debug("end to answer commands", "error", err)
		}
	}()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	c.tasks = &tasks
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, e := range c.endpoints() {
		end, err := c.listen(ctx, service, e)
		if err != nil {
			return fmt.Errorf("listen for %s: %w", e.name, err)
		}
		defer end()
	}
	<-ctx.Done()
	return nil
}

func (c Commands) listen(ctx context.Context, service micro.Service, e endpoint) (end func(), err error) {
	subject, nothing := c.Names.Commands+"."+e.name, func() {}
	shapes := map[string]string{"description": e.about, "request": requestShape(e.request), "response": shape(e.answer),
		"answers": "the leader"}
	options := []micro.EndpointOpt{micro.WithEndpointSubject(subject),
		micro.WithEndpointPendingLimits(limits.ServicePending, limits.ServicePendingBytes)}
	if e.question {
		shapes["answers"] = "any bridge"
		options = append(options, micro.WithEndpointQueueGroup(questions))
	} else {
		options = append(options, micro.WithEndpointQueueGroupDisabled())
	}
	answer := c.answering(ctx, e)
	switch {
	case e.question:
		answer = c.queued(ctx, cmp.Or(e.beside, limits.QuestionsAtOnce), answer)
	case e.beside > 0:
		answer = c.beside(ctx, e.beside, answer)
	}
	if err := service.AddEndpoint(e.name, answer, append(options, micro.WithEndpointMetadata(shapes))...); err != nil {
		return nothing, err
	}
	if !e.former {
		return nothing, nil
	}
	group := ""
	if e.question {
		group = questions
	}
	sub, err := c.Conn.QueueSubscribe(formerSubject(subject), group, func(m *nats.Msg) { answer.Handle(plainRequest{m}) })
	if err != nil {
		return nothing, err
	}
	return func() {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			c.Log.Debug("unsubscribe from commands", "subject", sub.Subject, "error", err)
		}
	}, nil
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
func (c Commands) answering(ctx context.Context, e endpoint) micro.HandlerFunc {
	return func(req micro.Request) {
		if req.Reply() == "" {
			return // nobody would hear the answer
		}
		var answer any
		switch {
		case len(req.Data()) > limits.ServiceRequestBytes:
			answer = refusedAnswer{fmt.Sprintf("the request has %d bytes; at most %d are read", len(req.Data()),
				limits.ServiceRequestBytes), http.StatusRequestEntityTooLarge}
		default:
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.within, limits.CommandCallTime))
			defer cancel()
			answer = c.handle(ctx, e, &nats.Msg{Subject: req.Subject(), Reply: req.Reply(), Header: nats.Header(req.Headers()),
				Data: req.Data()})
		}
		if answer == nil {
			return
		}
		if err := respond(req, answer); err != nil {
			c.Log.Warn("command could not be answered", "subject", req.Subject(), "error", err)
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
func (c Commands) beside(ctx context.Context, most int, answer micro.HandlerFunc) micro.HandlerFunc {
	slots := make(chan struct{}, most)
	return func(req micro.Request) {
		select {
		case slots <- struct{}{}:
			c.tasks.Go(func() {
				defer func() { <-slots }()
				answer(c.later(req))
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

func respond(req micro.Request, answer any) error {
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
	return req.Error(strconv.Itoa(code), http.StatusText(code), data)
}

// plainRequest is a request that came by a former subject.
type plainRequest struct{ *nats.Msg }

func (r plainRequest) Data() []byte           { return r.Msg.Data }
func (r plainRequest) Headers() micro.Headers { return micro.Headers(r.Header) }
func (r plainRequest) Subject() string        { return r.Msg.Subject }
func (r plainRequest) Reply() string          { return r.Msg.Reply }

// Respond implements micro.Request.
func (r plainRequest) Respond(data []byte, _ ...micro.RespondOpt) error { return r.Msg.Respond(data) }

// RespondJSON implements micro.Request.
func (r plainRequest) RespondJSON(v any, _ ...micro.RespondOpt) error { return respond(r, v) }

// Error implements micro.Request: as builds before did.
func (r plainRequest) Error(_, _ string, data []byte, _ ...micro.RespondOpt) error {
	return r.Msg.Respond(data)
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

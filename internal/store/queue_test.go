package store

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// More questions than can be answered are told so, each of them, while others are
// still under way; questions of another kind are answered meanwhile, and when it is
// over all are. Whoever asks asks again.
func TestFloodIsAnswered(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}, 1000), make(chan struct{})
	js, names := answers(t, Commands{Parse: func(id string, data []byte) (*record.Subscription, record.Problems) {
		if id == "slow" {
			begun <- struct{}{}
			<-release
		}
		return record.Parse(id, data, record.Policy{})
	}})
	nc := js.Conn()
	const flood = limits.QuestionsAtOnce + limits.QuestionsWaiting + 100
	inbox, heard := nats.NewInbox(), make(chan *nats.Msg, flood)
	sub, err := nc.ChanSubscribe(inbox, heard)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	c := NewCatalog(js, names, nil)
	judge := func() (a JudgeAnswer, err error) { // as often as it takes on a slow machine
		for end := time.Now().Add(lab.Patience); ; {
			a, err = c.Judge(t.Context(), "good", []byte(`{"targetURL":"https://acme.example.com/"}`))
			if !errors.Is(err, ErrNoJudge) || time.Now().After(end) {
				return a, err
			}
		}
	}
	if _, err := judge(); err != nil {
		t.Fatal(err)
	}
	slow := []byte(`{"id":"slow","record":"e30="}`)
	for range limits.QuestionsAtOnce {
		publish(t, nc, names.Commands+".judge", inbox, slow)
	}
	for range limits.QuestionsAtOnce {
		await(t, begun)
	}
	for range flood - limits.QuestionsAtOnce {
		publish(t, nc, names.Commands+".judge", inbox, slow)
	}
	for range 100 {
		if m := await(t, heard); string(m.Data) != string(busy) || m.Header.Get("Nats-Service-Error-Code") != "429" {
			t.Fatalf("got %v %s", m.Header, m.Data)
		}
	}
	var no *RefusedError
	if _, err := judge(); !errors.As(err, &no) || no.Code != http.StatusTooManyRequests {
		t.Errorf("a question among too many: %v", err)
	}
	if m, err := nc.Request(names.Commands+".explain", []byte("no JSON"), lab.Patience); err != nil || m.Header.Get("Nats-Service-Error-Code") != "400" {
		t.Errorf("a question of another kind: %v, %v", m, err)
	}
	close(release)
	for range flood - 100 {
		await(t, heard)
	}
	if a, err := judge(); err != nil || a.Problems.Err() != nil {
		t.Errorf("when it is over: %v, %v", a, err)
	}
}

// Of many questions that come at once each is answered, and a command meanwhile does
// not wait for them.
func TestFloodLeavesTurnsToCommands(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	js, names := answers(t, Commands{Bridge: leading{}, Parse: func(id string, data []byte) (*record.Subscription, record.Problems) {
		<-release
		return record.Parse(id, data, record.Policy{})
	}})
	nc := js.Conn()
	for end := time.Now().Add(lab.Patience); ; { // the last one is being added
		if _, err := nc.Request(names.Commands+".test", nil, lab.Patience); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing answers")
		}
	}
	const flood = 10_000
	inbox, heard := nats.NewInbox(), make(chan *nats.Msg, flood)
	sub, err := nc.ChanSubscribe(inbox, heard)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	for range flood {
		publish(t, nc, names.Commands+".judge", inbox, []byte(`{"id":"slow","record":"e30="}`))
	}
	if m, err := nc.Request(names.Commands+".skip", []byte(`{}`), lab.Patience); err != nil || m.Header.Get("Nats-Service-Error-Code") != "400" {
		t.Errorf("a command among questions none of which is answered: %v, %v", m, err)
	}
	close(release)
	for range flood {
		await(t, heard)
	}
}

func publish(t *testing.T, nc *nats.Conn, subject, reply string, data []byte) {
	t.Helper()
	if err := nc.PublishRequest(subject, reply, data); err != nil {
		t.Fatal(err)
	}
}

func await[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(lab.Patience):
		t.Fatal("nothing has come")
	}
	return v
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"orderbridge/internal/safetext"
	"orderbridge/internal/store"
)

// route is one operation of openapi.yaml.
type route struct {
	method, path string
	handle       func(*http.Request) (answer, error)
}

// routes are all operations but that of livePath, which answers as long as it is listened to.
func (a *API) routes() []route {
	const rawRecords = "/api/v1/records/{id}"
	const webhook, letter = webhooksPath + "/{id}", "/api/v1/dead-letters/{sequence}"
	return []route{
		{"POST", webhooksPath, a.createWebhook}, // contract C
		{"GET", webhooksPath, a.listWebhooks},
		{"GET", webhook, a.getWebhook},
		{"PUT", webhook, a.updateWebhook},
		{"DELETE", webhook, a.deleteWebhook},
		{"POST", webhook + "/activate", a.activateWebhook},
		{"POST", webhook + "/deactivate", a.deactivateWebhook},
		{"POST", webhook + "/pause", a.pauseWebhook},
		{"POST", webhook + "/resume", a.resumeWebhook},
		{"POST", webhook + "/retry-now", a.retryWebhookNow},
		{"POST", webhook + "/skip", a.skipHead},
		{"POST", webhook + "/rotate-secret", a.rotateSecret},
		{"POST", webhook + "/test", a.testWebhook},

		{"POST", gatewayV2, a.registerByBody}, // contract A
		{"GET", gatewayV1, a.registerByQuery},

		{"POST", "/api/v1/explain", a.explain},
		{"POST", "/api/v1/test", a.testRecord},

		{"GET", "/api/v1/statuses", a.listStatuses}, // for operators
		{"GET", "/api/v1/statuses/{id}", a.getStatus},
		{"GET", "/api/v1/owed", a.listOwed},
		{"GET", "/api/v1/attempts", a.listAttempts},
		{"GET", "/api/v1/orders", a.getOrder},
		{"GET", "/api/v1/orders/{order}", a.getOrder},
		{"GET", "/api/v1/leaders", a.getLeaders},
		{"GET", "/api/v1/figures", a.getFigures},
		{"GET", "/api/v1/figures/subscriptions", a.getFiguresOfSome},
		{"GET", "/api/v1/alerts", a.listAlerts},
		{"GET", "/api/v1/events", a.listEvents},
		{"POST", "/api/v1/retry-now", a.retryNow},
		{"GET", "/api/v1/dead-letters", a.listDeadLetters},
		{"POST", "/api/v1/dead-letters/redrive", a.redriveMany},
		{"POST", "/api/v1/dead-letters/purge", a.purgeMany},
		{"GET", letter, a.getDeadLetter},
		{"POST", letter + "/redrive", a.redrive},

		{"POST", webhook + "/rewind", a.rewind},
		{"POST", "/api/v1/replays", a.beginReplay},
		{"GET", "/api/v1/replays", a.listReplays},
		{"GET", "/api/v1/replays/{id}", a.getReplay},
		{"DELETE", "/api/v1/replays/{id}", a.stopReplay},
		{"DELETE", letter, a.removeLetter},
		{"GET", letter + "/envelope", a.getEnvelope},
		{"DELETE", "/api/v1/dead-letters", a.removeLetters},

		{"GET", "/api/v1/records", a.listRecords}, // for the commands
		{"GET", rawRecords, a.getRecord},
		{"PUT", rawRecords, a.putRecord},
		{"DELETE", rawRecords, a.removeRecord},
		{"POST", "/api/v1/judge", a.judge},
		{"GET", "/api/v1/overview", a.getOverview},
		{"POST", "/api/v1/shards", a.setShards},
		{"POST", "/api/v1/stream", a.askStream},
		{"GET", "/api/v1/audit", a.listAudit},

		{"POST", sessionPath, a.beginSession}, // for browsers
		{"GET", sessionPath, a.getSession},
		{"DELETE", sessionPath, a.endSession},
		{"GET", loginPath, a.waysToLogIn},
		{"POST", loginPath, a.beginLogin},
		{"PUT", loginPath, a.endLogin},
	}
}

// answer is what an operation says: a body as JSON, 204 without one. A *plain
// body stands as it is, byte for byte.
type answer struct {
	body any
	etag string
	// cookies of sessions, set and taken back.
	cookies []*http.Cookie
}

// respond writes what came of an operation; every error passes failure.
func (a *API) respond(w http.ResponseWriter, r *http.Request, out answer, err error) {
	for _, c := range out.cookies {
		http.SetCookie(w, c)
	}
	if err != nil {
		p := a.failure(r.Context(), err)
		if p.after > 0 {
			w.Header().Set("Retry-After", p.retryAfter())
		}
		send(w, "application/problem+json", p.Status, encode(p))
		return
	}
	if out.etag != "" {
		w.Header().Set("ETag", out.etag)
	}
	switch body := out.body.(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
	case *plain:
		if body.status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		send(w, "application/json", body.status, body.body())
	default:
		send(w, "application/json", http.StatusOK, encode(body))
	}
}

func send(w http.ResponseWriter, kind string, status int, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone away is nobody's failure
}

// encode writes JSON in which nothing hides.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Errorf("an answer is not JSON: %w", err)) // ServeHTTP answers
	}
	return safetext.JSON(b.Bytes())
}

// bodyOf is the body of a request, which serve has read already.
func bodyOf(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	return body
}

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // what to give for the next page; "": it is the last
}

// parameters reads those of a request, and remembers what is wrong with them.
type parameters struct {
	r     *http.Request
	found []string
}

// wrong is a *problem that tells all that was wrong, nil if nothing was.
func (p *parameters) wrong() error {
	if len(p.found) == 0 {
		return nil
	}
	return say(http.StatusBadRequest, "validation failed; "+strings.Join(p.found, "; "))
}

func (p *parameters) say(in, name, format string, args ...any) {
	p.found = append(p.found, in+"."+name+": "+fmt.Sprintf(format, args...))
}

// page are the parameters that all lists take.
func (p *parameters) page() (after string, limit int) { return p.text("after", 200), p.limit() }

func (p *parameters) limit() int {
	const least, most, usual = 1, 500, 100
	text := p.r.URL.Query().Get("limit")
	if text == "" {
		return usual
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		p.say("query", "limit", "invalid integer")
	case n < least:
		p.say("query", "limit", "expected number >= %d", least)
	case n > most:
		p.say("query", "limit", "expected number <= %d", most)
	}
	return int(n)
}

// text is a parameter of at most so many characters.
func (p *parameters) text(name string, most int) string {
	text := p.r.URL.Query().Get(name)
	if utf8.RuneCountInString(text) > most {
		p.say("query", name, "expected length <= %d", most)
	}
	return text
}

// subscription is a parameter that is the id of one, or absent: on the bus "*" would be that of all.
func (p *parameters) subscription() string {
	id := p.r.URL.Query().Get("subscription")
	if member, err := (store.AttemptQuery{Subscription: id}).Check(); err != nil {
		p.say("query", member, "%v", err)
	}
	return id
}

// word is a parameter that is one of some, or absent.
func (p *parameters) word(name string, words ...string) string {
	text := p.r.URL.Query().Get(name)
	for _, word := range words {
		if text == word {
			return text
		}
	}
	if text != "" {
		p.say("query", name, "expected value to be one of \"%s\"", strings.Join(words, ", "))
	}
	return text
}

// below is a sequence; 0 if it is absent.
func (p *parameters) below(name string) uint64 {
	text := p.r.URL.Query().Get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.say("query", name, "invalid integer")
	}
	return n
}

// sequence is the one in the path.
func (p *parameters) sequence() uint64 {
	n, err := strconv.ParseUint(p.r.PathValue("sequence"), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax), errors.Is(err, strconv.ErrRange):
		p.say("path", "sequence", "invalid integer")
	case n < 1:
		p.say("path", "sequence", "expected number >= 1")
	}
	return n
}

package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/safetext"
)

// problem is an error of RFC 9457; errors names the members of a record that
// are wrong.
type problem struct {
	Type   string          `json:"type"`
	Title  string          `json:"title"`
	Status int             `json:"status"`
	Detail string          `json:"detail"`
	Errors record.Problems `json:"errors,omitempty"`
	Code   string          `json:"code,omitempty"` // one of the Codes, where programs branch on it

	after time.Duration // Retry-After, 0: none
}

// What a problem's code may be.
const (
	CodeNotFound = "not-found" // there is no such thing, or it belongs to somebody else
	CodeChanged  = "changed"   // by somebody else meanwhile
	CodeRefused  = "refused"   // the leader does not do it; detail is its reason
	CodeNoLeader = "no-leader" // at the moment
	CodeNoJudge  = "no-judge"  // no bridge has answered
)

func coded(status int, code, detail string) *problem {
	p := say(status, detail)
	p.Code = code
	return p
}

func say(status int, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// later is 429, with the time after which to try again.
func later(after time.Duration, detail string) *problem {
	p := say(http.StatusTooManyRequests, detail)
	p.after = max(after, time.Second)
	return p
}

// retryAfter is the value of Retry-After, in seconds.
func (p *problem) retryAfter() string {
	return strconv.Itoa(int((p.after + time.Second - 1) / time.Second))
}

// badRecord tells a record's problems; warnings are left out.
func badRecord(problems record.Problems) *problem {
	p := say(http.StatusBadRequest, problems.Errors().Error())
	p.Errors = problems.Errors()
	return p
}

func badMember(field, message string) *problem {
	return badRecord(record.Problems{{Field: field, Message: message}})
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// plain is contract A's own shape, for answers and errors alike, byte for byte.
type plain struct {
	status  int
	message string
}

// body is written by hand: an encoder leaves no blanks.
func (p *plain) body() []byte {
	return []byte(`{"status": ` + strconv.Itoa(p.status) + `, "message": ` + quoteJSON(p.message) + `}`)
}

// refuse answers before a handler is reached, in the shape of the contract whose
// path it is.
//
// A body that nobody wants is not waited for: the connection ends with the answer.
func refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	if isGateway(r.URL.Path) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write((&plain{status, detail}).body()) // a caller that has gone away is nobody's failure
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(safetext.Writer{Under: w}).Encode(say(status, detail)) // likewise
}

// Starting answers all requests as long as there is no API yet.
func Starting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "1")
	refuse(w, r, http.StatusServiceUnavailable, "the program is starting; /readyz says what it waits for")
}

func quoteShort(s string) string { return strconv.Quote(s[:min(len(s), 100)]) }

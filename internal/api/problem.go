package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"orderbridge/bridge"
	"orderbridge/internal/safetext"
)

// problem is an error of RFC 9457; errors names the members of a record that
// are wrong.
type problem struct {
	Type   string          `json:"type" doc:"about:blank: the status says it all"`
	Title  string          `json:"title" doc:"The status in words"`
	Status int             `json:"status" doc:"The HTTP status"`
	Detail string          `json:"detail" doc:"What is wrong, and what to do about it"`
	Errors bridge.Problems `json:"errors,omitempty" doc:"Each member that is wrong"`

	after time.Duration // Retry-After, 0: none
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

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	if p.after == 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(int((p.after + time.Second - 1) / time.Second))}}
}

// badRecord tells a record's problems; warnings are left out.
func badRecord(problems bridge.Problems) *problem {
	p := say(http.StatusBadRequest, problems.Errors().Error())
	p.Errors = problems.Errors()
	return p
}

func badMember(field, message string) *problem {
	return badRecord(bridge.Problems{{Field: field, Message: message}})
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// plain is contract A's own shape, for answers and errors alike, byte for byte.
type plain struct {
	status  int
	message string
}

func (p *plain) Error() string             { return p.message }
func (p *plain) GetStatus() int            { return p.status }
func (p *plain) ContentType(string) string { return "application/json" }

// body is written by hand: an encoder leaves no blanks.
func (p *plain) body() []byte {
	return []byte(`{"status": ` + strconv.Itoa(p.status) + `, "message": ` + quoteJSON(p.message) + `}`)
}

// The errors that huma itself finds (a parameter, a body that is too large) get
// our shapes; what was sent is not repeated in them.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		for _, err := range errs {
			if d, ok := err.(huma.ErrorDetailer); ok {
				detail += "; " + strings.TrimSpace(d.ErrorDetail().Location+": "+d.ErrorDetail().Message)
			}
		}
		if status == http.StatusUnprocessableEntity {
			status = http.StatusBadRequest
		}
		return say(status, detail)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, detail string, errs ...error) huma.StatusError {
		err := huma.NewError(status, detail, errs...)
		if u := ctx.URL(); isGateway(u.Path) {
			return &plain{err.GetStatus(), err.Error()}
		}
		return err
	}
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

package publishers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/publishers/http1"
)

// request is the description of one HTTP request: a value, nothing is sent yet.
type request struct {
	method string
	url    *url.URL
	origin http1.Origin
	fields []http1.Field // sorted by name
	body   []byte        // nil: no body, and no Content-Type

	connect time.Duration // within which a connection must be there; 0: the default
	watch   *watch        // nil: nothing is noted
}

// endpoint is what of a record is compiled once: all of a request that does not
// depend on the event.
type endpoint struct {
	method   string
	payload  event.Payload
	bodyKey  string // the record's key, where the payload has it in the body
	target   *template
	static   []http1.Field   // the record's own headers and its authentication
	slots    []slot          // all fields that a request may have
	signer   *signer         // nil: nothing is signed
	token    *tokenSource    // nil: no token is needed
	sources  *sources        // the files that it was made from; nil: none
	pool     *pool           // the connections
	tenant   string          // shares idle connections with its own only
	secrets  []string        // what must never come back in an error text
	warnings record.Problems // what is unwise about what it was made from
	checked  atomic.Int64    // when the files of sources were last looked at, Unix nanoseconds

	// What is shown of it, made when it is needed.
	shownTarget atomic.Pointer[[]piece]
	lastAnswer  atomic.Pointer[answerShown]
	forms       atomic.Pointer[hiddenForms]
}

// compileEndpoint reads what the record refers to and makes all but connections
// and tokens.
func compileEndpoint(s *record.Subscription, from *sources) (*endpoint, error) {
	more := s.More
	if more == nil {
		more = &record.More{}
	}
	payload, known := event.PayloadOf(s.Payload)
	if !known {
		return nil, errors.New("payload " + strconv.Quote(s.Payload) + " is not known")
	}
	e := &endpoint{method: s.Method, payload: payload}
	if e.method == "" {
		e.method = http.MethodPost
	}
	switch e.method {
	case http.MethodGet, http.MethodPost, http.MethodPut:
	default:
		return nil, errors.New("method " + strconv.Quote(e.method) + " is none of GET, POST, PUT")
	}
	key, err := from.secret("key", more.Key)
	if err != nil {
		return nil, err
	}
	inURL := key
	if payload.KeyMember != "" {
		inURL, e.bodyKey = "", key
	}
	if e.target, err = parseTemplate(s.TargetURL, inURL); err != nil {
		return nil, err
	}
	e.secrets = record.URLSecrets(s.TargetURL)
	if key != "" {
		e.hide(key, escapeValue(key))
	}
	for _, name := range slices.Sorted(maps.Keys(more.Headers)) {
		value := more.Headers[name]
		value, err := from.secret("headers."+name, record.Secret(value))
		if err != nil {
			return nil, err
		}
		if !validHeader(name, value) {
			return nil, errors.New("header " + strconv.Quote(name) + " has a name or value that HTTP does not allow")
		}
		e.static = append(e.static, http1.Field{Name: textproto.CanonicalMIMEHeaderKey(name), Value: value})
		if len(value) >= minSecret {
			e.hide(value)
		}
	}
	if err := e.authenticate(more.Auth, from); err != nil {
		return nil, err
	}
	if err := e.signWith(more, from); err != nil {
		return nil, err
	}
	e.slots = slotsFor(e.static)
	return e, nil
}

// authenticate adds what the record authenticates itself with; a token is left for
// the token source.
func (e *endpoint) authenticate(a *record.Auth, from *sources) error {
	field, err := a.Header(from.secret)
	var problem record.Problem
	switch {
	case errors.As(err, &problem):
		return &memberError{problem.Field, errors.New(problem.Message)}
	case err != nil:
		return err
	}
	if field.Name != "" {
		e.static = append(e.static, http1.Field{Name: field.Name, Value: field.Value})
		e.hide(field.Hidden...)
	}
	return nil
}

// signWith reads the keys that sign.
func (e *endpoint) signWith(more *record.More, from *sources) error {
	if more.Secret == "" && len(more.Signing) == 0 {
		return nil
	}
	e.signer = &signer{formerUntil: more.FormerUntil}
	if more.Secret != "" {
		secret, err := from.secret("secret", more.Secret)
		if err != nil {
			return err
		}
		e.signer.body = []byte(secret)
		e.hide(secret)
	}
	for i, given := range more.Signing {
		member := "signing.secrets[" + strconv.Itoa(i) + "]"
		secret, err := from.secret(member, given)
		if err != nil {
			return err
		}
		key, err := record.SigningKey(record.Secret(secret))
		if err != nil {
			return &memberError{member, err}
		}
		e.signer.webhooks = append(e.signer.webhooks, key)
		e.hide(secret, strings.TrimPrefix(secret, "whsec_"), string(key))
	}
	return nil
}

// hide keeps values out of every text that the endpoint's answers go into.
func (e *endpoint) hide(values ...string) {
	for _, v := range values {
		if v != "" {
			e.secrets = append(e.secrets, v)
		}
	}
}

// minSecret is the length from which a constant header of a record is hidden in texts: shorter ones are not secrets,
// and hiding them would only garble what people read.
const minSecret = 6

// render makes the request of an attempt. It is a pure function of the
// compiled record, the delivery and the time; an error means that no later
// attempt can do better.
func (e *endpoint) render(d *protocol.Delivery, userAgent string, now time.Time) (request, error) {
	r := request{method: e.method, origin: e.target.origin}
	var err error
	if r.url, err = e.target.render(d.Event); err != nil {
		return request{}, err
	}
	v := values{agentValue: userAgent, idValue: deliveryHeader(d.ID()), timestampValue: strconv.FormatInt(now.Unix(), 10)}
	if e.method != http.MethodGet {
		if r.body, v[contentTypeValue], err = e.payload.Render(d.Event); err != nil {
			return request{}, err
		}
	}
	if e.bodyKey != "" && r.body != nil {
		if r.body, err = withMember(r.body, e.payload.KeyMember, e.bodyKey); err != nil {
			return request{}, err
		}
	}
	if e.payload.Verbatim && r.body != nil {
		if encoding := d.Event.ContentEncoding(); encoding != "" && len(encoding) <= 64 && isVisible(encoding) {
			v[contentEncodingValue] = encoding
		}
	}
	if e.signer != nil {
		e.signer.sign(&v, r.body, now)
	}
	v.setEvent(d)
	r.fields = fill(e.slots, &v)
	return r, nil
}

// withMember adds a member to an object of JSON that has one already.
func withMember(object []byte, name, value string) ([]byte, error) {
	member, err := json.Marshal(map[string]string{name: value})
	if err != nil || !bytes.HasPrefix(object, []byte("{")) {
		return nil, errors.Join(err, errors.New("the body is no object of JSON"))
	}
	return slices.Concat(member[:len(member)-1], []byte(","), object[1:]), nil
}

// setEvent sets what tells of the delivery and its event.
func (v *values) setEvent(d *protocol.Delivery) {
	set := func(at value, text string) {
		if text = headerValue(text); len(text) <= limits.HeaderValueBytes {
			v[at] = text
		}
	}
	v[attemptValue] = strconv.Itoa(d.Attempt)
	set(eventIDValue, d.Event.PublisherID)
	set(orderIDValue, d.Event.OrderID)
	set(eventTypeValue, d.Event.Type)
	if d.Redrive {
		v[redriveValue] = "true"
	}
	if d.Replay != "" {
		v[replayValue], v[replayIDValue] = "true", d.Replay
	}
	if d.Test {
		v[testValue] = "true"
	}
	if parent := d.Event.HeaderValue("traceparent"); validTraceparent(parent) {
		v[traceParentValue] = parent
		if state := d.Event.HeaderValue("tracestate"); len(state) <= 512 && isVisible(state) {
			v[traceStateValue] = state
		}
	}
}

// deliveryHeader is a delivery id as a header: encoded by headerValue or, where
// that would be too long, "sha256-" and the hash of the id in hex. Either way
// it is the same for each attempt and another one for each other delivery.
func deliveryHeader(id string) string {
	v := headerValue(id)
	if len(v) <= limits.HeaderValueBytes {
		return v
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// headerValue encodes a text for a header: visible ASCII stands for itself, but
// each % and every other byte (spaces, control characters, UTF-8) is %XX.
// Percent-decoding gives the text back, and nothing in it can break a header.
func headerValue(s string) string {
	plain := 0
	for plain < len(s) && s[plain] > ' ' && s[plain] < 0x7f && s[plain] != '%' {
		plain++
	}
	if plain == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)+16), s[:plain]...)
	for i := plain; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 0x7f && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

// validTraceparent reports whether s is a W3C trace context of version 00.
func validTraceparent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	for i := 3; i < len(s); i++ {
		if c := s[i]; i != 35 && i != 52 && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

func validHeader(name, value string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return validFieldValue(value)
}

// isVisible reports whether s is ASCII without control characters: what is
// passed on from a publisher must not depend on how a receiver reads the rest.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func validFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

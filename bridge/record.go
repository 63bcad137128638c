package bridge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// RecordPolicy is what the operator permits a record.
type RecordPolicy struct {
	AllowHTTP         bool // http:// URLs (ORDERBRIDGE_ALLOW_HTTP)
	AllowHTTPLoopback bool // http:// URLs on localhost, 127.0.0.0/8 and ::1 (ORDERBRIDGE_DEV)
	AllowTrustAll     bool // tls.trustAll (ORDERBRIDGE_ALLOW_TRUST_ALL)
	// CheckAddress judges the host of a URL that is an address; its error names
	// the remedy. nil: any. Names are judged when they are dialed.
	CheckAddress func(netip.Addr) error
	// CheckFilter says what is wrong with a filter, with line and column. nil:
	// records with a filter are refused.
	CheckFilter func(expression string) error
	// LeastWait is the shortest wait of retry.schedule; a shorter one is raised,
	// with a warning. 0: a second.
	LeastWait time.Duration
}

// ParseSubscription reads the record that stands under the key id. All problems
// are told at once; the subscription is nil if one of them is an error. Nothing
// of data is kept, and no message holds a secret, or a URL's user info, path or query.
func ParseSubscription(id string, data []byte, policy RecordPolicy) (*Subscription, Problems) {
	r := &recordReader{
		policy: policy,
		s:      &Subscription{ID: strings.Clone(id), Method: "POST", Payload: "event", MaxInFlight: DefaultMaxInFlight},
	}
	if !isSafeID(id) {
		r.fail("id", "the key %s is no id; use 1 to 64 of A-Z a-z 0-9 _ -", quote(id))
	}
	if err := checkJSON(data); err != nil {
		r.fail("", "%s", err)
		return nil, r.problems
	}
	r.object("", gjson.ParseBytes(data), recordMembers)
	r.checkTogether()
	if r.problems.Err() != nil {
		return nil, r.problems
	}
	return r.s, r.problems
}

// checkJSON makes sure that data is one JSON object of bounded size.
func checkJSON(data []byte) error {
	switch trimmed := bytes.TrimLeft(data, " \t\r\n"); {
	case len(data) > limits.RecordBytes:
		return fmt.Errorf("the record has %d bytes; at most %d are read", len(data), limits.RecordBytes)
	case len(trimmed) == 0:
		return errors.New(`the record is empty; the least is {"targetURL":"https://…"}`)
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return errors.New("the record begins with a byte order mark; save it as UTF-8 without one")
	case !utf8.Valid(data):
		return errors.New("the record is not UTF-8; save it as UTF-8")
	case !validJSON(data):
		var syntax *json.SyntaxError
		var v any
		if err := json.Unmarshal(data, &v); errors.As(err, &syntax) {
			before := data[:min(int(syntax.Offset), len(data))]
			line := bytes.Count(before, []byte("\n")) + 1
			column := len(before) - bytes.LastIndexByte(before, '\n') - 1
			if int(syntax.Offset) >= len(bytes.TrimRight(data, " \t\r\n")) && strings.HasPrefix(syntax.Error(), "unexpected end") {
				return errors.New("the record is not JSON: it ends too early; is a } or a quote missing?")
			}
			return fmt.Errorf("the record is not JSON: line %d, column %d: %w", line, column, syntax)
		}
		return errors.New("the record is not JSON")
	case trimmed[0] != '{':
		return errors.New(`the record is not a JSON object; the least is {"targetURL":"https://…"}`)
	}
	return nil
}

// A memberReader reads the value of the member that is named field in messages.
type memberReader func(r *recordReader, field string, v gjson.Result)

// recordMembers are all members of a record.
var recordMembers = map[string]memberReader{
	"targetURL":         (*recordReader).targetURL,
	"method":            (*recordReader).method,
	"subjects":          (*recordReader).subjects,
	"eventTypes":        (*recordReader).eventTypes,
	"filter":            (*recordReader).filter,
	"payload":           (*recordReader).payload,
	"transform":         (*recordReader).notYet,
	"headers":           (*recordReader).headers,
	"key":               (*recordReader).key,
	"auth":              (*recordReader).auth,
	"secret":            (*recordReader).bodySecret,
	"signing":           (*recordReader).signing,
	"tls":               (*recordReader).tls,
	"connectionTimeout": (*recordReader).connectionTimeout,
	"timeout":           (*recordReader).timeout,
	"retry":             (*recordReader).retry,
	"ordering":          (*recordReader).ordering,
	"coalesce":          (*recordReader).coalesce,
	"maxInFlight":       (*recordReader).maxInFlight,
	"rateLimit":         (*recordReader).rateLimit,
	"startFrom":         (*recordReader).startFrom,
	"status":            (*recordReader).status,
	"tenant":            (*recordReader).tenant,
	"description":       (*recordReader).description,
	"labels":            (*recordReader).labels,
	"id":                (*recordReader).id,
	"createdAt":         (*recordReader).timestamp,
	"updatedAt":         (*recordReader).timestamp,
}

var retryMembers = map[string]memberReader{"schedule": (*recordReader).schedule}

var signingMembers = map[string]memberReader{"secrets": (*recordReader).signingSecrets}

// authMembers are the members of auth by its type; all are required but scopes
// and audience.
var authMembers = map[string]map[string]memberReader{
	"noauth": {"type": (*recordReader).authType},
	"basic": {
		"type":     (*recordReader).authType,
		"username": (*recordReader).username,
		"password": (*recordReader).password,
	},
	"bearer": {
		"type":  (*recordReader).authType,
		"token": (*recordReader).token,
	},
	"client_credential": {
		"type":         (*recordReader).authType,
		"clientID":     (*recordReader).clientID,
		"clientSecret": (*recordReader).clientSecret,
		"tokenURL":     (*recordReader).tokenURL,
		"scopes":       (*recordReader).scopes,
		"audience":     (*recordReader).audience,
	},
}

const authTypes = "basic, bearer, client_credential, noauth"

var tlsMembers = map[string]memberReader{
	"trustAll":    (*recordReader).trustAll,
	"trustFile":   (*recordReader).trustFile,
	"clientCert":  (*recordReader).clientCert,
	"keyFile":     (*recordReader).keyFile,
	"keyPassword": (*recordReader).keyPassword,
	"minVersion":  (*recordReader).minVersion,

	"cipherSuites": (*recordReader).cipherSuites,
}

type recordReader struct {
	policy   RecordPolicy
	s        *Subscription
	problems Problems
	errors   int // of problems, those not listed included
	warnings int

	hasTarget      bool // targetURL was given and is a usable URL
	hasPlaceholder bool
	givenPayload   bool
	references     []namedValue // secrets that are references
	files          []namedValue
}

// namedValue is the value of a member that is judged once the tenant is known.
type namedValue struct{ field, value string }

func (r *recordReader) fail(field, format string, args ...any) {
	r.add(Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (r *recordReader) warn(field, format string, args ...any) {
	r.add(Problem{Field: field, Message: fmt.Sprintf(format, args...), Warning: true})
}

func (r *recordReader) add(p Problem) {
	count := &r.errors
	if p.Warning {
		count = &r.warnings
	}
	*count++
	switch {
	case *count <= limits.RecordProblems:
		r.problems = append(r.problems, p)
	case *count == limits.RecordProblems+1:
		r.problems = append(r.problems, Problem{Message: "there are more problems than are listed here", Warning: p.Warning})
	}
}

func (r *recordReader) more() *SubscriptionMore {
	if r.s.More == nil {
		r.s.More = &SubscriptionMore{}
	}
	return r.s.More
}

// checkTogether looks at what no member shows alone.
func (r *recordReader) checkTogether() {
	s := r.s
	if !r.hasTarget && !slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Field == "targetURL" }) {
		r.fail("targetURL", "is required: the https URL that the events are sent to")
	}
	if r.hasTarget && s.Method == "GET" && !r.hasPlaceholder {
		r.fail("targetURL", "has no placeholder, but method is GET; put {orderId} or {legacyOrderId} into its path or query")
	}
	if s.Method == "GET" && r.givenPayload {
		r.warn("payload", "has no effect: method is GET, and a GET has no body")
	}
	if s.Coalesce && s.Method != "GET" && s.Payload != "notification" {
		r.fail("coalesce", "true would lose changes: %s sends the content of each event; use it with method GET or payload notification", quote(s.Payload))
	}
	if s.Coalesce && s.More != nil && s.More.Filter != "" {
		r.fail("coalesce", "true would lose events: one that the filter rejects would take the place of one that it wants; use one of the two")
	}
	if s.Coalesce && s.Ordering == OrderingNone {
		r.warn("coalesce", "has no effect: with ordering none no event waits for another")
	}
	if s.More != nil && s.More.Auth != nil && s.More.Headers["Authorization"] != "" {
		r.fail("headers", `"Authorization" is set by auth already; use one of the two`)
	}
	for _, ref := range r.references {
		if err := CheckReference(s.Tenant, ref.value); err != nil {
			r.fail(ref.field, "%s", err)
		}
	}
	for _, file := range r.files {
		if err := CheckFileName(s.Tenant, file.value); err != nil {
			r.fail(file.field, "%s %s", quote(file.value), err)
		}
	}
	r.checkTLS()
}

func (r *recordReader) checkTLS() {
	if r.s.More == nil || r.s.More.TLS == nil {
		return
	}
	switch t := r.s.More.TLS; {
	case t.TrustAll && t.TrustFile != "":
		r.fail("tls.trustAll", "is true, but trustFile says what to trust; use one of the two")
	case t.ClientCert != "" && t.KeyFile == "":
		r.fail("tls.clientCert", "needs its key; name the file in keyFile")
	case t.KeyPassword != "" && t.KeyFile == "" && t.TrustFile == "":
		r.fail("tls.keyPassword", "has no file to open; give keyFile, or leave it out")
	case len(t.CipherSuites) > 0 && t.MinVersion == "1.3":
		r.fail("tls.cipherSuites", "are of TLS 1.2, but minVersion is 1.3; use one of the two")
	}
}

// object reads each member of an object with its reader; prefix is the path of
// the object with a dot at its end.
func (r *recordReader) object(prefix string, v gjson.Result, members map[string]memberReader) {
	var few [16]string
	seen := few[:0]
	v.ForEach(func(k, v gjson.Result) bool {
		name := k.String()
		field := name
		if prefix != "" {
			field = prefix + name
		}
		read, known := members[name]
		switch {
		case !known:
			r.fail(prefix+strings.Trim(quote(name), `"`), "is unknown; %s", meant(prefix, name, slices.Sorted(maps.Keys(members))))
		case slices.Contains(seen, name):
			r.fail(field, "is given more than once; keep one")
		case v.Type == gjson.Null:
			r.fail(field, "is null; give a value or leave it out")
		default:
			read(r, field, v)
		}
		seen = append(seen, name)
		return r.errors <= limits.RecordProblems
	})
}

func (r *recordReader) notYet(field string, _ gjson.Result) {
	r.fail(field, "is not supported yet; leave it out")
}

// is reports a value of a wrong kind.
func (r *recordReader) is(field string, v gjson.Result, want string) bool {
	kind := "a string"
	switch {
	case v.IsObject():
		kind = "an object"
	case v.IsArray():
		kind = "an array"
	case v.IsBool():
		kind = "a boolean"
	case v.Type == gjson.Number:
		kind = "a number"
	case v.Type == gjson.Null:
		kind = "null"
	}
	if kind == want {
		return true
	}
	r.fail(field, "must be %s, is %s%s", want, kind, asIn(field, v, want))
	return false
}

// text reads a string of 1 to most characters without control characters. Its
// messages do not show the value.
func (r *recordReader) text(field string, v gjson.Result, most int) (string, bool) {
	if !r.is(field, v, "a string") {
		return "", false
	}
	switch n := utf8.RuneCountInString(v.Str); {
	case n == 0:
		r.fail(field, "is empty; give a value or leave it out")
	case n > most:
		r.fail(field, "has %d characters; at most %d are allowed", n, most)
	case hasControl(v.Str):
		r.fail(field, "holds a control character; remove it")
	default:
		return strings.Clone(v.Str), true
	}
	return "", false
}

func hasControl(s string) bool { return strings.IndexFunc(s, unicode.IsControl) >= 0 }

// secret reads a secret: the value itself, or a reference.
func (r *recordReader) secret(field string, v gjson.Result) (Secret, bool) {
	s, ok := r.text(field, v, maxSecret(v))
	if !ok {
		return "", false
	}
	r.isSecret(field, s)
	return Secret(s), true
}

// maxSecret is how long a value may be that may be a reference.
func maxSecret(v gjson.Result) int {
	if IsReference(v.Str) {
		return limits.ReferenceLength
	}
	return limits.RecordText
}

// isSecret keeps a reference for checkTogether and warns of a plain value.
func (r *recordReader) isSecret(field, value string) {
	if IsReference(value) {
		r.references = append(r.references, namedValue{field, value})
		return
	}
	r.warn(field, "is a secret in plain text: whoever can read the bucket can read it; use env:, file: or sealed:")
}

// oneOf reads one of a few words; the result is the constant, not the record's memory.
func (r *recordReader) oneOf(field string, v gjson.Result, words ...string) string {
	if !r.is(field, v, "a string") {
		return ""
	}
	if i := slices.Index(words, v.Str); i >= 0 {
		return words[i]
	}
	for _, word := range words {
		if strings.EqualFold(word, strings.TrimSpace(v.Str)) {
			r.fail(field, "is %s; it must be one of %s: write %s", quote(v.Str), strings.Join(words, ", "), quote(word))
			return ""
		}
	}
	r.fail(field, "is %s; it must be one of %s", quote(v.Str), strings.Join(words, ", "))
	return ""
}

// list reads an array of strings, each different and checked by check, which
// returns "" or what is wrong.
func (r *recordReader) list(field string, v gjson.Result, most int, check func(string) string) []string {
	if !r.is(field, v, "an array") {
		return nil
	}
	var out []string
	n := 0
	v.ForEach(func(_, v gjson.Result) bool {
		at := field + "[" + strconv.Itoa(n) + "]"
		n++
		if n > limits.RecordList {
			return true
		}
		s, ok := r.text(at, v, most)
		if !ok {
			return true
		}
		if wrong := check(s); wrong != "" {
			r.fail(at, "%s %s", quote(s), wrong)
			return true
		}
		out = append(out, s)
		return true
	})
	if n == 0 {
		r.fail(field, "is empty; give at least one, or leave it out for all")
	}
	if n > limits.RecordList {
		r.fail(field, "has %d entries; at most %d are allowed", n, limits.RecordList)
	}
	return out
}

// dictionary reads an object whose values are strings.
func (r *recordReader) dictionary(field string, v gjson.Result, most func(gjson.Result) int, set func(field, name, value string)) {
	if !r.is(field, v, "an object") {
		return
	}
	seen := map[string]bool{}
	n := 0
	v.ForEach(func(k, v gjson.Result) bool {
		n++
		if n > limits.RecordList {
			return true
		}
		name := k.String()
		at := field + "." + strings.Trim(quote(name), `"`)
		switch length := utf8.RuneCountInString(name); {
		case length == 0 || length > limits.RecordName || hasControl(name):
			r.fail(at, "a name must have 1 to %d characters and no control characters", limits.RecordName)
		case seen[name]:
			r.fail(at, "is given more than once; keep one")
		default:
			if value, ok := r.text(at, v, most(v)); ok {
				set(at, strings.Clone(name), value)
			}
		}
		seen[name] = true
		return true
	})
	if n > limits.RecordList {
		r.fail(field, "has %d members; at most %d are allowed", n, limits.RecordList)
	}
}

func (r *recordReader) duration(field string, v gjson.Result, most time.Duration) time.Duration {
	if !r.is(field, v, "a string") {
		return 0
	}
	d, err := ParseDuration(v.Str)
	switch {
	case err != nil:
		r.fail(field, "%s", err)
	case d <= 0:
		r.fail(field, "is %s; it must be more than nothing", quote(v.Str))
	case d > most:
		r.fail(field, "is %s; at most %s is allowed", quote(v.Str), most)
	default:
		return d
	}
	return 0
}

// atLeast raises a duration that is too short, and says so.
func (r *recordReader) atLeast(field string, v gjson.Result, d, least time.Duration) time.Duration {
	if d <= 0 || d >= least {
		return d
	}
	r.warn(field, "is %s; the least is %s, which is used instead", quote(v.Str), least)
	return least
}

func (r *recordReader) leastWait() time.Duration {
	if r.policy.LeastWait > 0 {
		return r.policy.LeastWait
	}
	return limits.RecordLeastWait
}

func (r *recordReader) targetURL(field string, v gjson.Result) {
	target, ok := r.text(field, v, limits.RecordURL)
	if !ok {
		return
	}
	authority, rest := splitURL(target)
	if strings.ContainsAny(authority, "{}<>") {
		r.fail(field, "has a placeholder or bracket in its host; placeholders may stand in path and query only")
		return
	}
	if r.url(field, target) {
		r.hasTarget = r.placeholders(field, rest)
		r.s.TargetURL = target
	}
}

// url checks an absolute URL and whether the operator permits it.
func (r *recordReader) url(field, target string) bool {
	// The text of a parse error is not shown: it can hold a password.
	u, err := url.Parse(target)
	switch {
	case strings.ContainsFunc(target, unicode.IsSpace):
		r.fail(field, "holds a space; write it as %%20")
	case err != nil:
		r.fail(field, "cannot be read as a URL; write it like https://host/path, other characters percent-encoded (%%25 for a percent sign)")
	case u.User != nil:
		r.fail(field, "holds user info (the part before @); put user name and password into auth")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		r.fail(field, "must be an absolute URL like https://host/path")
	case strings.Contains(target, "#"):
		r.fail(field, "has a fragment (#…), which is never sent; remove it, or write %%23")
	case !isHost(u.Hostname()) || !isPort(u.Port()):
		r.fail(field, "has the host %s, which is no host name or address with a port of 1 to 65535; write other alphabets as xn--…", quote(u.Host))
	default:
		return r.plainHost(field, u.Hostname()) && r.permitted(field, u)
	}
	return false
}

// plainHost refuses addresses that are written as not everybody reads them: a
// proxy or a resolver would make another host of them than the guard.
func (r *recordReader) plainHost(field, host string) bool {
	switch addr, number, plain := HostAddress(host); {
	case !number || plain:
		return true
	case addr.IsValid():
		r.fail(field, "has the host %s, which is another way to write the address %s; write the address so, or a name", quote(host), addr.WithZone(""))
	default:
		r.fail(field, "has the host %s, which ends in a number but is no address; write the address as four numbers, or a name", quote(host))
	}
	return false
}

// permitted names every permission that a URL lacks.
func (r *recordReader) permitted(field string, u *url.URL) bool {
	before := r.errors
	if u.Scheme == "http" && !r.policy.AllowHTTP && !(r.policy.AllowHTTPLoopback && isLoopback(u.Hostname())) {
		r.fail(field, "is http://%s; use https, or let the operator permit http with ORDERBRIDGE_ALLOW_HTTP=true", u.Host)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && r.policy.CheckAddress != nil {
		if err := r.policy.CheckAddress(addr); err != nil {
			r.fail(field, "%s", err)
		}
	}
	return r.errors == before
}

// splitURL splits behind scheme and authority.
func splitURL(s string) (authority, rest string) {
	begin := 0
	if i := strings.Index(s, "//"); i >= 0 {
		begin = i + 2
	}
	if i := strings.IndexAny(s[begin:], "/?#"); i >= 0 {
		return s[:begin+i], s[begin+i:]
	}
	return s, ""
}

// placeholders checks what stands in {} and <> in path and query.
func (r *recordReader) placeholders(field, s string) bool {
	if i := strings.Index(strings.ToLower(s), "%7borderid%7d"); i >= 0 {
		r.warn(field, "holds %s, which is sent as it stands; for the order id write {orderId}", s[i:i+len("%7borderid%7d")])
	}
	for {
		i := strings.IndexAny(s, "{}<>")
		if i < 0 {
			return true
		}
		closing := map[byte]string{'{': "}", '<': ">"}[s[i]]
		if closing == "" {
			r.fail(field, "has a %q without its opening bracket; percent-encode it if it is meant as it stands", s[i])
			return false
		}
		name, after, closed := strings.Cut(s[i+1:], closing)
		if !closed {
			r.fail(field, "has a %q without its closing bracket; percent-encode it if it is meant as it stands", s[i])
			return false
		}
		if name != "orderId" && name != "legacyOrderId" {
			r.fail(field, "has the unknown placeholder %s; known are {orderId} and {legacyOrderId}", quote(s[i:i+len(name)+2]))
			return false
		}
		r.hasPlaceholder = true
		s = after
	}
}

func isHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	return len(host) <= 253 && strings.Trim(host, ".-_") != "" && strings.IndexFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	}) < 0
}

func isPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

func (r *recordReader) method(field string, v gjson.Result) {
	if m := r.oneOf(field, v, "POST", "PUT", "GET"); m != "" {
		r.s.Method = m
	}
}

func (r *recordReader) payload(field string, v gjson.Result) {
	r.givenPayload = true
	if p := r.oneOf(field, v, "event", "notification", "cloudevent"); p != "" {
		r.s.Payload = p
	}
}

func (r *recordReader) subjects(field string, v gjson.Result) {
	r.s.Subjects = withoutSubsumed(r.list(field, v, limits.RecordSubject, checkFilter), ">", subjectSubsumes)
}

// checkFilter says what is wrong with a subject filter, "" if nothing.
func checkFilter(filter string) string {
	if strings.ContainsFunc(filter, unicode.IsSpace) {
		return "is no subject filter: it holds a space"
	}
	tokens, stars := strings.Split(filter, "."), 0
	for i, token := range tokens {
		switch {
		case token == "":
			return "is no subject filter: it has an empty token (a dot too many)"
		case token == ">" && i < len(tokens)-1:
			return "is no subject filter: > may only be its last token"
		case i == limits.SubjectTokens:
			return fmt.Sprintf("has %d tokens; at most %d are allowed: end it earlier, with >", len(tokens), limits.SubjectTokens)
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return "is no subject filter: * and > stand for whole tokens only, as in orders.*.created or orders.>"
		case token == "*":
			stars++
		}
	}
	if stars > limits.SubjectStars {
		return fmt.Sprintf("has %d tokens *; at most %d are allowed", stars, limits.SubjectStars)
	}
	return ""
}

func (r *recordReader) eventTypes(field string, v gjson.Result) {
	within := 0
	types := r.list(field, v, limits.RecordName, func(s string) string {
		stars := strings.Count(s, "*")
		if textWithin(s) {
			within++
		}
		switch {
		case stars > limits.PatternStars && stars < len(s):
			return fmt.Sprintf("has %d stars; at most %d are allowed", stars, limits.PatternStars)
		case within == limits.PatternsWithin+1:
			return fmt.Sprintf("is one more than the %d patterns with text between two stars that are allowed", limits.PatternsWithin)
		}
		return ""
	})
	for i, t := range types {
		if strings.Trim(t, "*") == "" {
			types[i] = "*"
		}
	}
	r.s.Types = withoutSubsumed(types, "*", typeMatches)
}

// filter reads an expression, which may have several lines.
func (r *recordReader) filter(field string, v gjson.Result) {
	if !r.is(field, v, "a string") {
		return
	}
	isControl := func(c rune) bool { return unicode.IsControl(c) && !strings.ContainsRune("\t\r\n", c) }
	switch n := utf8.RuneCountInString(v.Str); {
	case strings.TrimSpace(v.Str) == "":
		r.fail(field, `is empty; give an expression like event.total > 100, or leave it out`)
	case n > limits.RecordFilter:
		r.fail(field, "has %d characters; at most %d are allowed", n, limits.RecordFilter)
	case strings.ContainsFunc(v.Str, isControl):
		r.fail(field, "holds a control character; remove it")
	case r.policy.CheckFilter == nil:
		r.fail(field, "cannot be checked here; leave it out")
	default:
		if err := r.policy.CheckFilter(v.Str); err != nil {
			r.fail(field, "%s", err)
			return
		}
		r.more().Filter = strings.Clone(v.Str)
	}
}

// reservedHeaders are set by the bridge for each request, or belong to the connection.
var reservedHeaders = map[string]bool{
	"User-Agent": true, "Content-Type": true, "Idempotency-Key": true,
	"X-Signature": true, "X-Order-Id": true, "X-Event-Type": true, "X-Attempt": true,
	"X-Redrive": true, "X-Replay": true, "X-Test": true, "Traceparent": true, "Tracestate": true,

	"Host": true, "Content-Length": true, "Content-Encoding": true, "Accept-Encoding": true,
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Expect": true, "Http2-Settings": true,
}

func (r *recordReader) headers(field string, v gjson.Result) {
	headers := map[string]string{}
	r.dictionary(field, v, maxSecret, func(at, name, value string) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		_, twice := headers[canonical]
		switch {
		case !isHeaderName(name):
			r.fail(at, "is no header name; use letters, digits and -")
		case reservedHeaders[canonical] || strings.HasPrefix(canonical, "Webhook-"):
			r.fail(at, "is reserved: the bridge sets it, or it belongs to the connection; remove it")
		case twice:
			r.fail(at, "is given more than once (letter case does not count); keep one")
		case strings.IndexFunc(value, func(c rune) bool { return c > '~' }) >= 0 || value != strings.TrimSpace(value):
			r.fail(at, "must be ASCII, without spaces at its ends")
		default:
			headers[canonical] = value
			if canonical == "X-Event-Id" { // was free in former builds
				r.warn(at, "is set by the bridge for each event whose publisher gave it an id; remove it")
			}
			if looksSecret(canonical) || IsReference(value) {
				r.isSecret(at, value)
			}
		}
	})
	if len(headers) > 0 {
		r.more().Headers = headers
	}
}

func isHeaderName(name string) bool {
	return strings.IndexFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
	}) < 0
}

// looksSecret reports whether the value of such a header is likely a secret.
func looksSecret(header string) bool {
	header = strings.ToLower(header)
	return slices.ContainsFunc([]string{"auth", "token", "key", "secret", "cookie", "password"}, func(part string) bool {
		return strings.Contains(header, part)
	})
}

func (r *recordReader) key(field string, v gjson.Result) {
	if s, ok := r.secret(field, v); ok {
		r.more().Key = s
	}
}

// bodySecret is contract B's: it may be of any length.
func (r *recordReader) bodySecret(field string, v gjson.Result) {
	if s, ok := r.secret(field, v); ok {
		r.more().Secret = s
	}
}

func (r *recordReader) signing(field string, v gjson.Result) {
	if !r.is(field, v, "an object") {
		return
	}
	r.object(field+".", v, signingMembers)
	if !v.Get("secrets").Exists() {
		r.fail(field+".secrets", `is required: ["whsec_…"]`)
	}
}

func (r *recordReader) signingSecrets(field string, v gjson.Result) {
	if !r.is(field, v, "an array") {
		return
	}
	n := 0
	v.ForEach(func(_, v gjson.Result) bool {
		at := field + "[" + strconv.Itoa(n) + "]"
		n++
		if n > limits.RecordSigningSecrets {
			return false
		}
		if s, ok := r.secret(at, v); ok {
			if _, err := SigningKey(s); err != nil && !IsReference(s.Reveal()) {
				r.fail(at, "%s", err)
			}
			r.more().Signing = append(r.more().Signing, s)
		}
		return true
	})
	switch {
	case n == 0:
		r.fail(field, `is empty; give at least one, as in ["whsec_…"]`)
	case n > limits.RecordSigningSecrets:
		r.fail(field, "has more than %d entries", limits.RecordSigningSecrets)
	}
}

// SigningKey is the key of a Standard Webhooks secret: whsec_ and 24 to 64
// bytes in base64. The error does not show the secret.
func SigningKey(secret Secret) ([]byte, error) {
	text, ok := strings.CutPrefix(secret.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("is no secret of Standard Webhooks; write whsec_ and 24 to 64 random bytes in base64 (openssl rand -base64 32)")
	}
	return key, nil
}

func (r *recordReader) auth(field string, v gjson.Result) {
	if !r.is(field, v, "an object") {
		return
	}
	kind := v.Get("type")
	if !kind.Exists() {
		r.fail(field+".type", "is required: one of %s", authTypes)
		return
	}
	members, known := authMembers[kind.String()]
	if kind.Type != gjson.String || !known {
		r.fail(field+".type", "is %s; it must be one of %s", quote(kind.String()), authTypes)
		return
	}
	if kind.Str != "noauth" {
		r.more().Auth = &Auth{Type: strings.Clone(kind.Str)}
	}
	r.object(field+".", v, members)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !v.Get(name).Exists() && name != "scopes" && name != "audience" {
			r.fail(field+"."+name, "is required with type %s", kind.Str)
		}
	}
}

// authType was read before the other members.
func (r *recordReader) authType(string, gjson.Result) {}

// username may be empty: some receivers take a token as the password.
func (r *recordReader) username(field string, v gjson.Result) {
	if v.Type == gjson.String && v.Str == "" {
		return
	}
	s, ok := r.text(field, v, limits.RecordText)
	if ok && strings.Contains(s, ":") {
		r.fail(field, "is %s; basic authentication allows no colon in it", quote(s))
	}
	r.more().Auth.Username = s
}

// password may be empty: some receivers take a token as the user name.
func (r *recordReader) password(field string, v gjson.Result) {
	if v.Type == gjson.String && v.Str == "" {
		return
	}
	if s, ok := r.secret(field, v); ok {
		r.more().Auth.Password = s
	}
}

func (r *recordReader) token(field string, v gjson.Result) {
	s, ok := r.secret(field, v)
	if ok && !IsReference(s.Reveal()) && !IsToken(s.Reveal()) {
		r.fail(field, "holds what cannot stand in a header; use visible ASCII without spaces")
	}
	r.more().Auth.Token = s
}

// IsToken reports whether s can stand behind "Bearer ": visible ASCII.
func IsToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

func (r *recordReader) clientID(field string, v gjson.Result) {
	r.more().Auth.ClientID, _ = r.text(field, v, limits.RecordText)
}

func (r *recordReader) clientSecret(field string, v gjson.Result) {
	r.more().Auth.ClientSecret, _ = r.secret(field, v)
}

func (r *recordReader) tokenURL(field string, v gjson.Result) {
	s, ok := r.text(field, v, limits.RecordURL)
	switch {
	case !ok:
	case strings.ContainsAny(s, "{}<>"):
		r.fail(field, "has a placeholder or bracket; it is the same URL for every event")
	case r.url(field, s):
		r.more().Auth.TokenURL = s
	}
}

func (r *recordReader) scopes(field string, v gjson.Result) {
	r.more().Auth.Scopes = r.list(field, v, limits.RecordName, func(s string) string {
		if !IsToken(s) || strings.ContainsAny(s, `"\`) {
			return "is no scope; use visible ASCII without spaces, quotes and backslashes"
		}
		return ""
	})
}

func (r *recordReader) audience(field string, v gjson.Result) {
	r.more().Auth.Audience, _ = r.text(field, v, limits.RecordURL)
}

func (r *recordReader) tls(field string, v gjson.Result) {
	if !r.is(field, v, "an object") {
		return
	}
	r.more().TLS = &TLS{}
	r.object(field+".", v, tlsMembers)
}

func (r *recordReader) trustAll(field string, v gjson.Result) {
	if !r.is(field, v, "a boolean") || !v.Bool() {
		return
	}
	if !r.policy.AllowTrustAll {
		r.fail(field, "is true; leave it out, or let the operator permit it with ORDERBRIDGE_ALLOW_TRUST_ALL=true")
		return
	}
	r.s.More.TLS.TrustAll = true
	r.warn(field, "is true: every certificate is accepted, also that of somebody who listens in between")
}

func (r *recordReader) file(field string, v gjson.Result) string {
	s, ok := r.text(field, v, limits.RecordText)
	if ok {
		r.files = append(r.files, namedValue{field, s})
	}
	return s
}

func (r *recordReader) trustFile(field string, v gjson.Result) {
	r.s.More.TLS.TrustFile = r.file(field, v)
}

func (r *recordReader) clientCert(field string, v gjson.Result) {
	r.s.More.TLS.ClientCert = r.file(field, v)
}

func (r *recordReader) keyFile(field string, v gjson.Result) {
	r.s.More.TLS.KeyFile = r.file(field, v)
}

func (r *recordReader) keyPassword(field string, v gjson.Result) {
	r.s.More.TLS.KeyPassword, _ = r.secret(field, v)
}

func (r *recordReader) minVersion(field string, v gjson.Result) {
	r.s.More.TLS.MinVersion = r.oneOf(field, v, "1.2", "1.3")
}

// OldCipherSuites are what a record may allow beside the default: AES with the
// key exchange by RSA, which keeps no secret of past connections once the
// server's key is known. Names as in RFC 5246 and 5288.
var OldCipherSuites = []string{
	"TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_RSA_WITH_AES_128_CBC_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_256_CBC_SHA",
}

func (r *recordReader) cipherSuites(field string, v gjson.Result) {
	names := r.list(field, v, limits.RecordName, func(s string) string {
		switch {
		case slices.Contains(OldCipherSuites, s):
			return ""
		case strings.HasPrefix(s, "TLS_DHE_"):
			return "needs a key exchange by DHE, which this program does not speak; let the server offer ECDHE, or one of " + strings.Join(OldCipherSuites, ", ")
		case strings.HasPrefix(s, "TLS_ECDHE_") || strings.HasPrefix(s, "TLS_AES_") || strings.HasPrefix(s, "TLS_CHACHA20_"):
			return "is none that has to be allowed: what is safe is offered by default; leave it out"
		}
		return "is none that can be allowed; one of " + strings.Join(OldCipherSuites, ", ")
	})
	r.s.More.TLS.CipherSuites = names
	if len(names) > 0 {
		r.warn(field, "allows a key exchange without forward secrecy: who learns the server's key later can read what was recorded")
	}
}

func (r *recordReader) connectionTimeout(field string, v gjson.Result) {
	if d := r.atLeast(field, v, r.duration(field, v, limits.RecordAttemptTime), limits.RecordLeastTimeout); d > 0 {
		r.more().ConnectionTimeout = d
	}
}

func (r *recordReader) timeout(field string, v gjson.Result) {
	if d := r.atLeast(field, v, r.duration(field, v, limits.RecordAttemptTime), limits.RecordLeastTimeout); d > 0 {
		r.more().Timeout = d
	}
}

func (r *recordReader) retry(field string, v gjson.Result) {
	if r.is(field, v, "an object") {
		r.object(field+".", v, retryMembers)
	}
}

func (r *recordReader) schedule(field string, v gjson.Result) {
	if !r.is(field, v, "an array") {
		return
	}
	waits := []time.Duration{}
	v.ForEach(func(_, v gjson.Result) bool {
		field := field + "[" + strconv.Itoa(len(waits)) + "]"
		waits = append(waits, r.atLeast(field, v, r.duration(field, v, limits.RecordWait), r.leastWait()))
		return len(waits) <= limits.RecordList
	})
	if len(waits) > limits.RecordList {
		r.fail(field, "has more than %d entries", limits.RecordList)
	}
	r.more().Schedule = slices.Clip(waits)
}

func (r *recordReader) ordering(field string, v gjson.Result) {
	switch r.oneOf(field, v, "order", "none", "strict") {
	case "none":
		r.s.Ordering = OrderingNone
	case "strict":
		r.s.Ordering = OrderingStrict
	}
}

func (r *recordReader) coalesce(field string, v gjson.Result) {
	if r.is(field, v, "a boolean") {
		r.s.Coalesce = v.Bool()
	}
}

func (r *recordReader) maxInFlight(field string, v gjson.Result) {
	if n, ok := r.whole(field, v, limits.RecordInFlight); ok {
		r.s.MaxInFlight = n
	}
}

// whole reads a whole number from 1 to most.
func (r *recordReader) whole(field string, v gjson.Result, most int) (n int, ok bool) {
	if !r.is(field, v, "a number") {
		return 0, false
	}
	if v.Num < 1 || v.Num > float64(most) || v.Num != math.Trunc(v.Num) {
		r.fail(field, "is %s; it must be a whole number from 1 to %d", quote(v.Raw), most)
		return 0, false
	}
	return int(v.Num), true
}

var rateMembers = map[string]memberReader{
	"requests": (*recordReader).rateRequests,
	"per":      (*recordReader).ratePer,
}

func (r *recordReader) rateLimit(field string, v gjson.Result) {
	if !r.is(field, v, "an object") {
		return
	}
	r.more().RateLimit = &RateLimit{Per: time.Second}
	r.object(field+".", v, rateMembers)
	if v.IsObject() && !v.Get("requests").Exists() {
		r.fail(field+".requests", "is missing; give the number of requests, as in {\"requests\":100,\"per\":\"PT1S\"}")
	}
}

func (r *recordReader) rateRequests(field string, v gjson.Result) {
	if n, ok := r.whole(field, v, limits.RecordRate); ok {
		r.more().RateLimit.Requests = n
	}
}

func (r *recordReader) ratePer(field string, v gjson.Result) {
	if d := r.duration(field, v, limits.RecordRateTime); d > 0 {
		r.more().RateLimit.Per = d
	}
}

func (r *recordReader) startFrom(field string, v gjson.Result) {
	if !r.is(field, v, "a string") {
		return
	}
	_, err := time.Parse(time.RFC3339, v.Str)
	switch {
	case v.Str == "new":
	case v.Str == "all" || err == nil:
		r.more().StartFrom = strings.Clone(v.Str)
	default:
		r.fail(field, "is %s; it must be new, all, or a time like 2006-01-02T15:04:05Z", quote(v.Str))
	}
}

func (r *recordReader) status(field string, v gjson.Result) {
	r.s.Inactive = r.oneOf(field, v, "active", "deactivated") == "deactivated"
}

func (r *recordReader) tenant(field string, v gjson.Result) {
	if s, ok := r.text(field, v, 64); ok {
		if !isSafeID(s) {
			r.fail(field, "is %s; it must be made of A-Z a-z 0-9 _ -", quote(s))
		}
		r.s.Tenant = s
	}
}

func (r *recordReader) description(field string, v gjson.Result) {
	if s, ok := r.text(field, v, limits.RecordText); ok {
		r.more().Description = s
	}
}

func (r *recordReader) labels(field string, v gjson.Result) {
	labels := map[string]string{}
	r.dictionary(field, v, func(gjson.Result) int { return limits.RecordText }, func(_, name, value string) { labels[name] = value })
	if len(labels) > 0 {
		r.more().Labels = labels
	}
}

func (r *recordReader) id(field string, v gjson.Result) {
	if r.is(field, v, "a string") && v.Str != r.s.ID {
		r.fail(field, "is %s, but the record stands under the key %s; make them equal or leave it out", quote(v.Str), quote(r.s.ID))
	}
}

// timestamp is not kept: it is the API's to show.
func (r *recordReader) timestamp(field string, v gjson.Result) {
	if !r.is(field, v, "a string") {
		return
	}
	if _, err := time.Parse(time.RFC3339, v.Str); err != nil {
		r.fail(field, "is %s; it must be a time like 2006-01-02T15:04:05Z", quote(v.Str))
	}
}

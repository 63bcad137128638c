package record

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

var sameRecord = cmpopts.IgnoreUnexported(Subscription{})

// The policy of the tables: http is permitted on loopback only.
var testPolicy = Policy{AllowHTTPLoopback: true, CheckFilter: func(expression string) error {
	if strings.Contains(expression, "evnt") {
		return errors.New("line 1, column 3: undeclared reference to 'evnt'")
	}
	return nil
}}

// goodRecords are accepted under the id "erp", by parser and schema.
var goodRecords = []string{
	`{"targetURL":"https://erp.example.com"}`,
	`{"targetURL":"https://erp.example.com/any/path/{orderId}","method":"GET"}`,
	`{"targetURL":"https://erp.example.com/x?orderId={orderId}","method":"GET"}`,
	`{"targetURL":"https://erp.example.com/<legacyOrderId>?id=<orderId>&l={legacyOrderId}","method":"GET","coalesce":true}`,
	`{"targetURL":"https://erp.example.com:8443/o-{orderId}.json","method":"PUT"}`,
	`{"targetURL":"https://[2001:db8::1]:8443/in"}`,
	`{"targetURL":"HTTPS://ERP.example.com?q=%41"}`,
	`{"targetURL":"http://localhost:8080/in"}`,
	`{"targetURL":"http://127.0.0.1:8080/in"}`,
	`{"targetURL":"https://h/","subjects":["orders.acme.>","orders.*.OrderAccepted.*","*","x"],"eventTypes":["OrderAccepted","OrderLines*","*Signed"]}`,
	`{"targetURL":"https://h/","subjects":[">"]}`,
	`{"targetURL":"https://h/","payload":"notification","coalesce":true,"ordering":"strict"}`,
	`{"targetURL":"https://h/","payload":"cloudevent","coalesce":false,"ordering":"none"}`,
	`{"targetURL":"https://h/","headers":{"X-Api-Key":"k 1","x-plant":"7","Authorization":"Token t"}}`,
	`{"targetURL":"https://h/","key":"QueryParameterKey"}`,
	`{"targetURL":"https://h/","auth":{"type":"basic","username":"u","password":"p"}}`,
	`{"targetURL":"https://h/","auth":{"type":"basic","username":"token","password":""}}`,
	`{"targetURL":"https://h/","auth":{"type":"basic","username":"","password":"token"}}`,
	`{"targetURL":"https://h/","auth":{"type":"noauth"}}`,
	`{"targetURL":"https://h/","auth":{"type":"bearer","token":"t/+="}}`,
	`{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"s","tokenURL":"https://t:8443/token?x=1"}}`,
	`{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"env:ORDERBRIDGE_SECRET_C","tokenURL":"https://t","scopes":["a","orders:write"]}}`,
	`{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"s","tokenURL":"https://t","audience":"https://api.example.com/"}}`,
	`{"targetURL":"https://h/","secret":"HeaderSecret"}`,
	`{"targetURL":"https://h/","signing":{"secrets":["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","sealed:YWdl"]}}`,
	`{"targetURL":"https://h/","tenant":"acme","secret":"file:erp/secret","key":"env:ORDERBRIDGE_SECRET_ACME_KEY","headers":{"X-Key":"sealed:YWdl"}}`,
	`{"targetURL":"https://h/","tls":{}}`,
	`{"targetURL":"https://h/","tenant":"acme","tls":{"trustAll":false,"trustFile":"ca/ca.pem","clientCert":"tls.crt","keyFile":"tls.key","keyPassword":"file:pw","minVersion":"1.3"}}`,
	`{"targetURL":"https://h/","tls":{"keyFile":"client.p12","keyPassword":"p"}}`,
	`{"targetURL":"https://h/","tls":{"cipherSuites":["TLS_RSA_WITH_AES_256_GCM_SHA384"]}}`,
	`{"targetURL":"https://h/","connectionTimeout":"PT60S","timeout":"1m30s"}`,
	`{"targetURL":"https://h/","retry":{"schedule":["PT5S","30s","P1D","PT1.5S"]}}`,
	`{"targetURL":"https://h/","retry":{"schedule":[]}}`,
	`{"targetURL":"https://h/","retry":{}}`,
	`{"targetURL":"https://h/","rateLimit":{"requests":100}}`,
	`{"targetURL":"https://h/","rateLimit":{"requests":1,"per":"PT0.5S"}}`,
	`{"targetURL":"https://h/","maxInFlight":64}`,
	`{"targetURL":"https://h/","filter":"event.total > 100\n\t&& true // dear","coalesce":false}`,
	`{"targetURL":"https://h/","maxInFlight":1e2}`,
	`{"targetURL":"https://h/","startFrom":"all"}`,
	`{"targetURL":"https://h/","startFrom":"2026-01-02T15:04:05+01:00"}`,
	`{"targetURL":"https://h/","status":"deactivated","tenant":"acme","description":"für ERP","labels":{"team":"blue"}}`,
	`{"targetURL":"https://h/","id":"erp","createdAt":"2026-01-02T15:04:05Z","updatedAt":"2026-01-02T15:04:05.123Z"}`,
	" \n{\n\t\"targetURL\" : \"https://h/\"\n}\n",
}

// badRecords are refused under the id "erp"; field and message of one problem
// are given, the message in part. beyond: a schema cannot tell.
var badRecords = []struct {
	name, record, field, message string
	beyond                       bool
}{
	{"no target", `{}`, "targetURL", "is required", false},
	{"null", `{"targetURL":null}`, "targetURL", "null", false},
	{"number", `{"targetURL":7}`, "targetURL", "must be a string, is a number", false},
	{"empty", `{"targetURL":""}`, "targetURL", "empty", false},
	{"D9 http", `{"targetURL":"http://erp.example.com/x"}`, "targetURL", "ORDERBRIDGE_ALLOW_HTTP", true},
	{"http of a name that begins like loopback", `{"targetURL":"http://localhost.example.com/"}`, "targetURL", "ORDERBRIDGE_ALLOW_HTTP", true},
	{"other scheme", `{"targetURL":"ftp://h/"}`, "targetURL", "absolute URL", false},
	{"no scheme", `{"targetURL":"erp.example.com/x"}`, "targetURL", "absolute URL", false},
	{"no host", `{"targetURL":"https:///x"}`, "targetURL", "absolute URL", false},
	{"opaque", `{"targetURL":"https:h"}`, "targetURL", "absolute URL", false},
	{"C6 user info", `{"targetURL":"https://bob:hunter2@h/x"}`, "targetURL", "user info", false},
	{"C6 user info that does not parse", `{"targetURL":"https://bob:hunter2/@h/x"}`, "targetURL", "cannot be read", true},
	{"placeholder in host", `{"targetURL":"https://{orderId}.example.com/"}`, "targetURL", "in its host", false},
	{"placeholder in port", `{"targetURL":"https://h:<orderId>/"}`, "targetURL", "in its host", false},
	{"D4 unknown placeholder", `{"targetURL":"https://h/{order}"}`, "targetURL", `"{order}"`, false},
	{"D4 unknown placeholder in query", `{"targetURL":"https://h/?x=<orderid>"}`, "targetURL", `"<orderid>"`, false},
	{"open bracket", `{"targetURL":"https://h/{orderId"}`, "targetURL", "without its closing", false},
	{"closing bracket", `{"targetURL":"https://h/orderId}"}`, "targetURL", "without its opening", false},
	{"mixed brackets", `{"targetURL":"https://h/{orderId>"}`, "targetURL", "without its closing", false},
	{"D5 GET without placeholder", `{"targetURL":"https://h/x","method":"GET"}`, "targetURL", "no placeholder", false},
	{"fragment", `{"targetURL":"https://h/x#y"}`, "targetURL", "fragment", false},
	{"space", `{"targetURL":"https://h/a b"}`, "targetURL", "%20", false},
	{"percent", `{"targetURL":"https://h/100%"}`, "targetURL", "%25", true},
	{"port 0", `{"targetURL":"https://h:0/"}`, "targetURL", "port", true},
	{"port 65536", `{"targetURL":"https://h:65536/"}`, "targetURL", "port", true},
	{"other alphabet", `{"targetURL":"https://bücher.example/"}`, "targetURL", "xn--", false},
	{"zone", `{"targetURL":"https://[fe80::1%25eth0]/"}`, "targetURL", "host", false},
	{"NUL", `{"targetURL":"https://h/\u0000"}`, "targetURL", "control character", false},
	{"long", `{"targetURL":"https://h/` + strings.Repeat("x", 2048) + `"}`, "targetURL", "2058 characters", false},

	{"D1 method", `{"targetURL":"https://h/","method":"DELETE"}`, "method", `"DELETE"; it must be one of POST, PUT, GET`, false},
	{"method's case", `{"targetURL":"https://h/","method":"post"}`, "method", "one of", false},
	{"unknown", `{"targetURL":"https://h/","subject":["a"]}`, "subject", `nearest known member is "subjects"`, false},
	{"unknown by case", `{"targetURL":"https://h/","TargetUrl":"x"}`, "TargetUrl", `"targetURL"`, false},
	{"twice", `{"targetURL":"https://h/","targetURL":"https://h/"}`, "targetURL", "more than once", true},
	{"subjects as text", `{"targetURL":"https://h/","subjects":"orders.>"}`, "subjects", "must be an array, is a string", false},
	{"no subjects", `{"targetURL":"https://h/","subjects":[]}`, "subjects", "leave it out for all", false},
	{"subject with a hole", `{"targetURL":"https://h/","subjects":["a","orders..x"]}`, "subjects[1]", "empty token", false},
	{"subject with > amid", `{"targetURL":"https://h/","subjects":["orders.>.x"]}`, "subjects[0]", "last token", false},
	{"subject with * in a token", `{"targetURL":"https://h/","subjects":["orders.Order*"]}`, "subjects[0]", "whole tokens", false},
	{"subject with a space", `{"targetURL":"https://h/","subjects":["orders. x"]}`, "subjects[0]", "space", false},
	{"65 subjects", `{"targetURL":"https://h/","subjects":["a"` + strings.Repeat(`,"a"`, 64) + `]}`, "subjects", "65 entries", false},
	{"number as a type", `{"targetURL":"https://h/","eventTypes":[1]}`, "eventTypes[0]", "is a number", false},
	{"control character in a type", `{"targetURL":"https://h/","eventTypes":["a\nb"]}`, "eventTypes[0]", "control character", false},
	{"payload", `{"targetURL":"https://h/","payload":"xml"}`, "payload", `"xml"`, false},
	{"coalesce loses changes", `{"targetURL":"https://h/","coalesce":true}`, "coalesce", "lose changes", false},
	{"coalesce as text", `{"targetURL":"https://h/","coalesce":"yes"}`, "coalesce", "a boolean", false},
	{"maxInFlight 0", `{"targetURL":"https://h/","maxInFlight":0}`, "maxInFlight", `"0"`, false},
	{"maxInFlight 1.5", `{"targetURL":"https://h/","maxInFlight":1.5}`, "maxInFlight", "whole number", false},
	{"maxInFlight 1001", `{"targetURL":"https://h/","maxInFlight":1001}`, "maxInFlight", "1 to 1000", false},
	{"ordering", `{"targetURL":"https://h/","ordering":"fifo"}`, "ordering", `"fifo"`, false},
	{"status", `{"targetURL":"https://h/","status":"paused"}`, "status", `"paused"`, false},
	{"tenant", `{"targetURL":"https://h/","tenant":"a.b"}`, "tenant", `"a.b"`, false},
	{"id", `{"targetURL":"https://h/","id":"other"}`, "id", `"other", but the record stands under the key "erp"`, true},
	{"startFrom", `{"targetURL":"https://h/","startFrom":"yesterday"}`, "startFrom", `"yesterday"`, false},
	{"createdAt", `{"targetURL":"https://h/","createdAt":"today"}`, "createdAt", `"today"`, false},
	{"control character in a label's name", `{"targetURL":"https://h/","labels":{"a\nb":"x"}}`, `labels.a\nb`, "a name must have", false},
	{"unknown with a control character", `{"targetURL":"https://h/","x\u0000":1}`, `x\x00`, "unknown", false},
	{"labels", `{"targetURL":"https://h/","labels":{"a":1}}`, "labels.a", "a number", false},

	{"B6 60", `{"targetURL":"https://h/","connectionTimeout":"60"}`, "connectionTimeout", `"60"`, false},
	{"B6 P", `{"targetURL":"https://h/","connectionTimeout":"P"}`, "connectionTimeout", `"P"`, false},
	{"B6 empty", `{"targetURL":"https://h/","connectionTimeout":""}`, "connectionTimeout", `""`, false},
	{"B6 negative", `{"targetURL":"https://h/","connectionTimeout":"-PT3S"}`, "connectionTimeout", `"-PT3S"`, false},
	{"number as a duration", `{"targetURL":"https://h/","timeout":30}`, "timeout", "must be a string", false},
	{"no time", `{"targetURL":"https://h/","timeout":"PT0S"}`, "timeout", "more than nothing", true},
	{"long time", `{"targetURL":"https://h/","timeout":"PT1H"}`, "timeout", "10m0s", true},
	{"retry", `{"targetURL":"https://h/","retry":{"schedul":[]}}`, "retry.schedul", `"retry.schedule"`, false},
	{"wait", `{"targetURL":"https://h/","retry":{"schedule":["PT5S","soon"]}}`, "retry.schedule[1]", `"soon"`, false},
	{"long wait", `{"targetURL":"https://h/","retry":{"schedule":["P31D"]}}`, "retry.schedule[0]", `"P31D"`, true},

	{"header reserved", `{"targetURL":"https://h/","headers":{"webhook-id":"x"}}`, "headers.webhook-id", "reserved", false},
	{"header reserved, hop by hop", `{"targetURL":"https://h/","headers":{"transfer-encoding":"x"}}`, "headers.transfer-encoding", "reserved", false},
	{"header name", `{"targetURL":"https://h/","headers":{"X Y":"x"}}`, "headers.X Y", "not a valid header name", false},
	{"header injection", `{"targetURL":"https://h/","headers":{"X-Y":"a\r\nb"}}`, "headers.X-Y", "control character", false},
	{"header not ASCII", `{"targetURL":"https://h/","headers":{"X-Y":"ä"}}`, "headers.X-Y", "ASCII", false},
	{"header twice", `{"targetURL":"https://h/","headers":{"X-Y":"a","x-y":"b"}}`, "headers.x-y", "more than once", true},
	{"header and auth", `{"targetURL":"https://h/","headers":{"authorization":"x"},"auth":{"type":"basic","username":"u","password":"p"}}`, "headers", "set by auth", true},
	{"auth without type", `{"targetURL":"https://h/","auth":{}}`, "auth.type", "is required", false},
	{"auth type", `{"targetURL":"https://h/","auth":{"type":"digest"}}`, "auth.type", `"digest"`, false},
	{"auth without password", `{"targetURL":"https://h/","auth":{"type":"basic","username":"u"}}`, "auth.password", "is required", false},
	{"auth with a colon", `{"targetURL":"https://h/","auth":{"type":"basic","username":"a:b","password":"p"}}`, "auth.username", "colon", false},
	{"auth with too much", `{"targetURL":"https://h/","auth":{"type":"noauth","username":"u"}}`, "auth.username", "unknown", false},
	{"auth as text", `{"targetURL":"https://h/","auth":"basic"}`, "auth", "an object", false},

	{"filter", `{"targetURL":"https://h/","filter":"! evnt.a"}`, "filter", "line 1, column 3: undeclared reference to 'evnt'", true},
	{"filter as a boolean", `{"targetURL":"https://h/","filter":true}`, "filter", "must be a string", false},
	{"blank filter", `{"targetURL":"https://h/","filter":" \n"}`, "filter", "is empty", false},
	{"filter with a control character", `{"targetURL":"https://h/","filter":"true\u0000"}`, "filter", "control character", false},
	{"long filter", `{"targetURL":"https://h/","filter":"` + strings.Repeat("x", 4097) + `"}`, "filter", "has 4097 characters", false},
	{"filter that would lose events", `{"targetURL":"https://h/{orderId}","method":"GET","coalesce":true,"filter":"true"}`, "coalesce", "would lose events", false},
	{"transform", `{"targetURL":"https://h/","transform":"x"}`, "transform", "not supported yet", false},
	{"rateLimit", `{"targetURL":"https://h/","rateLimit":{}}`, "rateLimit.requests", "is missing", false},
	{"rate of nothing", `{"targetURL":"https://h/","rateLimit":{"requests":0}}`, "rateLimit.requests", "0", false},
	{"rate time", `{"targetURL":"https://h/","rateLimit":{"requests":5,"per":"PT2H"}}`, "rateLimit.per", `"PT2H"`, true},

	{"C4 client_credential without clientSecret", `{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","tokenURL":"https://t/"}}`, "auth.clientSecret", "required with type client_credential", false},
	{"C4 client_credential without tokenURL", `{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"hunter2"}}`, "auth.tokenURL", "required", false},
	{"token URL over http", `{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"hunter2","tokenURL":"http://t/"}}`, "auth.tokenURL", "ORDERBRIDGE_ALLOW_HTTP", true},
	{"token URL with user info", `{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"hunter2","tokenURL":"https://u:hunter2@t/"}}`, "auth.tokenURL", "user info", false},
	{"token URL with placeholder", `{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"hunter2","tokenURL":"https://t/{orderId}"}}`, "auth.tokenURL", "placeholder", false},
	{"scope with a space", `{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"c","clientSecret":"hunter2","tokenURL":"https://t/","scopes":["a b"]}}`, "auth.scopes[0]", "is not a valid scope", false},
	{"bearer without token", `{"targetURL":"https://h/","auth":{"type":"bearer"}}`, "auth.token", "required", false},
	{"bearer with a space", `{"targetURL":"https://h/","auth":{"type":"bearer","token":"hunter2 "}}`, "auth.token", "visible ASCII", false},
	{"empty secret", `{"targetURL":"https://h/","secret":""}`, "secret", "empty", false},
	{"signing without secrets", `{"targetURL":"https://h/","signing":{}}`, "signing.secrets", "required", false},
	{"signing with none", `{"targetURL":"https://h/","signing":{"secrets":[]}}`, "signing.secrets", "empty", false},
	{"signing secret without prefix", `{"targetURL":"https://h/","signing":{"secrets":["hunter2"]}}`, "signing.secrets[0]", "whsec_", false},
	{"short signing secret", `{"targetURL":"https://h/","signing":{"secrets":["whsec_aHVudGVyMg=="]}}`, "signing.secrets[0]", "24 to 64", true},
	{"nine signing secrets", `{"targetURL":"https://h/","signing":{"secrets":[` + strings.Repeat(`"sealed:YWdl",`, 8) + `"sealed:YWdl"]}}`, "signing.secrets", "more than 8", false},
	{"trustAll", `{"targetURL":"https://h/","tls":{"trustAll":true}}`, "tls.trustAll", "ORDERBRIDGE_ALLOW_TRUST_ALL=true", true},
	{"unknown in tls", `{"targetURL":"https://h/","tls":{"trust":"x"}}`, "tls.trust", "nearest known member", false},
	{"certificate without key", `{"targetURL":"https://h/","tls":{"clientCert":"c.pem"}}`, "tls.clientCert", "keyFile", false},
	{"password of nothing", `{"targetURL":"https://h/","tls":{"keyPassword":"hunter2"}}`, "tls.keyPassword", "no file", false},
	{"TLS 1.1", `{"targetURL":"https://h/","tls":{"minVersion":"1.1"}}`, "tls.minVersion", "one of 1.2, 1.3", false},
	{"a cipher suite that is broken", `{"targetURL":"https://h/","tls":{"cipherSuites":["TLS_RSA_WITH_RC4_128_SHA"]}}`, "tls.cipherSuites[0]", "cannot be allowed; it must be one of TLS_RSA_WITH_AES_128_GCM_SHA256", false},
	{"a cipher suite with DHE", `{"targetURL":"https://h/","tls":{"cipherSuites":["TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"]}}`, "tls.cipherSuites[0]", "does not speak", false},
	{"a cipher suite of the default", `{"targetURL":"https://h/","tls":{"cipherSuites":["TLS_AES_128_GCM_SHA256"]}}`, "tls.cipherSuites[0]", "leave it out", false},
	{"old cipher suites in TLS 1.3", `{"targetURL":"https://h/","tls":{"minVersion":"1.3","cipherSuites":["TLS_RSA_WITH_AES_128_CBC_SHA"]}}`, "tls.cipherSuites", "minVersion is 1.3", false},
	{"file out of the directory", `{"targetURL":"https://h/","tenant":"acme","tls":{"keyFile":"../globex/key.pem"}}`, "tls.keyFile", "leads out", true},
	{"absolute file", `{"targetURL":"https://h/","tls":{"trustFile":"/etc/passwd"}}`, "tls.trustFile", "absolute", false},
	{"another tenant's file", `{"targetURL":"https://h/","key":"file:acme/key"}`, "key", "without tenant", true},
	{"env reference", `{"targetURL":"https://h/","auth":{"type":"basic","username":"u","password":"env:hunter2"}}`, "auth.password", "begins with ORDERBRIDGE_SECRET_", false},
	{"another tenant's variable", `{"targetURL":"https://h/","tenant":"acme","key":"env:ORDERBRIDGE_SECRET_GLOBEX_KEY"}`, "key", "begins with ORDERBRIDGE_SECRET_ACME_", true},
	{"the variable of a tenant with a longer name", `{"targetURL":"https://h/","tenant":"acme","key":"env:ORDERBRIDGE_SECRET_ACME__EU_KEY"}`, "key", "begins with", true},
	{"sealed reference", `{"targetURL":"https://h/","headers":{"X-Key":"sealed:hunter2!"}}`, "headers.X-Key", "not a sealed value", false},
}

func TestParseGoodRecords(t *testing.T) {
	t.Parallel()
	for _, record := range goodRecords {
		s, problems := Parse("erp", []byte(record), testPolicy)
		if s == nil || problems.Err() != nil {
			t.Errorf("%s: %v", record, problems)
		}
	}
}

func TestParseBadRecords(t *testing.T) {
	t.Parallel()
	for _, c := range badRecords {
		s, problems := Parse("erp", []byte(c.record), testPolicy)
		if s != nil {
			t.Errorf("%s: accepted", c.name)
		}
		found := false
		for _, p := range problems.Errors() {
			found = found || p.Field == c.field && strings.Contains(p.Message, c.message)
		}
		if !found {
			t.Errorf("%s: %q, want %s: …%s…", c.name, problems, c.field, c.message)
		}
		if len(problems.Errors()) != 1 {
			t.Errorf("%s: one thing is wrong, but %q", c.name, problems)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", problems, problems), "hunter2") {
			t.Errorf("%s: the secret is shown: %v", c.name, problems)
		}
	}
}

func TestParseNotARecord(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		"":                                   "is empty",
		" \n":                                "is empty",
		"[]":                                 "not a JSON object",
		"7":                                  "not a JSON object",
		`"x"`:                                "not a JSON object",
		"{\n  \"a\": 1,\n  b}":               "line 3, column 3",
		`{"targetURL":"https://h/"`:          "not JSON",
		`{"targetURL":"https://h/"}{}`:       "not JSON",
		"\xef\xbb\xbf{}":                     "byte order mark",
		"{\"targetURL\":\"https://h/\xff\"}": "not UTF-8",
		`{"targetURL":"https://h/"}` + strings.Repeat(" ", 64<<10):              "at most 65536",
		strings.Repeat("[", 60000):                                              "not JSON",
		`{"targetURL":"https://h/","x":` + strings.Repeat(`{"x":`, 12000) + "1": "not JSON",
	} {
		s, problems := Parse("erp", []byte(record), testPolicy)
		if err := problems.Err(); s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", record, err, want)
		}
	}
	for _, id := range []string{"", "a.b", "a b", "ä", strings.Repeat("x", 65)} {
		if s, problems := Parse(id, []byte(goodRecords[0]), testPolicy); s != nil || problems.Err() == nil {
			t.Errorf("id %q is accepted", id)
		}
	}
}

func TestParseTellsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, problems := Parse("erp", []byte(
		`{"method":"X","subjects":["a..b","ok",">.x"],"timeout":"60","filter":"evnt","nonsense":1,"auth":{"type":"basic","username":"u","password":"p"}}`), testPolicy)
	var fields []string
	for _, p := range problems {
		fields = append(fields, fmt.Sprintf("%s %v", p.Field, p.Warning))
	}
	want := []string{"method false", "subjects[0] false", "subjects[2] false", "timeout false", "filter false", "nonsense false", "auth.password true", "targetURL false"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := problems.Err().Error(); strings.Contains(err, "auth.password") || !strings.Contains(err, "; subjects[2]: ") {
		t.Errorf("Err() = %s", err)
	}
}

func TestParseBoundsItsProblems(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"targetURL":"https://h/","headers":{`)
	for i := range limits.RecordList {
		fmt.Fprintf(&b, `"X-Token-%d":"t",`, i)
	}
	good := strings.TrimSuffix(b.String(), ",") + "}"
	s, problems := Parse("erp", []byte(good+"}"), testPolicy)
	if s == nil || len(problems) != limits.RecordProblems+1 || problems.Err() != nil {
		t.Errorf("%d warnings make an error: %v", limits.RecordList, problems.Err())
	}
	if s, problems := Parse("erp", []byte(good+`,"nonsense":1}`), testPolicy); s != nil || problems.Err() == nil {
		t.Error("an error behind many warnings is overlooked")
	}
	b.Reset()
	for i := range 5000 {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	s, problems = Parse("erp", []byte(`{"targetURL":"https://h/"`+b.String()+"}"), testPolicy)
	if s != nil || len(problems) != limits.RecordProblems+1 {
		t.Errorf("%d problems", len(problems))
	}
}

func TestParseWarnings(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		goodRecords[0]: "",
		`{"targetURL":"https://h/","auth":{"type":"basic","username":"u","password":"hunter2"}}`:      "auth.password",
		`{"targetURL":"https://h/","key":"hunter2"}`:                                                  "key",
		`{"targetURL":"https://h/","headers":{"X-Api-Key":"hunter2"}}`:                                "headers.X-Api-Key",
		`{"targetURL":"https://h/","headers":{"X-Plant":"7"}}`:                                        "",
		`{"targetURL":"https://h/","secret":"hunter2"}`:                                               "secret",
		`{"targetURL":"https://h/","key":"file:key"}`:                                                 "",
		`{"targetURL":"https://h/","signing":{"secrets":["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}}`: "signing.secrets[0]",
		`{"targetURL":"https://h/%7BorderId%7D"}`:                                                     "targetURL",
		`{"targetURL":"https://h/{orderId}","method":"GET","payload":"event"}`:                        "payload",
		`{"targetURL":"https://h/{orderId}","method":"GET","coalesce":true,"ordering":"none"}`:        "coalesce",
	} {
		_, problems := Parse("erp", []byte(record), testPolicy)
		got := ""
		for _, p := range problems {
			got += p.Field
		}
		if got != want || problems.Err() != nil || strings.Contains(problems.Error(), "hunter2") {
			t.Errorf("%s: %v, want a warning for %q", record, problems, want)
		}
	}
}

func TestRecordPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url    string
		policy Policy
		ok     bool
	}{
		{"http://h/", Policy{}, false},
		{"http://h/", Policy{AllowHTTP: true}, true},
		{"http://h/", Policy{AllowHTTPLoopback: true}, false},
		{"http://127.0.0.1/", Policy{}, false},
		{"http://127.8.8.8/", Policy{AllowHTTPLoopback: true}, true},
		{"http://[::1]:80/", Policy{AllowHTTPLoopback: true}, true},
		{"http://[::ffff:127.0.0.1]/", Policy{AllowHTTPLoopback: true}, true},
		{"http://LOCALHOST/", Policy{AllowHTTPLoopback: true}, true},
		{"http://10.0.0.1/", Policy{AllowHTTPLoopback: true}, false},
	} {
		_, problems := Parse("erp", []byte(`{"targetURL":"`+c.url+`"}`), c.policy)
		if (problems.Err() == nil) != c.ok {
			t.Errorf("%s under %+v: %v", c.url, c.policy, problems)
		}
	}
}

// TestPermissions: one text names every permission that a record lacks.
func TestPermissions(t *testing.T) {
	t.Parallel()
	record := []byte(`{"targetURL":"http://10.0.0.1/","tls":{"trustAll":true},
		"auth":{"type":"client_credential","clientID":"c","clientSecret":"hunter2","tokenURL":"http://10.0.0.2/token"}}`)
	private := errors.New("is private: ORDERBRIDGE_EGRESS_ALLOW")
	_, problems := Parse("erp", record, Policy{CheckAddress: func(netip.Addr) error { return private }})
	text := problems.Err().Error()
	for setting, times := range map[string]int{"ORDERBRIDGE_ALLOW_HTTP=true": 2, "ORDERBRIDGE_EGRESS_ALLOW": 2, "ORDERBRIDGE_ALLOW_TRUST_ALL=true": 1} {
		if strings.Count(text, setting) != times {
			t.Errorf("%s is named %d times, want %d: %s", setting, strings.Count(text, setting), times, text)
		}
	}
	s, problems := Parse("erp", record, Policy{AllowHTTP: true, AllowTrustAll: true, CheckAddress: func(netip.Addr) error { return nil }})
	if s == nil || len(problems.Warnings()) != 2 {
		t.Errorf("with all permissions: %v", problems)
	}
}

func TestEnvPrefix(t *testing.T) {
	t.Parallel()
	for tenant, want := range map[string]string{"": "ORDERBRIDGE_SECRET_", "acme": "ORDERBRIDGE_SECRET_ACME_", "acme-eu_2": "ORDERBRIDGE_SECRET_ACME__EU__2_"} {
		if got := EnvPrefix(tenant); got != want {
			t.Errorf("%q: %s, want %s", tenant, got, want)
		}
	}
	// No variable belongs to two tenants.
	tenants := []string{"a", "a-b", "a-", "a--", "-a", "-", "--", "a-b-", "b"}
	names := []string{"x"}
	for _, tenant := range tenants {
		for _, rest := range []string{"X", "X_Y", "A_X", "B_X", "B__X"} {
			names = append(names, EnvPrefix(tenant)+rest)
		}
	}
	for _, name := range names {
		var readers []string
		for _, tenant := range tenants {
			if CheckReference(tenant, RefEnv+name) == nil {
				readers = append(readers, tenant)
			}
		}
		if len(readers) > 1 {
			t.Errorf("%s may be read by %q", name, readers)
		}
	}
}

func TestParsedRecord(t *testing.T) {
	t.Parallel()
	plain, _ := Parse("erp", []byte(`{"targetURL":"https://erp.example.com/x"}`), Policy{})
	if diff := cmp.Diff(&Subscription{ID: "erp", TargetURL: "https://erp.example.com/x", Method: "POST", Payload: "event", MaxInFlight: 16}, plain, sameRecord); diff != "" {
		t.Errorf("plain record (-want +got)\n%s", diff)
	}
	if plain.AttemptTimeout() != 30*time.Second || plain.ConnectTimeout() != 10*time.Second || len(plain.RetrySchedule()) != 8 || plain.RetrySchedule()[2] != 5*time.Minute {
		t.Errorf("defaults: %v, %v, %v", plain.AttemptTimeout(), plain.ConnectTimeout(), plain.RetrySchedule())
	}

	full, problems := Parse("erp", []byte(`{
		"targetURL":"https://erp.example.com/{orderId}", "method":"GET", "payload":"notification", "tenant":"acme",
		"subjects":["orders.acme.>","orders.acme.x","orders.b.*"], "eventTypes":["Order*","OrderAccepted","*X"],
		"status":"deactivated", "coalesce":true, "ordering":"strict", "maxInFlight":3,
		"headers":{"x-plant":"7"}, "key":"k", "auth":{"password":"p","username":"u","type":"basic"},
		"connectionTimeout":"PT3S", "timeout":"PT7S", "retry":{"schedule":["PT1S"]}, "startFrom":"all",
		"description":"d", "labels":{"a":"b"}, "id":"erp", "createdAt":"2026-01-02T15:04:05Z"}`), Policy{})
	want := &Subscription{
		ID: "erp", TargetURL: "https://erp.example.com/{orderId}", Method: "GET", Payload: "notification", Tenant: "acme",
		Subjects: []string{"orders.acme.>", "orders.b.*"}, Types: []string{"Order*", "*X"},
		Inactive: true, Coalesce: true, Ordering: event.OrderingStrict, MaxInFlight: 3,
		More: &More{
			Headers: map[string]string{"X-Plant": "7"}, Key: "k", Auth: &Auth{Type: "basic", Username: "u", Password: "p"},
			ConnectionTimeout: 3 * time.Second, Timeout: 7 * time.Second, Schedule: []time.Duration{time.Second},
			StartFrom: "all", Description: "d", Labels: map[string]string{"a": "b"},
		},
	}
	if diff := cmp.Diff(want, full, sameRecord); diff != "" {
		t.Errorf("full record (-want +got)\n%s\n%v", diff, problems)
	}
	if full.AttemptTimeout() != 7*time.Second || full.ConnectTimeout() != 3*time.Second || len(full.RetrySchedule()) != 1 {
		t.Errorf("given values: %v, %v, %v", full.AttemptTimeout(), full.ConnectTimeout(), full.RetrySchedule())
	}
	if none, _ := Parse("erp", []byte(`{"targetURL":"https://h/","retry":{"schedule":[]}}`), Policy{}); len(none.RetrySchedule()) != 0 {
		t.Errorf("empty schedule: %v", none.RetrySchedule())
	}
	every, _ := Parse("erp", []byte(`{"targetURL":"https://h/","subjects":["a",">"],"eventTypes":["**","x"]}`), Policy{})
	if every.Subjects != nil || every.Types != nil {
		t.Errorf("filters that cover all: %v, %v", every.Subjects, every.Types)
	}
}

func TestOriginAndDescribe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ record, origin, describe string }{
		{`{"targetURL":"https://ERP.example.com/a?b=hunter2"}`, "https://erp.example.com", "hears all events, POST erp.example.com"},
		{`{"targetURL":"https://erp.example.com:443/{orderId}","method":"GET","subjects":["orders.acme.>"],"eventTypes":["OrderAccepted"]}`,
			"https://erp.example.com", "hears orders.acme.> [OrderAccepted], GET erp.example.com"},
		{`{"targetURL":"https://h:8443","tenant":"acme","subjects":["a","b","c","d","e"]}`, "https://h:8443", "hears a, b, c, d, … of tenant acme, POST h:8443"},
		{`{"targetURL":"http://h:080"}`, "http://h", "hears all events, POST h"},
		{`{"targetURL":"https://[2001:DB8::1]/"}`, "https://[2001:db8::1]", "hears all events, POST [2001:db8::1]"},
		{`{"targetURL":"https://[::1]:8443/"}`, "https://[::1]:8443", "hears all events, POST [::1]:8443"},
	} {
		s, problems := Parse("erp", []byte(c.record), Policy{AllowHTTP: true})
		if s == nil {
			t.Errorf("%s: %v", c.record, problems)
			continue
		}
		if s.Origin() != c.origin || s.Describe() != c.describe {
			t.Errorf("%s: %q, %q", c.record, s.Origin(), s.Describe())
		}
	}
}

func TestSecretHost(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://ERP.example.com:443/{orderId}?x=<orderId>": "erp.example.com", "https://h:8443": "h:8443", "http://h:80/": "http://h", "https://[::1]:8443/": "[::1]:8443",
		"https://": "", "": "", "%": "",
	} {
		if got := SecretHost(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

func TestSubscriptionInLogs(t *testing.T) {
	t.Parallel()
	s, _ := Parse("erp", []byte(`{"targetURL":"https://h/?t=hunter2","headers":{"X-Token":"hunter2"}}`), Policy{})
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "subscription", s)
	if strings.Contains(b.String(), "hunter2") || !strings.Contains(b.String(), `"subscription":"erp"`) {
		t.Error(b.String())
	}
}

func TestMatchesEvent(t *testing.T) {
	t.Parallel()
	ev := &event.Event{Message: event.Message{Subject: "orders.acme.OrderAccepted.1"}, Type: "OrderAccepted", Tenant: "acme"}
	for record, want := range map[string]bool{
		``: true,
		`,"subjects":["orders.acme.>"],"eventTypes":["X","Order*"],"tenant":"acme"`: true,
		`,"subjects":["orders.b.>"]`:  false,
		`,"eventTypes":["OrderSent"]`: false,
		`,"tenant":"globex"`:          false,
	} {
		s, _ := Parse("erp", []byte(`{"targetURL":"https://h/"`+record+`}`), Policy{})
		if s.MatchesEvent(ev) != want {
			t.Errorf("%s: %v", record, !want)
		}
	}
	s, _ := Parse("erp", []byte(`{"targetURL":"https://h/","tenant":"acme"}`), Policy{})
	for _, tenant := range []string{"", "Acme", "acme ", "acm\u00e9", "acme\x00"} {
		if s.MatchesEvent(&event.Event{Tenant: tenant}) {
			t.Errorf("a record of tenant acme hears an event of tenant %q", tenant)
		}
	}
}

func TestCheckSubjects(t *testing.T) {
	t.Parallel()
	s := &Subscription{Subjects: []string{"orders.acme.>", "order.acme.>", "*.x"}}
	problems := s.CheckSubjects("ORDERS", []string{"orders", "orders.>"})
	if len(problems) != 1 || !strings.Contains(problems[0].Message, `"order.acme.>"`) || problems.Err() != nil {
		t.Errorf("%v", problems)
	}
	if problems := s.CheckSubjects("COPY", nil); problems != nil {
		t.Errorf("a stream that only sources: %v", problems)
	}
}

func TestCompiled(t *testing.T) {
	t.Parallel()
	s := &Subscription{ID: "erp"}
	broken := errors.New("no such file")
	if _, err := s.Compiled(func(*Subscription) (any, error) { return nil, broken }); err != broken {
		t.Fatalf("error %v", err)
	}
	var builds atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			v, err := s.Compiled(func(got *Subscription) (any, error) {
				builds.Add(1)
				return got.ID + " compiled", nil
			})
			if err != nil || v != "erp compiled" {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	wg.Wait()
	if builds.Load() != 1 {
		t.Errorf("built %d times", builds.Load())
	}
}

func TestCompiledAfterPanic(t *testing.T) {
	t.Parallel()
	s := &Subscription{}
	func() {
		defer func() { _ = recover() }()
		_, _ = s.Compiled(func(*Subscription) (any, error) { panic("x") })
	}()
	if v, err := s.Compiled(func(*Subscription) (any, error) { return 1, nil }); v != 1 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}

func FuzzParseSubscription(f *testing.F) {
	for _, r := range goodRecords {
		f.Add([]byte(r))
	}
	for _, c := range badRecords {
		f.Add([]byte(c.record))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, problems := Parse("erp", data, testPolicy)
		if (s == nil) != (problems.Err() != nil) || len(problems) > 2*limits.RecordProblems+2 {
			t.Fatalf("%v, %v", s, problems)
		}
		if s != nil && (s.Origin() == "" || s.Describe() == "" || s.MaxInFlight < 1) {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkParseSubscription(b *testing.B) {
	record := []byte(`{"targetURL":"https://erp.example.com/orders/{orderId}","subjects":["orders.acme.>"],"eventTypes":["OrderAccepted"]}`)
	for b.Loop() {
		Parse("erp", record, Policy{})
	}
}

// Whoever wants to be tried too soon is tried as soon as may be, and told so.
func TestLeastWaits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		least      time.Duration
		record     string
		waits      []time.Duration
		timeout    time.Duration
		connection time.Duration
		warned     []string
	}{
		"short":  {record: `"retry":{"schedule":["1ns","PT1S","999ms","PT5S"]}`, waits: []time.Duration{time.Second, time.Second, time.Second, 5 * time.Second}, warned: []string{"retry.schedule[0]", "retry.schedule[2]"}},
		"dev":    {least: 100 * time.Millisecond, record: `"retry":{"schedule":["1ns","PT0.2S"]}`, waits: []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}, warned: []string{"retry.schedule[0]"}},
		"others": {record: `"timeout":"1ns","connectionTimeout":"1ns"`, timeout: 10 * time.Millisecond, connection: 10 * time.Millisecond, warned: []string{"timeout", "connectionTimeout"}},
		"good":   {record: `"timeout":"PT1S","retry":{"schedule":["PT1S"]}`, waits: []time.Duration{time.Second}, timeout: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, problems := Parse("s", []byte(`{"targetURL":"https://h/",`+tt.record+`}`), Policy{LeastWait: tt.least})
			if s == nil {
				t.Fatal(problems)
			}
			var warned []string
			for _, p := range problems {
				if !p.Warning {
					t.Errorf("an error: %s", p)
				}
				warned = append(warned, p.Field)
			}
			slices.Sort(warned)
			slices.Sort(tt.warned)
			if !slices.Equal(warned, tt.warned) || !slices.Equal(s.More.Schedule, tt.waits) || s.More.Timeout != tt.timeout || s.More.ConnectionTimeout != tt.connection {
				t.Errorf("got %v, %s, %s, warned of %v", s.More.Schedule, s.More.Timeout, s.More.ConnectionTimeout, warned)
			}
		})
	}
}

func TestPerOrderURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"https://h/orders":                 false,
		"https://h/{orderId}":              true,
		"https://h/?id=<legacyOrderId>":    true,
		"https://h/{legacyOrderId}":        true,
		"https://h/<orderId>":              true,
		"https://h/{other}?orderId=static": false,
	} {
		if got := (&Subscription{TargetURL: url}).PerOrderURL(); got != want {
			t.Errorf("%s: got %v", url, got)
		}
	}
}

package bridge

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// What a record's writer is shown beside what is wrong: how a member looks that
// is right, and which name was meant.

// memberExamples shows each member as it may stand in a record.
var memberExamples = map[string]string{ //nolint:gosec // references, no secrets
	"targetURL":         `"https://erp.example.com/orders"`,
	"method":            `"PUT"`,
	"subjects":          `["orders.acme.>"]`,
	"eventTypes":        `["OrderAccepted"]`,
	"filter":            `"event.total > 100"`,
	"payload":           `"event"`,
	"headers":           `{"X-Team":"sales"}`,
	"key":               `"env:ORDERBRIDGE_SECRET_KEY"`,
	"auth":              `{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_TOKEN"}`,
	"auth.type":         `"bearer"`,
	"auth.username":     `"bridge"`,
	"auth.password":     `"env:ORDERBRIDGE_SECRET_PASSWORD"`,
	"auth.token":        `"env:ORDERBRIDGE_SECRET_TOKEN"`,
	"auth.clientID":     `"bridge"`,
	"auth.clientSecret": `"env:ORDERBRIDGE_SECRET_CLIENT"`,
	"auth.tokenURL":     `"https://login.example.com/token"`,
	"auth.scopes":       `["orders"]`,
	"secret":            `"env:ORDERBRIDGE_SECRET_SIGNATURE"`,
	"signing":           `{"secrets":["env:ORDERBRIDGE_SECRET_SIGNING"]}`,
	"signing.secrets":   `["env:ORDERBRIDGE_SECRET_SIGNING"]`,
	"tls":               `{"trustFile":"partner-ca.pem"}`,
	"tls.trustAll":      `true`,
	"tls.trustFile":     `"partner-ca.pem"`,
	"tls.clientCert":    `"client.pem"`,
	"tls.keyFile":       `"client-key.pem"`,
	"tls.keyPassword":   `"env:ORDERBRIDGE_SECRET_KEYPASSWORD"`,
	"tls.minVersion":    `"1.3"`,
	"connectionTimeout": `"PT5S" or "5s"`,
	"timeout":           `"PT10S" or "10s"`,
	"retry":             `{"schedule":["PT5S","PT1M","PT1H"]}`,
	"retry.schedule":    `["PT5S","PT1M","PT1H"]`,
	"ordering":          `"order"`,
	"coalesce":          `true`,
	"maxInFlight":       `16`,
	"rateLimit":         `{"requests":100,"per":"PT1S"}`,
	"rateLimit.per":     `"PT1S" or "1s"`,
	"startFrom":         `"all"`,
	"status":            `"active"`,
	"tenant":            `"acme"`,
	"description":       `"order lines for the ERP"`,
	"labels":            `{"team":"sales"}`,
}

// asIn is the example for a field, as the end of a message; "" if there is none.
func asIn(field string, v gjson.Result, want string) string {
	switch {
	case v.Type == gjson.Number && want == "a string" && isDuration(field):
		return fmt.Sprintf(", which has no unit; write %q or %q", "PT"+v.Raw+"S", v.Raw+"s")
	case v.Type == gjson.String && want == "an array" && len(v.Str) <= 80 && json.Valid([]byte(v.Raw)) && !isSecretList(field):
		return "; write [" + v.Raw + "]"
	case v.Type == gjson.String && want == "a boolean" && (v.Str == "true" || v.Str == "false"):
		return "; write " + v.Str + " without quotes"
	case v.Type == gjson.String && want == "a number" && len(v.Str) <= 12 && gjson.Valid(v.Str) && gjson.Parse(v.Str).Type == gjson.Number:
		return "; write " + v.Str + " without quotes"
	}
	if example := memberExamples[field]; example != "" {
		return "; write it like " + example
	}
	if i := strings.IndexByte(field, '['); i > 0 && want == "a string" {
		return "; write it in quotes"
	}
	return ""
}

func isDuration(field string) bool {
	return field == "timeout" || field == "connectionTimeout" || field == "rateLimit.per" || strings.HasPrefix(field, "retry.schedule[")
}

func isSecretList(field string) bool { return strings.HasPrefix(field, "signing") }

// otherNames are what other systems call the members.
var otherNames = map[string]string{
	"url": "targetURL", "uri": "targetURL", "endpoint": "targetURL", "target": "targetURL", "webhook": "targetURL", "callback": "targetURL", "callbackurl": "targetURL",
	"verb": "method", "httpmethod": "method", "subject": "subjects", "topic": "subjects", "topics": "subjects",
	"events": "eventTypes", "event": "eventTypes", "type": "eventTypes", "types": "eventTypes", "eventtype": "eventTypes",
	"retries": "retry", "retryschedule": "retry", "backoff": "retry", "enabled": "status", "active": "status", "state": "status", "disabled": "status",
	"concurrency": "maxInFlight", "parallel": "maxInFlight", "authentication": "auth", "authorization": "auth",
	"user": "username", "login": "username", "pass": "password", "pwd": "password", "client_id": "clientID", "client_secret": "clientSecret",
	"token_url": "tokenURL", "scope": "scopes", "ca": "trustFile", "cafile": "trustFile", "insecure": "trustAll", "cert": "clientCert", "verify": "trustAll",
	"name": "description", "comment": "description", "tags": "labels", "intervals": "schedule", "limit": "requests",
}

// meant tells which known name may be meant by an unknown one, as the end of a message.
func meant(prefix, name string, known []string) string {
	if r := []rune(name); len(r) > 64 {
		name = string(r[:64])
	}
	if other := otherNames[strings.ToLower(name)]; other != "" && slices.Contains(known, other) {
		return "the nearest known member is " + quote(prefix+other)
	}
	best := nearest(name, known)
	if n := Edits(name, best); 2*n > max(len(name), len(best)) && !strings.HasPrefix(strings.ToLower(best), strings.ToLower(name)) {
		return "known are " + strings.Join(known, ", ")
	}
	return "the nearest known member is " + quote(prefix+best)
}

// nearest returns the known name that differs least from name: by edits, a
// common beginning counting half an edit a letter.
func nearest(name string, known []string) string {
	score := func(k string) int {
		a, b := strings.ToLower(name), strings.ToLower(k)
		common := 0
		for common < len(a) && common < len(b) && a[common] == b[common] {
			common++
		}
		return 2*Edits(name, k) - common
	}
	return slices.MinFunc(known, func(a, b string) int {
		if d := score(a) - score(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

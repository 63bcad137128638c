package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/lab"
)

// publishedBody is a body as a publisher writes it.
type publishedBody struct {
	name, data, contentType, encoding string
	order                             string // "" for a dead letter
	reason                            string // of the dead letter
	note                              string // the notification's order; "" for none
}

func publishedBodies(t *testing.T) []publishedBody {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprint(w, `{"orderId":"zipped","eventType":"T","n":3}`)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wide := "\xff\xfe"
	for _, c := range `{"orderId":"wide"}` {
		wide += string([]byte{byte(c), 0})
	}
	const json, events, batch = "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"
	return []publishedBody{
		{"mark", "\xef\xbb\xbf" + `{"orderId":"marked","eventType":"T","n":1}`, "", "", "marked", "", "marked"},
		{"gzip", z.String(), json, "gzip", "zipped", "", "zipped"},
		{"flat", `{"order.id":"flat","type":"T","n":2}`, "", "", "flat", "", ""},
		{"base64", `{"specversion":"1.0","id":"1","source":"/x","type":"T","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(`{"orderId":"coded"}`)) + `"}`, events, "", "coded", "", "coded"},
		{"wide", wide, "", "", "", "it is UTF-16, but JSON is UTF-8", ""},
		{"nan", `{"orderId":"x","total":NaN}`, "", "", "", "NaN at byte 24 is not a JSON value", ""},
		{"array", `[{"orderId":"x"}]`, "", "", "", "it is a JSON array, not an object", ""},
		{"batch", `[{"specversion":"1.0","id":"1","source":"/x","type":"T","data":{"orderId":"x"}}]`, batch, "", "", "it is a batch of CloudEvents", ""},
		{"brotli", "\x0b\x02\x80", json, "br", "", `its Content-Encoding is "br": only gzip and deflate can be read`, ""},
	}
}

// Data in the forms in which publishers write it: what can be read is read, the
// bytes go out as they came, and what cannot be read says why.
func TestBodiesAsPublishersWriteThem(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	raw, get, note := receive(t, nil), receive(t, nil), receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "raw", recordFor(raw))
	subscribe(t, js, "get", `{"targetURL":"`+get.URL+`/o/{orderId}","method":"GET","ordering":"none"}`)
	subscribe(t, js, "note", recordFor(note, `"payload":"notification"`, `"ordering":"none"`, `"filter":"event.n % 2 == 1 || has(event.specversion)"`))
	for _, tt := range publishedBodies(t) {
		n, g, k := raw.Count(), get.Count(), note.Count()
		m := &nats.Msg{Subject: "orders.acme", Data: []byte(tt.data), Header: nats.Header{}}
		if tt.contentType != "" {
			m.Header["Content-Type"] = []string{tt.contentType}
		}
		if tt.encoding != "" {
			m.Header["Content-Encoding"] = []string{tt.encoding}
		}
		publishMsg(t, js, m)
		h := raw.came(t, n+1)
		if string(h.Body) != tt.data || h.Header.Get("Content-Encoding") != tt.encoding || tt.contentType != "" && h.Header.Get("Content-Type") != tt.contentType {
			t.Errorf("%s: went out as %q with %v", tt.name, h.Body, h.Header)
		}
		if tt.reason != "" {
			await(t, 20*time.Second, tt.name+" is dead, and says why", func() bool {
				out, _ := command(t, bus.URL(), "", "dead-letters", "list", "get")
				return strings.Contains(out, "the orderId, which the target URL needs, cannot be read from the event: ") && strings.Contains(out, tt.reason)
			})
			continue
		}
		if h := get.came(t, g+1); h.URI != "/o/"+tt.order {
			t.Errorf("%s: asked for %s, want order %s", tt.name, h.URI, tt.order)
		}
		if tt.note == "" {
			continue
		}
		if h := note.came(t, k+1); h.Order != tt.note || h.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: notified of %q: %s", tt.name, h.Order, h.Body)
		}
	}
}

package event

import "testing"

func TestWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header, value, data string
		want                string
	}{
		{"", "", `{}`, ""},
		{"", "", ``, ""}, // a change whose order stands in the subject
		{"Nats-Marker-Reason", "MaxAge", "", "delete marker"},
		{"Nats-Marker-Reason", "Purge", "", "delete marker"},
		{"KV-Operation", "DEL", "", "delete marker"},
		{"KV-Operation", "PURGE", "", "delete marker"},
		{"KV-Operation", "PUT", "{}", ""},
		{"Nats-Rollup", "sub", "", "delete marker"},
		{"Nats-Rollup", "sub", "{}", ""},
		{"Nats-Schedule", "@at 2030-01-01T00:00:00Z", "{}", "schedule"},
		{"Nats-Schedule-Next", "purge", "{}", ""},
		{"Nats-Scheduler", "orders.x", "{}", ""},
		{"Nats-Incr", "+1", `{"val":"1"}`, "counter"},
		{"Nats-Batch-Id", "b", "{}", ""},
		{"Nats-Batch-Commit", "1", "{}", ""},
		{"Nats-TTL", "1h", "{}", ""},
		{"Nats-Stream-Source", "OTHER 7 > >", "{}", ""},
		{"Status", "503", "", "status"},
		{"Status", "503", "{}", ""},
		{"Status", "shipped", "", ""},
		{"Status", "999", "", ""},
	} {
		m := &Message{Seq: 1, Subject: "orders.acme.OrderChanged.7", Data: []byte(tt.data)}
		if tt.header != "" {
			m.Header = map[string][]string{tt.header: {tt.value}}
		}
		e := (&Decoder{Stream: "ORDERS"}).Decode(m)
		if e.Not != tt.want {
			t.Errorf("%s: %s with data %q is %q, want %q", tt.header, tt.value, tt.data, e.Not, tt.want)
		}
	}
}

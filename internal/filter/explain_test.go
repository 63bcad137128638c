package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

func TestValues(t *testing.T) {
	t.Parallel()
	ev := &event.Event{Message: event.Message{Subject: "orders.acme.x", Header: map[string][]string{"Region": {"eu"}},
		Data: []byte(`{"total":50,"items":[{"sku":"a"},{"sku":"b"}],"buyer":{"vip":true},"note":"` + strings.Repeat("é", 500) + `"}`)}}
	for expression, want := range map[string][]string{
		`event.total > 100`: {"event.total = 50"},
		`event.total > 100 && (headers["Region"] == "eu" || subject == "x")`: {
			`event.total > 100 = false`, `headers["Region"] == "eu" = true`, `subject == "x" = false`,
			`event.total = 50`, `headers["Region"] = "eu"`, `subject = "orders.acme.x"`},
		`event.items.exists(i, i.sku == "b") && event.buyer.vip`: {
			`event.items.exists(i, i.sku == "b") = true`, `event.buyer.vip = true`, `event.items = a list of 2`},
		`event.absent == 1`:                       {`event.absent = error: no such key: absent`},
		`has(event.buyer) && event.buyer != null`: {`has(event.buyer) = true`, `event.buyer != null = true`, `event.buyer = an object of 1 members`},
	} {
		var got []string
		for _, v := range New().Values(t.Context(), expression, ev) {
			got = append(got, v.Expression+" = "+v.Value)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n  %s\nwant\n  %s", expression, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	for _, v := range New().Values(t.Context(), `event.note == ""`, ev) {
		if len(v.Value) > limits.ExplainValueBytes+8 {
			t.Errorf("a value of %d bytes is shown", len(v.Value))
		}
	}
	var many []string
	for i := range limits.ExplainValues + 5 {
		many = append(many, fmt.Sprintf("event.m%d == 1", i))
	}
	if got := New().Values(t.Context(), strings.Join(many, " && "), ev); len(got) != limits.ExplainValues {
		t.Errorf("%d values are told, want %d", len(got), limits.ExplainValues)
	}
}

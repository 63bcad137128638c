package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestShardOf holds some values for ever: what shards have settled is told by them.
func TestShardOf(t *testing.T) {
	for _, x := range []struct {
		id   string
		n    int
		want int
	}{{"a", 1, 0}, {"a", 0, 0}, {"", 4, 1}, {"a", 2, 0}, {"a", 4, 0}, {"foobar", 64, 40}, {"acme-orders", 3, 0}, {"acme-orders", 64, 55}} {
		if got := ShardOf(x.id, x.n); got != x.want {
			t.Errorf("ShardOf(%q, %d) = %d, not %d", x.id, x.n, got, x.want)
		}
	}
	for _, n := range []int{2, 3, 4, 16} {
		count := make([]int, n)
		for i := range 1000 * n {
			count[ShardOf(fmt.Sprint("subscription-", i), n)]++
		}
		for k, got := range count {
			if got < 900 || got > 1100 {
				t.Errorf("shard %d of %d has %d subscriptions of %d", k, n, got, 1000*n)
			}
		}
	}
	if !(Shard{}).Has("any") || !(Layout{Shards: 1}).Shard(0).Has("any") {
		t.Error("the only shard has not all")
	}
}

func TestLayoutNext(t *testing.T) {
	done := Layout{Generation: 3, Shards: 4, Former: 2, Done: true}
	open := Layout{Generation: 3, Shards: 4, Former: 2}
	for _, x := range []struct {
		name string
		l    Layout
		want int
		next Layout
	}{
		{"another number", done, 2, Layout{Generation: 4, Shards: 2, Former: 4}},
		{"the same number", done, 4, done},
		{"not done: it waits", open, 1, Layout{Generation: 3, Shards: 4, Former: 2, Want: 1}},
		{"not done: taken back", Layout{Generation: 3, Shards: 4, Former: 2, Want: 1}, 4, open},
		{"what waited", Layout{Generation: 3, Shards: 4, Former: 2, Done: true, Want: 1}, 1, Layout{Generation: 4, Shards: 1, Former: 4}},
		{"from the first", FirstLayout(1, false), 2, Layout{Generation: 1, Shards: 2, Former: 1}},
	} {
		next, changed := x.l.Next(x.want)
		if next != x.next || changed != (next != x.l) {
			t.Errorf("%s: %+v, %v, not %+v", x.name, next, changed, x.next)
		}
		if err := next.check(); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if got := FirstLayout(4, false); got != (Layout{Generation: 1, Shards: 4}) {
		t.Errorf("a first start with 4 shards: %+v", got)
	}
	if got := FirstLayout(4, true); got != (Layout{Shards: 1, Done: true}) {
		t.Errorf("a start with 4 shards where one was: %+v", got)
	}
}

func TestParseLayout(t *testing.T) {
	l := Layout{Generation: 2, Shards: 4, Former: 1, Want: 8}
	if got, err := ParseLayout(Encode(l)); err != nil || got != l {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseLayout([]byte(`{"g":2,"n":4,"prev":1,"done":true,"later":"a member of another build"}`)); err != nil || !got.Done {
		t.Errorf("%+v, %v", got, err)
	}
	for text, want := range map[string]string{
		``:                        "not a layout",
		`{"g":1`:                  "not a layout",
		`{"g":-1,"n":1}`:          "not a layout",
		`{"g":1}`:                 "0 shards",
		`{"g":1,"n":65}`:          "65 shards",
		`{"g":2,"n":2,"prev":-1}`: "-1 shards",
		`{"g":2,"n":2}`:           "tells none before it",
		`{"g":0,"n":2}`:           "generation 0",
		`{"g":1,"n":2,"want":99}`: "wanted",
		`{"n":1,"x":"` + strings.Repeat("x", 2000) + `"}`: "bytes",
	} {
		if l, err := ParseLayout([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %+v, %v", text, l, err)
		}
	}
	if b, _ := json.Marshal(FirstLayout(1, true)); string(b) != `{"g":0,"n":1,"done":true}` {
		t.Errorf("it is told as %s", b)
	}
}

func TestLayoutComplete(t *testing.T) {
	t.Parallel()
	past := LeaseEntry{Epoch: 1, Holder: "a", Leading: true, Own: true}
	for name, tt := range map[string]struct {
		former int
		change func(*LeaseEntry)
		want   bool
	}{
		"all are past the former ones": {2, func(*LeaseEntry) {}, true},
		"one is behind":                {2, func(e *LeaseEntry) { e.Own = false }, false},
		"one is free":                  {2, func(e *LeaseEntry) { e.Free = true }, false},
		"one takes over":               {2, func(e *LeaseEntry) { e.Leading, e.Term = false, "t" }, false},
		"one is absent":                {2, func(e *LeaseEntry) { *e = LeaseEntry{} }, false},
		"there are no former ones":     {0, func(e *LeaseEntry) { e.Own = false }, true},
	} {
		other := past
		tt.change(&other)
		l := Layout{Generation: 2, Shards: 2, Former: tt.former}
		if got := l.Complete([]LeaseEntry{past, other}); got != tt.want {
			t.Errorf("%s: complete %t", name, got)
		}
		if l.Complete([]LeaseEntry{past}) {
			t.Errorf("complete, though one is not known")
		}
	}
}

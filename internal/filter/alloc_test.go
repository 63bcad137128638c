package filter

import (
	"context"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"orderbridge/internal/limits"
)

// TestWhatAnExpressionMakes: all that an evaluation makes, rubbish included, is
// bounded by its cost.
func TestWhatAnExpressionMakes(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	f := New()
	e := event(`{"list":[` + strings.Repeat("0,", 50_000) + `0],"text":"` + strings.Repeat("a", 60) + `","long":"` + strings.Repeat("\\n", 50_000) + `"}`)
	for _, expression := range []string{
		`event.list.map(a, [a` + strings.Repeat(",1", 900) + `]) == []`,
		`event.list.map(a, {"a":a,"b":[a,a,a,a,a,a,a,a,a,a]}) == []`,
		`event.list.map(a, event.text) == []`,
		`event.list.map(a, [event.text` + strings.Repeat(",event.text", 100) + `]) == []`,
		`event.list.map(a, event.text + event.text) == []`,
		`event.list.map(a, event.long) == []`,
		`event.list.map(a, event.long + "x") == []`,
		`event.list.map(a, event.list) == []`,
		`event.list.map(a, event.list + [a]) == []`,
		`event.list.filter(a, true).map(a, a) == []`,
		`event.list.map(a, string(a)) == []`,
		`event.list.map(a, bytes(event.text)) == []`,
		`event.list.map(a, timestamp("2026-01-01T00:00:00Z")) == []`,
		`event.list.all(a, "a" + string(a) + "b" != event.text.substring)`,
		`event.list.map(a, event.text.matches("a" + string(a))) == []`,
		`event.list.map(a, headers) == []`,
	} {
		debug.FreeOSMemory()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := f.Wants(context.Background(), expression, e)
		runtime.ReadMemStats(&after)
		made := (after.TotalAlloc - before.TotalAlloc) >> 10
		if made > 2*limits.FilterWorkBytes>>10 {
			t.Errorf("%.60s: %d KiB were made", expression, made)
		}
		t.Logf("%8d KiB: %.60s %.60v", made, expression, err)
	}
}

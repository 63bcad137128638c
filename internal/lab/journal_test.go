package lab

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestJournalIsHeldAgainstThePromises(t *testing.T) {
	t.Parallel()
	start := time.Now()
	// hit is an attempt of a change of order a at that second, answered at once.
	hit := func(second, n int, id string, status int) Hit {
		at := start.Add(time.Duration(second) * time.Second)
		return Hit{At: at, Ended: at, Change: Change{"a", n}, Status: status, Header: http.Header{"Webhook-Id": {id}}}
	}
	for name, tt := range map[string]struct {
		journal Journal
		repeats int
		broken  string
	}{
		"good":              {Journal{hit(0, 1, "x", 200), hit(1, 2, "y", 200)}, 0, ""},
		"a retry":           {Journal{hit(0, 1, "x", 500), hit(1, 1, "x", 200), hit(2, 2, "y", 200)}, 0, ""},
		"a repeat":          {Journal{hit(0, 1, "x", 200), hit(1, 1, "x", 200), hit(2, 2, "y", 200)}, 1, ""},
		"a failed repeat":   {Journal{hit(0, 1, "x", 200), hit(1, 1, "x", 500), hit(2, 2, "y", 200)}, 1, ""},
		"lost":              {Journal{hit(0, 1, "x", 200)}, 0, "a 2 never arrived"},
		"only failed":       {Journal{hit(0, 1, "x", 200), hit(1, 2, "y", 500)}, 0, "a 2 never arrived"},
		"out of order":      {Journal{hit(0, 2, "y", 200), hit(1, 1, "x", 200)}, 0, "a 2 came before a 1 had succeeded"},
		"before a success":  {Journal{hit(0, 1, "x", 500), hit(1, 2, "y", 200), hit(2, 1, "x", 200)}, 0, "a 2 came before a 1 had succeeded"},
		"two ids":           {Journal{hit(0, 1, "x", 500), hit(1, 1, "z", 200), hit(2, 2, "y", 200)}, 0, "a 1 came under id x and z"},
		"an id for two":     {Journal{hit(0, 1, "x", 200), hit(1, 2, "x", 200)}, 0, `also that of "a 1"`},
		"never published":   {Journal{hit(0, 1, "x", 200), hit(1, 2, "y", 200), hit(2, 3, "z", 200)}, 0, "nothing that was published: a 3"},
		"nothing ever came": {nil, 0, "a 1 never arrived"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeats, err := tt.journal.Check(map[string]int{"a": 2})
			if len(repeats) != tt.repeats {
				t.Errorf("%d repeats, want %d", len(repeats), tt.repeats)
			}
			if (tt.broken == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.broken) {
				t.Errorf("got %v, want %q", err, tt.broken)
			}
		})
	}
}

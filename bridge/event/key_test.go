package event

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func event(seq uint64, tenant, orderID, legacyID string) *Event {
	return &Event{Message: Message{Seq: seq}, Tenant: tenant, OrderID: orderID, LegacyOrderID: legacyID}
}

func TestKey(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	hash := regexp.MustCompile(`^=[a-z2-7]{26}$`)
	for _, c := range []struct {
		name         string
		e            *Event
		o            Ordering
		token, plain string // token "#": a hash
	}{
		{"plain", event(1, "", "4711", ""), OrderingOrder, "4711", "4711"},
		{"plain wins over legacy", event(1, "", "4711", "L1"), OrderingOrder, "4711", "4711"},
		{"64 characters", event(1, "", long, ""), OrderingOrder, long, long},
		{"65 characters", event(1, "", long+"x", ""), OrderingOrder, "#", long + "x"},
		{"tenant", event(1, "acme", "4711", ""), OrderingOrder, "acme=4711", "acme=4711"},
		{"tenant, 64 in all", event(1, "acme", long[:59], ""), OrderingOrder, "acme=" + long[:59], "acme=" + long[:59]},
		{"tenant, 65 in all", event(1, "acme", long[:60], ""), OrderingOrder, "#", "acme=" + long[:60]},
		{"unsafe order id", event(1, "", "a/b", ""), OrderingOrder, "#", "a/b"},
		{"unsafe tenant", event(1, "a.b", "1", ""), OrderingOrder, "#", "a.b=1"},
		{"dots", event(1, "", "..", ""), OrderingOrder, "#", ".."},
		{"non-ASCII", event(1, "", "ä", ""), OrderingOrder, "#", "ä"},
		{"looks like a mark", event(1, "", "=all", ""), OrderingOrder, "#", "=all"},
		{"legacy", event(1, "", "", "L1"), OrderingOrder, "=l=L1", "legacy L1"},
		{"legacy and tenant", event(1, "acme", "", "L1"), OrderingOrder, "=l=acme=L1", "legacy acme=L1"},
		{"unsafe legacy", event(1, "", "", "L 1"), OrderingOrder, "#", "legacy L 1"},
		{"long legacy", event(1, "", "", long), OrderingOrder, "#", "legacy " + long},
		{"no id", event(42, "acme", "", ""), OrderingOrder, "=s42", ""},
		{"none", event(42, "acme", "4711", ""), OrderingNone, "=s42", ""},
		{"strict", event(42, "acme", "4711", ""), OrderingStrict, "=all", ""},
	} {
		token, plain := c.e.Key(c.o)
		if plain != c.plain || token != c.token && !(c.token == "#" && hash.MatchString(token)) {
			t.Errorf("%s: Key = %q, %q, want %q, %q", c.name, token, plain, c.token, c.plain)
		}
	}
}

// TestKeyStable: tokens name entries that other versions wrote.
func TestKeyStable(t *testing.T) {
	t.Parallel()
	token, _ := event(1, "acme", "PO 1/2", "").Key(OrderingOrder)
	if want := "=2xynu254o3mmefrapk4rbrebyf"; token != want {
		t.Errorf("token = %q, want %q", token, want)
	}
}

func TestKeysDoNotCollide(t *testing.T) {
	t.Parallel()
	safe := regexp.MustCompile(`^[A-Za-z0-9_=-]{1,64}$`)
	ids := []string{"", "1", "a", "s1", "all", "l", "a=1", "=", "=s1", "=all", "=l=1", "a-1", "a_1", "A", "1.", "l=1", " 1", "1 ",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 65), "\x00", "\x01a", "é", "e\u0301"}
	type owner struct{ tenant, kind, id string }
	owners := map[string]owner{}
	claim := func(token string, o owner) {
		if !safe.MatchString(token) {
			t.Errorf("token %q of %+v is not fit for a subject", token, o)
		}
		if other, taken := owners[token]; taken && other != o {
			t.Errorf("%+v and %+v share the token %q", o, other, token)
		}
		owners[token] = o
	}
	seq := uint64(0)
	for _, tenant := range ids {
		for _, id := range ids {
			seq++
			if id != "" {
				token, _ := event(seq, tenant, id, "").Key(OrderingOrder)
				claim(token, owner{tenant, "order", id})
				token, _ = event(seq, tenant, "", id).Key(OrderingOrder)
				claim(token, owner{tenant, "legacy", id})
			}
			token, _ := event(seq, tenant, id, "").Key(OrderingNone)
			claim(token, owner{"", "seq", fmt.Sprint(seq)})
			token, _ = event(seq, tenant, id, "").Key(OrderingStrict)
			claim(token, owner{"", "all", ""})
		}
	}
}

func TestKeyDoesNotAllocate(t *testing.T) {
	e := event(1, "", "07c6ad8c-d1ba-4e73-9bbf-c70a085a449c", "")
	if n := testing.AllocsPerRun(100, func() { e.Key(OrderingOrder) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package store

import (
	"fmt"
	"math/rand"
	"testing"

	"orderbridge/bridge/protocol"
)

// An index answers as a plain map would, whatever comes.
func TestIndex(t *testing.T) {
	t.Parallel()
	x := NewIndex()
	type kept struct{ tenant, value string }
	want := map[string]kept{}
	random := rand.New(rand.NewSource(1))
	for seq := uint64(1); seq <= 3000; seq++ {
		id := fmt.Sprintf("s%03d", random.Intn(200))
		rev := protocol.Revision{Key: id, Revision: seq}
		switch random.Intn(4) {
		case 0:
			rev.Deleted = true
			delete(want, id)
		default:
			k := kept{tenant: fmt.Sprintf("t%d", random.Intn(3))}
			k.value = fmt.Sprintf(`{"tenant":%q,"targetURL":"https://h%d.example.com/","status":"active"}`, k.tenant, random.Intn(2))
			rev.Value = []byte(k.value)
			want[id] = k
		}
		x.hear(7, seq, rev, true)
		x.hear(7, seq, protocol.Revision{Key: id, Revision: seq, Deleted: true}, true) // told twice
		if seq%100 != 0 {
			continue
		}
		for n := range 3 {
			tenant, records, bytes := fmt.Sprintf("t%d", n), 0, int64(0)
			for _, k := range want {
				if k.tenant == tenant {
					records++
					bytes += int64(len(k.value))
				}
			}
			if got := x.Usage(tenant); got != (Usage{tenant, records, bytes}) {
				t.Fatalf("%d: %s: got %+v, want %d, %d", seq, tenant, got, records, bytes)
			}
			listed := 0
			for after := ""; ; {
				page := x.page(OfTenant(tenant), Filter{}, after, 7)
				for _, p := range page {
					if p.id <= after || want[p.id].tenant != tenant {
						t.Fatalf("%d: %s lists %s after %s", seq, tenant, p.id, after)
					}
					after = p.id
					listed++
				}
				if len(page) < 7 {
					break
				}
			}
			if listed != records {
				t.Fatalf("%d: %s lists %d of %d", seq, tenant, listed, records)
			}
		}
		if n := len(x.page(Everything(), Filter{}, "", 1000)); n != len(want) {
			t.Fatalf("%d: all are %d of %d", seq, n, len(want))
		}
		if x.page(Scope{}, Filter{}, "", 10) != nil || x.page(OfTenant(""), Filter{}, "", 10) != nil {
			t.Fatal("nobody's scope holds something")
		}
	}
	x.hear(8, 1, protocol.Revision{Key: "new", Revision: 1, Value: []byte(`{"tenant":"t0"}`)}, true)
	if got := x.Usage("t0").Records; got != 1 {
		t.Errorf("after the bucket was recreated t0 has %d records", got)
	}
	x.hear(7, 9999, protocol.Revision{Key: "old", Revision: 9999, Value: []byte(`{"tenant":"t0"}`)}, true)
	if got := x.Usage("t0").Records; got != 1 {
		t.Errorf("a message of the former bucket counts: %d records", got)
	}
}

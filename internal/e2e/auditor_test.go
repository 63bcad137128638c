package e2e

import (
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// TestAuditorReads runs every command of the program as the auditor of the shipped
// accounts: what tells how it stands and what happened is answered, records are not
// (they may hold secrets), and nothing can be changed.
func TestAuditorReads(t *testing.T) {
	t.Parallel()
	bus := guarded(t)
	p := launch(t, bus.env("bridge")...)
	p.leads()
	good, bad := receive(t, nil), receive(t, lab.Always(500))
	manager := bus.jetStream(t, "manager")
	subscribe(t, manager, "good", recordFor(good))
	subscribe(t, manager, "bad", recordFor(bad, `"retry":{"schedule":[]}`))
	subscribe(t, manager, "slow", recordFor(bad, `"retry":{"schedule":["1h"]}`))
	publishOne(t, bus.jetStream(t, "publisher"), "4711", 1)
	good.came(t, 1)
	verdict(t, manager, "slow", 0, protocol.StateRetrying, protocol.StateActive)
	out, ok := bus.run(t, "operator", "", "replay", "slow", "--from-seq", "1") // it does not end soon
	_, id, _ := strings.Cut(out, "replay ")
	id, _, _ = strings.Cut(id, " ")
	if !ok || id == "" {
		t.Fatal(out)
	}

	order, record := t.TempDir()+"/order.json", t.TempDir()+"/acme.json"
	write(t, order, []byte(`{"orderId":"4711"}`))
	write(t, record, []byte(recordFor(good)))
	for _, c := range []struct{ args, want string }{
		{"order 4711", "slow"},
		{"order 4711", "delivered"},
		{"order 4711", "dead-letters redrive 1"},
		{"order 4711 --subscription good -o json", `"fate": "delivered"`},
		{"order 4711 --subscription nosuch", "no such subscription"},
		{"attempts --order 4711", "delivered"},
		{"explain --seq 1", "good"},
		{"explain --seq 1 --subscription bad", "bad: "},
		{"explain --event " + order + " --subject orders.acme.OrderAccepted.4711 --record " + record, "acme"},
		{"owed list", "slow"},
		{"owed list slow", "4711"},
		{"owed list good", "nothing is owed"},
		{"dead-letters list", "bad"},
		{"dead-letters list good", "no dead letters"},
		{"dead-letters show 1", `"reason"`},
		{"replays list", id},
		{"replays list slow -o json", id},
		{"replays show " + id, `"subscription": "slow"`},
		{"status", "ORDERS"},
		{"shards", "leader"},
		{"stream status", "stream     ORDERS"},
		{"audit", "put"},
		{"subscriptions validate " + record, ""},
	} {
		said, good := "", false
		for end := time.Now().Add(lab.Patience); !(good && strings.Contains(said, c.want)) && time.Now().Before(end); { // what is written behind may be on its way
			said, good = bus.run(t, "auditor", "", strings.Fields(c.args)...)
			if strings.Contains(said, "the server refuses") {
				break
			}
		}
		if !good && !strings.Contains(c.args, "nosuch") || !strings.Contains(said, c.want) || strings.Contains(said, "the server refuses") {
			t.Errorf("%s: %s", c.args, said)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"owed list nosuch", `there is no subscription "nosuch"`},
		{"dead-letters list nosuch", `there is no subscription "nosuch"`},
		{"replays show nosuch", `there is no replay "nosuch"`},
		{"stream adopt --yes", "there is nothing to adopt"},

		{"replays stop " + id, ""},
		{"subscriptions list", ""},
		{"subscriptions get good", ""},
		{"subscriptions export", ""},
		{"subscriptions diff " + record, ""},
		{"subscriptions put acme " + record, ""},
		{"subscriptions apply " + record, ""},
		{"subscriptions delete good", ""},
		{"subscriptions activate good", ""},
		{"subscriptions deactivate good", ""},
		{"subscriptions rotate-secret good", ""},
		{"subscriptions test good", ""},
		{"pause good", ""},
		{"resume good", ""},
		{"retry-now slow", ""},
		{"skip slow 4711", ""},
		{"replay good --from-seq 1", ""},
		{"rewind good --to-seq 1 --yes", ""},
		{"dead-letters redrive 1", ""},
		{"dead-letters redrive --all", ""},
		{"dead-letters purge 1", ""},
		{"dead-letters purge --all --yes", ""},
		{"shards set 2", ""},
		{"publish " + order, ""},
	} {
		want := c.want
		if want == "" {
			want = "the server refuses: the user of the certificate"
		}
		if said, good := bus.run(t, "auditor", "", strings.Fields(c.args)...); good || !strings.Contains(said, want) {
			t.Errorf("%s: %s", c.args, said)
		}
	}
}

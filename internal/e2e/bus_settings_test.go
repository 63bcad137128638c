package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/bus"
	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
)

// elsewhere is JetStream behind a domain or a prefix.
func elsewhere(t *testing.T, url string, o bus.Options, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	js, err := bus.JetStream(lab.Dial(t, url, opts...), o, lab.Patience)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// commandIn is command with further settings.
func commandIn(t *testing.T, url string, env []string, stdin string, args ...string) string {
	t.Helper()
	out, code := commandWith(t, append([]string{"ORDERBRIDGE_NATS_URL=" + url}, env...), stdin, args...)
	if code != exitGood {
		t.Errorf("%s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// worksElsewhere runs the bridge and every kind of command where JetStream is
// reached by the settings only.
func worksElsewhere(t *testing.T, url string, js jetstream.JetStream, env ...string) {
	t.Helper()
	e := receive(t, lab.Always(410))
	p := launch(t, append([]string{"ORDERBRIDGE_NATS_URL=" + url}, env...)...)
	p.leads()
	commandIn(t, url, env, recordFor(e, `"retry":{"schedule":["PT0.1S"]}`), "subscriptions", "put", "s", "-")
	if out := commandIn(t, url, env, "", "subscriptions", "list"); !strings.Contains(out, "active") {
		t.Errorf("list: %s", out)
	}
	commandIn(t, url, env, `{"orderId":"a","eventType":"OrderChanged"}`, "publish", "-")
	e.came(t, 1)
	await(t, 20*time.Second, "what is owed shows", func() bool { return strings.Contains(commandIn(t, url, env, "", "owed", "list"), "s") })
	e.Reply(nil)
	commandIn(t, url, env, recordFor(e, `"retry":{"schedule":["PT0.1S"]}`), "subscriptions", "put", "s", "-")
	await(t, 20*time.Second, "it arrives", func() bool { return e.Delivered() == 1 })
	// A backlog is read with the reader's own consumer.
	e.Reply(lab.Always(500))
	for n := range 40 {
		publishMsg(t, js, change(fmt.Sprintf("o%d", n), 1))
	}
	await(t, 20*time.Second, "it is suspended", func() bool {
		return strings.Contains(commandIn(t, url, env, "", "subscriptions", "list"), "suspended")
	})
	e.Reply(nil)
	await(t, 40*time.Second, "the backlog arrives", func() bool { return e.Delivered() == 41 })
	commandIn(t, url, env, "", "dead-letters", "list")
	p.stop()
	p = launch(t, append([]string{"ORDERBRIDGE_NATS_URL=" + url}, env...)...)
	p.leads()
	publishMsg(t, js, change("b", 1))
	await(t, 20*time.Second, "after a second start", func() bool { return e.Delivered() == 42 })
	p.stop()
	if n := e.Delivered(); n != 42 {
		t.Errorf("%d deliveries", n)
	}
}

// A leaf node without JetStream of its own, and the domain of the hub.
func TestJetStreamDomain(t *testing.T) {
	t.Parallel()
	listen := freeAddress(t)
	hub := lab.ConfigureBus(t, fmt.Sprintf("jetstream { domain: hub }\nleafnodes { listen: %q }", listen))
	leaf := lab.ConfigureBus(t, fmt.Sprintf("jetstream { domain: edge }\nleafnodes { remotes: [{ url: \"nats-leaf://%s\" }] }", listen))
	js := elsewhere(t, leaf.URL(), bus.Options{Domain: "hub"})
	await(t, 20*time.Second, "the domain is reached", func() bool {
		_, err := js.AccountInfo(briefly(t, 5*time.Second))
		return err == nil
	})
	worksElsewhere(t, leaf.URL(), js, "ORDERBRIDGE_JETSTREAM_DOMAIN=hub")
	if _, err := jetStream(t, hub.URL()).Stream(within(t, 5*time.Second), "DEAD_LETTERS"); err != nil {
		t.Errorf("in the hub: %v", err)
	}
	if _, err := jetStream(t, leaf.URL()).Stream(briefly(t, 5*time.Second), "DEAD_LETTERS"); err == nil {
		t.Error("made in the leaf node")
	}
	p := launch(t, "ORDERBRIDGE_NATS_URL="+leaf.URL(), "ORDERBRIDGE_JETSTREAM_DOMAIN=nowhere")
	p.complains("ORDERBRIDGE_JETSTREAM_DOMAIN")
}

// A single leaf node with JetStream of its own tells its name as that of a
// cluster; one replica is made of everything.
func TestSingleLeafNode(t *testing.T) {
	t.Parallel()
	listen := freeAddress(t)
	lab.ConfigureBus(t, fmt.Sprintf("leafnodes { listen: %q }", listen))
	leaf := lab.ConfigureBus(t, fmt.Sprintf("jetstream { domain: edge }\nleafnodes { remotes: [{ url: \"nats-leaf://%s\" }] }", listen))
	e := receive(t, nil)
	js := jetStream(t, leaf.URL())
	p := serving(t, leaf.URL())
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	p.stop()
}

// JetStream of another account, which is imported under another prefix.
func TestJetStreamAPIPrefix(t *testing.T) {
	t.Parallel()
	server := lab.ConfigureBus(t, `
		accounts {
			data { jetstream: enabled, users: [{user: d, password: p}], exports: [
				{service: "$JS.API.>", response_type: stream}, {service: "$KV.>"}, {service: "$JS.ACK.>", response_type: stream}, {service: "orders"}, {service: "orders.>"},
				{service: "dead-letters.>"}, {service: "alerts.>"}] }
			apps { users: [{user: u, password: p}], imports: [
				{service: {account: data, subject: "$JS.API.>"}, to: "JS.data.API.>"},
				{service: {account: data, subject: "$KV.>"}, to: "JS.data.API.$KV.>"},
				{service: {account: data, subject: "$JS.ACK.>"}},
				{service: {account: data, subject: "orders"}}, {service: {account: data, subject: "orders.>"}},
				{service: {account: data, subject: "dead-letters.>"}}, {service: {account: data, subject: "alerts.>"}}] }
		}`)
	url := as(server.URL())
	worksElsewhere(t, url, elsewhere(t, url, bus.Options{APIPrefix: "JS.data.API"}), "ORDERBRIDGE_JETSTREAM_API_PREFIX=JS.data.API")
}

// A server with handshake_first says nothing before TLS has begun.
func TestTLSHandshakeFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	chain, key, err := localca.PEMPair(lab.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, content := range map[string][]byte{"ca.pem": lab.CA().PEM(), "cert.pem": chain, "key.pem": key} {
		files[name] = filepath.Join(dir, name)
		write(t, files[name], content)
	}
	server := lab.ConfigureBus(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, handshake_first: true }", files["cert.pem"], files["key.pem"]))
	url := strings.Replace(server.URL(), "nats://", "tls://", 1)
	env := []string{"ORDERBRIDGE_NATS_CA=" + files["ca.pem"], "ORDERBRIDGE_NATS_HANDSHAKE_FIRST=true"}
	js := elsewhere(t, url, bus.Options{}, nats.RootCAs(files["ca.pem"]), nats.TLSHandshakeFirst())
	worksElsewhere(t, url, js, env...)
}

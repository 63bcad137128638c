package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/secrets"
)

func hostPortOf(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func entryRevision(t *testing.T, js jetstream.JetStream, bucket, key string) uint64 {
	t.Helper()
	kv, err := js.KeyValue(within(t, 5*time.Second), bucket)
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(within(t, 5*time.Second), key)
	if err != nil {
		t.Fatal(err)
	}
	return e.Revision()
}

// sent is all that an endpoint was sent, heads and bodies.
func (e *receiver) sent() string {
	var b strings.Builder
	for _, h := range e.Journal() {
		fmt.Fprintf(&b, "%s %s %v %s\n", h.Method, h.URI, h.Header, h.Body)
	}
	return b.String()
}

// hostSecrets is a host with secrets: the owner of a place to which they may be
// sent, and a thief.
type hostSecrets struct {
	bus          *lab.Bus
	js           jetstream.JetStream
	p            *program
	thief, owner *receiver
	idp          *receiver
	dir          string // of the secrets
	atThief      string // host:port
	seal         func(id string, hosts ...string) string
}

const hostToken = "env:ORDERBRIDGE_SECRET_TOKEN"

// Whoever writes records names any secret of the host in one that sends to a thief,
// in each member that can hold one and in each form. The thief gets nothing, not one
// request, and the status says at once why.
func TestAttackSecretsOfTheHost(t *testing.T) {
	attack(t)
	h := newHostSecrets(t)
	h.thiefIsRefused(t)
	h.ownerGetsAll(t)
	h.operatorPermitsAndForbids(t)
	if log := h.p.Output(); strings.Contains(log, "stolen-") || !strings.Contains(log, "ORDERBRIDGE_SECRET_UNSAID_HOSTS") {
		t.Errorf("log: %.4000s", log)
	}
}

func newHostSecrets(t *testing.T) hostSecrets {
	t.Helper()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	thief, owner := receive(t, nil), receive(t, nil)
	idp := receive(t, func(*lab.Hit) int { return 500 })
	dir := t.TempDir()
	keyFile, err := makeSecretFiles(dir) // client.p12, whose password is another; pw; sealing.key
	if err != nil {
		t.Fatal(err)
	}
	at, atThief := hostPortOf(t, owner.URL), hostPortOf(t, thief.URL)
	writeFiles(t, dir, map[string]string{
		"pw.hosts": at, "client.p12.hosts": at, "later": "stolen-later", "acme/pw": "stolen-acme-file", "acme/pw.hosts": at,
		"sign": "whsec_c3RvbGVuLXNpZ25pbmctc2VjcmV0LWtleQ==", "sign.hosts": at, "p12pw": "another", "p12pw.hosts": at,
	})
	if err := os.Symlink("/proc/self/environ", filepath.Join(dir, "environ")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	recipients, err := secrets.Recipients(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(id string, hosts ...string) string {
		t.Helper()
		value, err := secrets.Seal(recipients[0], record.SecretUse{Subscription: id, Hosts: hosts}, nil, "stolen-sealed")
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_SECRETS_DIR="+dir, "ORDERBRIDGE_SEALING_KEY_FILE="+keyFile,
		"ORDERBRIDGE_SECRET_TOKEN=stolen-token", "ORDERBRIDGE_SECRET_TOKEN_HOSTS="+at,
		"ORDERBRIDGE_SECRET_UNSAID=stolen-unsaid", "ORDERBRIDGE_SECRET_TWO_WORDS=stolen-two",
		"ORDERBRIDGE_SECRET_IDP=stolen-client-secret", "ORDERBRIDGE_SECRET_IDP_HOSTS="+hostPortOf(t, idp.URL),
		"ORDERBRIDGE_SECRET_ACME_PW=stolen-acme", "ORDERBRIDGE_SECRET_ACME_PW_HOSTS="+at+","+atThief,
		"ORDERBRIDGE_SECRET_ONLY_PW=stolen-only", "ORDERBRIDGE_SECRET_ONLY_PW_HOSTS="+atThief, "ORDERBRIDGE_SECRET_ONLY_PW_TENANTS=only")
	return hostSecrets{bus, js, p, thief, owner, idp, dir, atThief, seal}
}

// stolen are members of records that would send a secret to the thief, and what
// the status says of each.
func (h hostSecrets) stolen(t *testing.T) map[string][2]string {
	t.Helper()
	const tok = hostToken
	client := func(tokenURL, secret string) string {
		return fmt.Sprintf(`"auth":{"type":"client_credential","clientID":"c","clientSecret":%q,"tokenURL":"%s/token"}`, secret, tokenURL)
	}
	return map[string][2]string{ // members, what the status says
		"header":     {`"headers":{"X-Anything":"` + tok + `"}`, "ORDERBRIDGE_SECRET_TOKEN_HOSTS"},
		"key":        {`"key":"` + tok + `"`, "ORDERBRIDGE_SECRET_TOKEN_HOSTS"},
		"password":   {`"auth":{"type":"basic","username":"u","password":"` + tok + `"}`, "ORDERBRIDGE_SECRET_TOKEN_HOSTS"},
		"bearer":     {`"auth":{"type":"bearer","token":"` + tok + `"}`, "ORDERBRIDGE_SECRET_TOKEN_HOSTS"},
		"secret":     {`"secret":"` + tok + `"`, "ORDERBRIDGE_SECRET_TOKEN_HOSTS"},
		"signing":    {`"signing":{"secrets":["file:sign"]}`, "sign.hosts"},
		"unsaid":     {`"key":"env:ORDERBRIDGE_SECRET_UNSAID"`, "ORDERBRIDGE_SECRET_UNSAID_HOSTS=" + h.atThief},
		"policy":     {`"key":"env:ORDERBRIDGE_SECRET_TOKEN_HOSTS"`, "name the secret itself"},
		"file":       {`"key":"file:pw"`, "pw.hosts"},
		"later":      {`"key":"file:later"`, "with the line " + h.atThief},
		"hosts":      {`"key":"file:pw.hosts"`, "name the secret itself"},
		"sealingkey": {`"key":"file:sealing.key"`, "sealing.key.hosts"},
		"keyfile":    {`"tls":{"keyFile":"client.p12","keyPassword":"another"}`, "client.p12.hosts"},
		"keypass":    {`"tls":{"keyFile":"client.p12","keyPassword":"file:p12pw"}`, "p12pw.hosts"},
		"tokenurl":   {client(h.thief.URL, tok), "ORDERBRIDGE_SECRET_TOKEN_HOSTS"},
		"token":      {client(h.idp.URL, "env:ORDERBRIDGE_SECRET_IDP"), "ORDERBRIDGE_SECRET_IDP_HOSTS"},
		"sealed":     {`"key":"` + h.seal("other", record.SecretHost(h.thief.URL)) + `"`, "another subscription or host"},
		"sealedhost": {`"key":"` + h.seal("sealedhost", record.SecretHost(h.owner.URL)) + `"`, "another subscription or host"},
		"sealedidp":  {client(h.idp.URL, h.seal("sealedidp", record.SecretHost(h.idp.URL))), "--host " + hostPortOf(t, h.idp.URL)},
		"acme":       {`"key":"env:ORDERBRIDGE_SECRET_ACME_PW"`, "ORDERBRIDGE_SECRET_ACME_PW_TENANTS"},
		"both":       {`"key":"env:ORDERBRIDGE_SECRET_TWO_WORDS"`, "ORDERBRIDGE_SECRET_TWO_WORDS_TENANTS=-, or gives it a name of one word; and it may not be sent to " + record.SecretHost(h.thief.URL)},
		"globex":     {`"tenant":"globex","key":"env:ORDERBRIDGE_SECRET_ACME_PW"`, "ORDERBRIDGE_SECRET_GLOBEX_"},
		"mallory":    {`"tenant":"Only","key":"env:ORDERBRIDGE_SECRET_ONLY_PW"`, "may not be used by tenant Only"},
		"claims":     {`"tenant":"acme","key":"file:pw"`, "acme/pw.hosts"},
	}
}

func (h hostSecrets) thiefIsRefused(t *testing.T) {
	t.Helper()
	for id, r := range h.stolen(t) {
		status, _ := verdict(t, h.js, id, put(t, h.js, id, `{"targetURL":"`+h.thief.URL+`/x",`+r[0]+`}`), protocol.StateInvalid)
		if !strings.Contains(status.Reason, r[1]) || strings.Contains(status.Reason, "stolen") {
			t.Errorf("%s: the status does not say %q: %s", id, r[1], status.Reason)
		}
	}
	// What is there and cannot be read is not a secret either.
	for id, name := range map[string]string{"environ": "environ", "pipe": "pipe", "up": "../sealing.key", "abs": "/proc/self/environ", "none": "none"} {
		put(t, h.js, "f-"+id, `{"targetURL":"`+h.thief.URL+`/x","retry":{"schedule":["PT0.2S"]},"key":"file:`+name+`"}`)
		verdict(t, h.js, "f-"+id, 1, protocol.StateActive, protocol.StateInvalid)
	}
	// The API says it before anything is stored.
	bearer(t, h.p, acmeToken).call("POST", webhooks, `{"targetURL":"`+h.thief.URL+`","auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_ACME_OTHER"}}`).is(t, 200)
	bearer(t, h.p, betaToken).call("POST", webhooks, `{"targetURL":"`+h.thief.URL+`","auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_ACME_PW"}}`).problem(t, 400, "auth.token")
	if out, code := command(t, h.bus.URL(), `{"targetURL":"`+h.thief.URL+`","key":"file:pw"}`, "subscriptions", "put", "cli", "-"); code == 0 || !strings.Contains(out, "pw.hosts") {
		t.Errorf("put: %d %s", code, out)
	}
}

// ownerGetsAll, and redirects lead nowhere.
func (h hostSecrets) ownerGetsAll(t *testing.T) {
	t.Helper()
	h.owner.Reply(func(*lab.Hit) int { return 307 })
	subscribe(t, h.js, "good", fmt.Sprintf(`{"targetURL":"%s/x","auth":{"type":"bearer","token":"%s"},"key":"file:pw","signing":{"secrets":["file:sign"]},"headers":{"X-Sealed":%q},"retry":{"schedule":["PT0.2S"]}}`,
		h.owner.URL, hostToken, h.seal("good", record.SecretHost(h.owner.URL))))
	subscribe(t, h.js, "ours", `{"targetURL":"`+h.owner.URL+`/ours","tenant":"acme","auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_ACME_PW"}}`)
	subscribe(t, h.js, "mtls", `{"targetURL":"`+h.owner.URL+`/mtls","tls":{"keyFile":"client.p12","keyPassword":"file:p12pw"}}`)
	for n := range 3 {
		publishOne(t, h.js, fmt.Sprint("o", n), n)
	}
	await(t, 20*time.Second, "the owner has it", func() bool {
		all := h.owner.sent()
		for _, want := range []string{"stolen-token", "stolen-sealed", "stolen-acme", "Webhook-Signature", url.QueryEscape(planted["password file"]), "/mtls"} {
			if !strings.Contains(all, want) {
				return false
			}
		}
		return true
	})
	if got := h.thief.sent(); got != "" {
		t.Errorf("the thief was sent: %s", got)
	}
}

// operatorPermitsAndForbids while the program runs: nothing is lost meanwhile.
func (h hostSecrets) operatorPermitsAndForbids(t *testing.T) {
	t.Helper()
	writeFiles(t, h.dir, map[string]string{"later.hosts": "# by the operator\n" + h.atThief + "\n"})
	verdict(t, h.js, "later", 1, protocol.StateActive, protocol.StateReading)
	await(t, 20*time.Second, "all three come", func() bool { return strings.Count(h.thief.sent(), "key=stolen-later") == 3 })
	// And forbids it again.
	if err := os.Remove(filepath.Join(h.dir, "later.hosts")); err != nil {
		t.Fatal(err)
	}
	n := 0
	await(t, 20*time.Second, "the bridge sees it", func() bool {
		n++
		publishOne(t, h.js, fmt.Sprint("late", n), 1)
		var st protocol.Status
		return json.Unmarshal(entry(t, h.js, "subscription_status", "later"), &st) == nil && (st.State == protocol.StateRetrying || st.State == protocol.StateSuspended)
	})
	before := strings.Count(h.thief.sent(), "stolen")
	witness := receive(t, nil)
	subscribe(t, h.js, "witness", recordFor(witness))
	for i := range 3 {
		publishOne(t, h.js, fmt.Sprint("after", i), 1)
	}
	await(t, 20*time.Second, "the witness has what came after", func() bool { return strings.Contains(witness.sent(), "after2") })
	if after := strings.Count(h.thief.sent(), "stolen"); after != before {
		t.Errorf("%d requests held a secret after it was forbidden", after-before)
	}
}

// The program is restarted without, and then with, what says where a secret may
// go: nothing is lost, and the status says which line to add.
func TestAttackSecretAfterUpgrade(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	with := []string{"ORDERBRIDGE_SECRET_TOKEN=t-1", "ORDERBRIDGE_SECRET_TOKEN_HOSTS=" + hostPortOf(t, e.URL)}
	p := serving(t, bus.URL(), with...)
	before := subscribe(t, js, "a", `{"targetURL":"`+e.URL+`/a","auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_TOKEN"}}`)
	publishOne(t, js, "o", 1)
	await(t, 20*time.Second, "the first", func() bool { return strings.Contains(e.sent(), "t-1") })
	p.Signal(syscall.SIGTERM)
	p.exit(30 * time.Second)

	p = serving(t, bus.URL(), with[0])
	status, _ := verdict(t, js, "a", before, protocol.StateInvalid)
	if !strings.Contains(status.Reason, with[1]) {
		t.Errorf("the status does not say which line to add: %s", status.Reason)
	}
	other := put(t, js, "b", `{"targetURL":"`+e.URL+`/b","auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_TOKEN"}}`)
	verdict(t, js, "b", other, protocol.StateInvalid)
	publishOne(t, js, "o", 2)
	// Nobody is told to put again, or to delete, what is there.
	owed, _ := command(t, bus.URL(), "", "owed", "list")
	if log := p.Output(); strings.Contains(owed+log, "not in the bucket") || strings.Contains(log, "not there any more") || !strings.Contains(log, with[1]) || !strings.Contains(owed, "its status says why") {
		t.Errorf("owed: %s\nlog: %s", owed, log)
	}
	p.Signal(syscall.SIGTERM)
	p.exit(30 * time.Second)
	if n := len(strings.Split(strings.TrimSpace(e.sent()), "\n")); n != 1 {
		t.Errorf("%d requests", n)
	}

	serving(t, bus.URL(), with...)
	verdict(t, js, "a", before, protocol.StateActive, protocol.StateReading)
	verdict(t, js, "b", other, protocol.StateActive, protocol.StateReading)
	await(t, 20*time.Second, "what was published meanwhile comes", func() bool {
		return strings.Count(e.sent(), " /a ") == 2 && strings.Count(e.sent(), " /b ") >= 1
	})
}

// A key is given where the path of its file belongs: it is refused, and neither
// the table of settings nor an error shows it, in whatever form.
func TestAttackKeysInPlaceOfPaths(t *testing.T) {
	attack(t)
	for _, name := range []string{"SEALING_KEY_FILE", "NATS_CREDS", "NATS_NKEY", "NATS_KEY", "NATS_CERT", "NATS_CA", "NATS_CONTEXT", "API_TOKENS_FILE", "TRUST_ROOTS", "SECRETS_DIR", "WEBHOOK_FILE", "DATA_DIR"} {
		for _, key := range []string{"AGE-SECRET-KEY-1PLANTEDPLANTEDPLANTED", "-----BEGIN PRIVATE KEY-----\nPLANTED\n-----END PRIVATE KEY-----", "SUAPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTE", "ops:PLANTED-0123456789abcdef"} {
			env := []string{"ORDERBRIDGE_" + name + "=" + key}
			for _, args := range [][]string{{"config"}, {"config", "-o", "json"}, {"serve"}, {"subscriptions", "list"}} {
				out, code := commandWith(t, env, "", args...)
				if code == 0 || strings.Contains(out, "PLANTED") || !strings.Contains(out, "looks like a secret") {
					t.Errorf("%s, %v: %d %s", name, args, code, out)
				}
			}
		}
	}
}

// Somebody opens everything, or what holds a metadata service: that stays closed,
// by whichever of its names, and the start says so.
func TestAttackMetadataThroughWideRanges(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), "ORDERBRIDGE_EGRESS_ALLOW=0.0.0.0/0,::/0,169.254.0.0/16", "ORDERBRIDGE_ALLOW_HTTP=true")
	for i, host := range []string{"169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "192.0.0.192", "168.63.129.16", "169.254.170.2", "[fd20:ce::254]", "[fe80::a9fe:a9fe]",
		"[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[::a9fe:a9fe]"} {
		id := fmt.Sprint("m", i)
		status, _ := verdict(t, js, id, put(t, js, id, `{"targetURL":"http://`+host+`/latest/meta-data"}`), protocol.StateInvalid)
		if !strings.Contains(status.Reason, "not allowed") {
			t.Errorf("%s: %s", host, status.Reason)
		}
	}
	for _, host := range []string{"10.0.0.5", "169.254.0.23", "[fd12::5]"} {
		put(t, js, "ok", `{"targetURL":"http://`+host+`/","status":"deactivated"}`)
		verdict(t, js, "ok", 1, protocol.StateDeactivated)
	}
	if log := p.Output(); !strings.Contains(log, "0.0.0.0/0 opens") || !strings.Contains(log, "::/0 opens") {
		t.Errorf("log: %.3000s", log)
	}
}

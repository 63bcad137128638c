package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"software.sslmate.com/src/go-pkcs12"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/secrets"
	"orderbridge/internal/store"
)

// echo is the worst of endpoints: it answers with all that it was sent, in
// several forms, and with the status that its path names.
type echo struct {
	URL  string
	mu   sync.Mutex
	seen strings.Builder // all requests
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	e := &echo{}
	e.URL = handle(t, e)
	return e
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.URL.RequestURI())
	if query, err := url.QueryUnescape(r.URL.RawQuery); err == nil {
		fmt.Fprintln(&b, query)
	}
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		fmt.Fprintln(&b, r.Header.Get(name))
	}
	if _, password, ok := r.BasicAuth(); ok {
		fmt.Fprintln(&b, password)
	}
	if form, err := url.ParseQuery(string(body)); err == nil {
		fmt.Fprintln(&b, form.Get("client_secret"))
	}
	e.mu.Lock()
	e.seen.WriteString(b.String())
	e.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/good-token") {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"planted-access-token-%d","token_type":"bearer","expires_in":3600}`, time.Now().UnixNano())
		return
	}
	status := 500
	_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
	if status == 429 {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, b.String())
	_ = json.NewEncoder(w).Encode(b.String())
}

// planted are the secrets, by what they are; none is a part of another.
var planted = map[string]string{
	"password":       "planted-password-ü&/",
	"password file":  "planted-password-in-file",
	"token":          "planted-bearer-token",
	"token env":      "planted-bearer-in-env",
	"client secret":  "planted-client-secret+%",
	"sealed secret":  "planted-sealed-client-secret",
	"access token":   "planted-access-token-",
	"body secret":    "planted-body-secret",
	"signing secret": "whsec_cGxhbnRlZC1zaWduaW5nLXNlY3JldC1rZXk=",
	"signing key":    "planted-signing-secret-key",
	"header":         "planted-header-value",
	"key":            "planted key&=",
	"query":          "planted-query-token",
	"bare query":     "cGxhbnRlZC1iYXJlLXF1ZXJ5LXRva2Vu",
	"beside an id":   "planted-4-beside-an-id-",
	"path":           "T0planted-path-segment",
	"key password":   "planted-key-password",
	"user info":      "planted-user-info",
	"wrong":          "planted-at-a-wrong-place",
}

// TestNoSecretIsShown runs the program with records of every kind against an
// endpoint that sends back all it gets, and looks for the planted secrets in
// everything that the program emits.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := newEcho(t)
	dir := t.TempDir()
	keyFile, err := makeSecretFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := secrets.Recipients(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := secrets.Seal(recipients[0], record.SecretUse{Subscription: "sealed", Hosts: []string{record.SecretHost(e.URL)}}, nil, record.Secret(planted["sealed secret"]))
	if err != nil {
		t.Fatal(err)
	}
	p := serving(t, bus.URL(), "ORDERBRIDGE_LOG_LEVEL=debug", "ORDERBRIDGE_SECRETS_DIR="+dir,
		"ORDERBRIDGE_SEALING_KEY_FILE="+keyFile, "ORDERBRIDGE_SECRET_TOKEN="+planted["token env"], "ORDERBRIDGE_SECRET_TOKEN_HOSTS=127.0.0.1")

	invalid := subscribeWithSecrets(t, js, e, sealed)
	for n := range 3 {
		publishOne(t, js, fmt.Sprint("o", n), n)
	}
	await(t, 60*time.Second, "dead letters", func() bool { return deadLetters(t, js) >= 18 })
	holdsNoSecret(t, e, emitted(t, bus, js, p, invalid))
}

// subscribeWithSecrets puts records of every kind and returns one that is invalid.
func subscribeWithSecrets(t *testing.T, js jetstream.JetStream, e *echo, sealed string) (invalid string) {
	t.Helper()
	quick := `"retry":{"schedule":["PT0.2S"]}`
	client := func(path, secret string) string {
		return fmt.Sprintf(`"auth":{"type":"client_credential","clientID":"c","clientSecret":%q,"tokenURL":"%s%s?x=%s"}`, secret, e.URL, path, planted["query"])
	}
	for id, r := range map[string]struct{ path, more string }{
		"basic":   {"/500/x", fmt.Sprintf(`"auth":{"type":"basic","username":"u","password":%q}`, planted["password"])},
		"file":    {"/401/x", `"auth":{"type":"basic","username":"u","password":"file:pw"}`},
		"bearer":  {"/404/x", fmt.Sprintf(`"auth":{"type":"bearer","token":%q}`, planted["token"])},
		"env":     {"/429/x", `"auth":{"type":"bearer","token":"env:ORDERBRIDGE_SECRET_TOKEN"}`},
		"client":  {"/401/x", client("/200/good-token", planted["client secret"])},
		"refused": {"/200/x", client("/400/bad-token", planted["client secret"])},
		"sealed":  {"/200/x", client("/503/bad-token", sealed)},
		"query":   {"/301/x?token=" + planted["query"], fmt.Sprintf(`"key":%q`, planted["key"])},
		"gone":    {"/410/x?token=" + planted["query"], fmt.Sprintf(`"headers":{"X-Api-Key":%q}`, planted["header"])},
		"signed":  {"/400/x", fmt.Sprintf(`"secret":%q,"signing":{"secrets":[%q]}`, planted["body secret"], planted["signing secret"])},
		"tls":     {"/200/x", fmt.Sprintf(`"tls":{"keyFile":"client.p12","keyPassword":%q}`, planted["key password"])},
		"path":    {"/404/" + planted["path"] + "/x?sig=" + planted["query"], `"description":"a path that nobody guesses"`},
		"bare":    {"/500/x?" + planted["bare query"] + "=", `"description":"a text in base64"`},
		"beside":  {"/500/" + planted["beside an id"] + "{orderId}", `"description":"a placeholder in a segment"`},
		"missing": {"/200/x", `"key":"file:none"`},
		"taken":   {"/200/" + planted["path"] + "?token=" + planted["query"], fmt.Sprintf(`"auth":{"type":"bearer","token":%q},"headers":{"X-Api-Key":%q},"signing":{"secrets":[%q]}`, planted["token"], planted["header"], planted["signing secret"])},
	} {
		subscribe(t, js, id, fmt.Sprintf(`{"targetURL":"%s%s",%s,%s}`, e.URL, r.path, quick, r.more))
	}
	invalid = fmt.Sprintf(`{"targetURL":"https://u:%s@h/?x=%s","auth":{"type":"basic","password":%q,"token":%q},"key":["%s"],"secret":"env:%s","passwort":%q,"signing":{"secrets":[%q]},"headers":{"X-Api-Key":"%s\n"},"method":"PATCH"}`,
		planted["user info"], planted["query"], planted["password"], planted["token"], planted["key"], planted["wrong"], planted["wrong"], planted["wrong"], planted["header"])
	verdict(t, js, "elsewhere", put(t, js, "elsewhere", fmt.Sprintf(`{"targetURL":"%s/200/x","key":%q}`, e.URL, sealed)), protocol.StateInvalid)
	verdict(t, js, "invalid", put(t, js, "invalid", invalid), protocol.StateInvalid)
	verdict(t, js, "broken", put(t, js, "broken", `{"auth":{"password":"`+planted["password"]+`"`), protocol.StateInvalid)
	return invalid
}

// emitted is everything that the program emits; it ends the program.
func emitted(t *testing.T, bus *lab.Bus, js jetstream.JetStream, p *program, invalid string) map[string]string {
	t.Helper()
	out := map[string]string{"/metrics": p.get("/metrics"), "/readyz": p.get("/readyz"), "/healthz": p.get("/healthz")}
	file := filepath.Join(t.TempDir(), "invalid.json")
	if err := os.WriteFile(file, []byte(invalid), 0o600); err != nil {
		t.Fatal(err)
	}
	rotated := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(rotated, []byte(planted["signing secret"]), 0o600); err != nil {
		t.Fatal(err)
	}
	var made store.RotateAnswer // the answer is the one place where its secret is shown
	if answer, code := command(t, bus.URL(), "", "subscriptions", "rotate-secret", "taken", "-o", "json"); code != 0 || json.Unmarshal([]byte(answer), &made) != nil || made.Secret == "" {
		t.Fatalf("exit code %d", code)
	}
	for _, args := range []string{
		"subscriptions rotate-secret signed --secret-file " + rotated, "subscriptions rotate-secret client --secret-file " + rotated + " -o json",
		"subscriptions list -o wide", "subscriptions get taken -o yaml", "subscriptions export", "audit", "audit -o json",
		"subscriptions list", "subscriptions list -o json", "owed list", "owed list -o json", "dead-letters list", "dead-letters list -o json",
		"subscriptions get basic", "subscriptions get client", "subscriptions get signed", "subscriptions get query", "subscriptions get gone",
		"subscriptions get tls", "subscriptions get path", "subscriptions get bare", "subscriptions get beside", "subscriptions get bearer", "subscriptions get invalid", "subscriptions get broken", "subscriptions validate " + file, "config",
		"explain --seq 1", "explain --seq 1 -o json", "explain --seq 1 --subscription signed", "explain --seq 1 --subscription invalid",
		"explain --seq 1 --subscription path", "explain --seq 1 --record " + file,
		"subscriptions test basic", "subscriptions test client", "subscriptions test query -o json", "subscriptions test signed", "subscriptions test path -o json",
	} {
		out["orderbridge "+args], _ = command(t, bus.URL(), "", strings.Fields(args)...)
	}
	await(t, time.Minute, "the delivery log holds a delivery", func() bool { return strings.Contains(streams(t, js)["ATTEMPTS"], `"outcome":"delivered"`) })
	for name, text := range streams(t, js) {
		out[name] = text
	}
	out["the delivery log"] = out["ATTEMPTS"]
	p.Signal(syscall.SIGQUIT) // a crash, with the stacks of all goroutines
	p.exit(20 * time.Second)
	out["log and stacks"] = p.Output()
	for where, text := range out {
		if strings.Contains(text, made.Secret) || strings.Contains(text, strings.TrimPrefix(made.Secret, "whsec_")) {
			t.Errorf("%s shows the secret that a rotation has made", where)
		}
	}
	return out
}

// holdsNoSecret looks for the planted secrets in what the program emitted.
func holdsNoSecret(t *testing.T, e *echo, out map[string]string) {
	t.Helper()
	// What was looked for really went over the wire, and what was looked at is really there.
	for _, name := range []string{"password", "password file", "token", "token env", "client secret", "sealed secret", "access token", "header", "key", "query", "bare query", "beside an id", "path"} {
		if !strings.Contains(e.seen.String(), planted[name]) {
			t.Errorf("the %s was never sent", name)
		}
	}
	for where, what := range map[string]string{
		"log and stacks": "goroutine ", "/metrics": "orderbridge_", "orderbridge dead-letters list": "[redacted]", "KV_subscription_status": "[redacted]",
		"ATTEMPTS": "Bearer [redacted]", "the delivery log": `"Webhook-Signature":"[signature]"`,
		"DEAD_LETTERS": "[redacted]", "orderbridge subscriptions get basic": `"password": "[redacted]"`,
		"orderbridge explain --seq 1 -o json": `"[redacted]"`, "orderbridge subscriptions test basic": "Authorization: [redacted]",
	} {
		if !strings.Contains(out[where], what) {
			t.Errorf("%s does not hold %q:\n%.2000s", where, what, out[where])
		}
	}
	for where, text := range out {
		for name, secret := range planted {
			for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)),
				base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("u:" + secret)),
				base64.StdEncoding.EncodeToString([]byte("c:" + url.QueryEscape(secret)))} {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s shows the %s: …%s…", where, name, text[max(0, i-200):min(len(text), i+len(form)+50)])
					break
				}
			}
		}
	}
}

// makeSecretFiles fills a secrets directory and returns the path of a sealing key.
func makeSecretFiles(dir string) (string, error) {
	cert, err := lab.CA().Issue("client")
	if err != nil {
		return "", err
	}
	p12, err := pkcs12.Modern2023.Encode(cert.PrivateKey, cert.Leaf, nil, "another")
	if err != nil {
		return "", err
	}
	identity, _, err := secrets.NewIdentity(time.Now())
	if err != nil {
		return "", err
	}
	for name, data := range map[string][]byte{"client.p12": p12, "pw": []byte(planted["password file"] + "\n"), "sealing.key": identity, "pw.hosts": []byte("127.0.0.1\n"), "client.p12.hosts": []byte("127.0.0.1\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "sealing.key"), nil
}

// get is the body of an answer of the program.
func (p *program) get(path string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(within(p.t, 10*time.Second), http.MethodGet, "http://"+p.http()+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(body)
}

// streams is all that stands on the bus, but for the records and the events.
func streams(t *testing.T, js jetstream.JetStream) map[string]string {
	t.Helper()
	ctx := within(t, 30*time.Second)
	out := map[string]string{}
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if name == "KV_subscriptions" || name == "ORDERS" {
			continue
		}
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		state := stream.CachedInfo().State
		for seq := state.FirstSeq; seq > 0 && seq <= state.LastSeq; seq++ {
			if m, err := stream.GetMsg(ctx, seq); err == nil {
				fmt.Fprintf(&b, "%s %v %s\n", m.Subject, m.Header, m.Data)
			}
		}
		out[name] = b.String()
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

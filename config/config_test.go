package config

import (
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kelseyhightower/envconfig"

	"orderbridge/bridge/event"
)

// clean removes what the machine has set, so that a test sees its own settings
// only. It keeps the tests that read the environment from running in parallel.
func clean(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, Prefix+"_") {
			t.Setenv(name, value) // has it put back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	clean(t)
	got, warnings, err := Load()
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the defaults are not usable: %v, %q", err, warnings)
	}
	want := &Config{
		NATS:    NATS{Listen: "127.0.0.1:4222"},
		DataDir: "./data", EmbeddedAuth: "open", EmbeddedSync: "always", HTTPClient: "own",
		Stream: "ORDERS", Subjects: List{"orders", "orders.>"}, SubscriptionsBucket: "subscriptions",
		SubjectLayout: event.DefaultSubjectLayout, OrderIDPaths: event.DefaultOrderIDPaths, LegacyOrderIDPaths: event.DefaultLegacyOrderIDPaths,
		EventTypePaths: event.DefaultTypePaths, TenantPaths: event.DefaultTenantPaths,
		OIDC:          OIDC{Scopes: List{"profile"}, RoleClaim: "orderbridge_role", TenantClaim: "orderbridge_tenant"},
		TenantRecords: 20000, TenantBytes: 64 << 20, TenantWrites: 50,
		HTTPListen: "127.0.0.1:8080", WebhookID: "automation",
		Shards: 1, Window: 4096, AttemptLog: "all", MetricsSubscriptions: 100, LogFormat: "text", ShutdownTimeout: Duration{20 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestNames holds the names that others rely on, and our reading of the field
// names against envconfig's.
func TestNames(t *testing.T) {
	clean(t)
	want := strings.Fields(`NATS_URL NATS_CONTEXT NATS_CREDS NATS_NKEY NATS_USER NATS_PASSWORD NATS_TOKEN NATS_CA NATS_CERT NATS_KEY NATS_HANDSHAKE_FIRST NATS_INBOX NATS_LISTEN JETSTREAM_DOMAIN JETSTREAM_API_PREFIX
		DATA_DIR EMBEDDED_AUTH EMBEDDED_SYNC STREAM SUBJECTS SUBSCRIPTIONS_BUCKET PREFIX REPLICAS
		SUBJECT_LAYOUT ORDER_ID_PATHS LEGACY_ORDER_ID_PATHS EVENT_TYPE_PATHS TENANT_PATHS HTTP_LISTEN SERVER TOKEN_FILE SERVER_CA API_TOKENS API_TOKENS_FILE API_HOSTS API_PROXIES OIDC_ISSUER OIDC_CLIENT_ID OIDC_CLIENT_SECRET OIDC_PUBLIC_URL OIDC_SCOPES OIDC_ROLE_CLAIM OIDC_TENANT_CLAIM TENANT_SUBJECTS
		TENANT_RECORDS TENANT_BYTES TENANT_WRITES
		EGRESS_ALLOW EGRESS_PROXY HTTP_CLIENT ALLOW_HTTP ALLOW_TRUST_ALL SECRETS_DIR SEALING_KEY_FILE TRUST_ROOTS DEV WEBHOOK_FILE WEBHOOK_ID SHARDS WINDOW MAX_EVENT_BYTES ATTEMPT_LOG METRICS_SUBSCRIPTIONS LOG_LEVEL LOG_FORMAT SHUTDOWN_TIMEOUT`)
	var got []string
	for _, v := range Table() {
		got = append(got, strings.TrimPrefix(v.Name, Prefix+"_"))
		if v.Meaning == "" {
			t.Errorf("%s has no meaning", v.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var usage strings.Builder
	if err := envconfig.Usagef(Prefix, new(Config), &usage, `{{range .}}{{usage_key .}} {{end}}`); err != nil {
		t.Fatal(err)
	}
	for i, key := range strings.Fields(usage.String()) {
		if key != Prefix+"_"+want[i] {
			t.Errorf("envconfig reads %s, we tell %s", key, want[i])
		}
	}
}

func TestLoadReadsEachKind(t *testing.T) {
	clean(t)
	for name, value := range map[string]string{
		"NATS_URL": "nats://a:4222, tls://b", "NATS_USER": "u", "NATS_PASSWORD": "p",
		"NATS_LISTEN": "", "SUBJECTS": " shop.orders.> ,x", "EGRESS_ALLOW": "10.0.0.0/8, 192.168.1.7,fd00::/8",
		"DEV": "true", "WINDOW": "16", "LOG_LEVEL": "DEBUG", "SHUTDOWN_TIMEOUT": "1m30s",
	} {
		t.Setenv(Prefix+"_"+name, value)
	}
	c, warnings, err := Load()
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if c.NATS.URL.Reveal() != "nats://a:4222, tls://b" || c.NATS.Password.Reveal() != "p" || c.NATS.Listen != "" ||
		!c.Dev || c.Window != 16 || c.LogLevel != slog.LevelDebug || c.ShutdownTimeout.Duration != 90*time.Second {
		t.Errorf("got %+v", c)
	}
	if diff := cmp.Diff(List{"shop.orders.>", "x"}, c.Subjects); diff != "" {
		t.Error(diff)
	}
	want := []string{"10.0.0.0/8", "192.168.1.7/32", "fd00::/8"}
	for i, p := range c.EgressAllow {
		if p != netip.MustParsePrefix(want[i]) {
			t.Errorf("network %d is %s, want %s", i, p, want[i])
		}
	}
}

func TestDurationsInISO(t *testing.T) {
	clean(t)
	t.Setenv(Prefix+"_SHUTDOWN_TIMEOUT", "PT1M30S")
	c, _, err := Load()
	if err != nil || c.ShutdownTimeout.Duration != 90*time.Second {
		t.Errorf("got %v, %v", c.ShutdownTimeout, err)
	}
}

func TestUnprefixedVariablesAreNotOurs(t *testing.T) {
	clean(t)
	t.Setenv("DEV", "true")
	t.Setenv("NATS_URL", "nats://elsewhere")
	t.Setenv("URL", "nats://elsewhere")
	c, _, err := Load()
	if err != nil || c.Dev || c.NATS.URL != "" {
		t.Errorf("took a variable without prefix: %+v, %v", c, err)
	}
}

func TestBadValuesNameVariableValueAndRemedy(t *testing.T) {
	clean(t)
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, env string
		want      string
	}{
		{"number", "WINDOW=many", `ORDERBRIDGE_WINDOW="many" is not a number; write a whole number without a unit, or unset it`},
		{"empty number", "WINDOW=", `ORDERBRIDGE_WINDOW="" is not a number; write a whole number without a unit, or unset it`},
		{"shards", "SHARDS=65", `ORDERBRIDGE_SHARDS="65" is out of range; give 1 to 64`},
		{"range", "WINDOW=0", `ORDERBRIDGE_WINDOW="0" is out of range; give 1 to 65536`},
		{"bool", "DEV=yes", `ORDERBRIDGE_DEV="yes" is not a truth value; write true or false`},
		{"level", "LOG_LEVEL=loud", `ORDERBRIDGE_LOG_LEVEL="loud" is not a level; use debug, info, warn or error`},
		{"format", "LOG_FORMAT=xml", `ORDERBRIDGE_LOG_FORMAT="xml" is not a log format; use text or json`},
		{"duration", "SHUTDOWN_TIMEOUT=20", `ORDERBRIDGE_SHUTDOWN_TIMEOUT="20" is not a duration; write it as 20s or PT20S`},
		{"long duration", "SHUTDOWN_TIMEOUT=2h", `ORDERBRIDGE_SHUTDOWN_TIMEOUT="2h" is out of range; give 0s to 1h`},
		{"network", "EGRESS_ALLOW=10.0.0.0/8,lan", `ORDERBRIDGE_EGRESS_ALLOW="10.0.0.0/8,lan" holds "lan", which is not a network; write it as 10.0.0.0/8 or fd00::/8`},
		{"bits", "EGRESS_ALLOW=10.1.0.0/8", `ORDERBRIDGE_EGRESS_ALLOW="10.1.0.0/8" holds "10.1.0.0/8", which has bits set beyond its mask; did you mean 10.0.0.0/8?`},
		{"address", "HTTP_LISTEN=8080", `ORDERBRIDGE_HTTP_LISTEN="8080" is not an address; write it as 127.0.0.1:8080, [::1]:8080 or :8080`},
		{"port", "NATS_LISTEN=:99999", `ORDERBRIDGE_NATS_LISTEN=":99999" is not an address; write it as 127.0.0.1:8080, [::1]:8080 or :8080`},
		{"url", "NATS_URL=http://nats", `ORDERBRIDGE_NATS_URL="http://nats" has a scheme that NATS does not speak; use nats://, tls://, ws:// or wss://`},
		{"file", "TRUST_ROOTS=/nowhere/ca.pem", `ORDERBRIDGE_TRUST_ROOTS="/nowhere/ca.pem" names no file; give the path of a PEM file with CA certificates`},
		{"no certificate", "TRUST_ROOTS=" + empty, fmt.Sprintf(`ORDERBRIDGE_TRUST_ROOTS=%q names a file without a certificate; give the path of a PEM file with CA certificates`, empty)},
		{"directory", "TRUST_ROOTS=" + dir, fmt.Sprintf(`ORDERBRIDGE_TRUST_ROOTS=%q names a file that cannot be read: it is not a regular file; give the path of a PEM file with CA certificates`, dir)},
		{"subject", "SUBJECTS=orders.>.x", `ORDERBRIDGE_SUBJECTS="orders.>.x" holds "orders.>.x", which is not a NATS subject; write it as orders,orders.>`},
		{"no subject", "SUBJECTS=", `ORDERBRIDGE_SUBJECTS="" holds no subject; write it as orders,orders.>`},
		{"stream", "STREAM=MY.ORDERS", `ORDERBRIDGE_STREAM="MY.ORDERS" is not a valid stream or bucket name; use 1 to 64 letters, digits, - and _`},
		{"own stream", "STREAM=DEAD_LETTERS", `ORDERBRIDGE_STREAM="DEAD_LETTERS" is a stream of the bridge's own; choose another name, or set ORDERBRIDGE_PREFIX`},
		{"own stream of alerts", "STREAM=ALERTS", `ORDERBRIDGE_STREAM="ALERTS" is a stream of the bridge's own; choose another name, or set ORDERBRIDGE_PREFIX`},
		{"own stream of a bucket", "STREAM=KV_lease", `ORDERBRIDGE_STREAM="KV_lease" is a stream of the bridge's own; choose another name, or set ORDERBRIDGE_PREFIX`},
		{"own stream under a prefix with a dot", "PREFIX=acme. STREAM=acme_ALERTS", `ORDERBRIDGE_STREAM="acme_ALERTS" is a stream of the bridge's own; choose another name, or set ORDERBRIDGE_PREFIX`},
		{"own bucket under a prefix with a dot", "PREFIX=acme. SUBSCRIPTIONS_BUCKET=acme_lease", `ORDERBRIDGE_SUBSCRIPTIONS_BUCKET="acme_lease" is a bucket of the bridge's own; choose another name, or set ORDERBRIDGE_PREFIX`},
		{"the records as stream", "STREAM=KV_subscriptions", `ORDERBRIDGE_STREAM="KV_subscriptions" is the bucket of the records; give the stream of the events`},
		{"own subjects", "SUBJECTS=*.>", `ORDERBRIDGE_SUBJECTS="*.>" holds "*.>", which also hears dead-letters.>; name only the subjects of the events, as in orders,orders.>`},
		{"subjects of the bus", "SUBJECTS=orders,$KV.x.>", `ORDERBRIDGE_SUBJECTS="orders,$KV.x.>" holds "$KV.x.>", which also hears $KV.>; name only the subjects of the events, as in orders,orders.>`},
		{"domain", "NATS_URL=nats://n JETSTREAM_DOMAIN=a.>", `ORDERBRIDGE_JETSTREAM_DOMAIN="a.>" is not a valid domain name; write it as in ` + "`domain:`" + ` of the server's jetstream block, e.g. hub`},
		{"domain and prefix", "NATS_URL=nats://n JETSTREAM_DOMAIN=hub JETSTREAM_API_PREFIX=JS.hub.API", `ORDERBRIDGE_JETSTREAM_API_PREFIX="JS.hub.API" is set beside ORDERBRIDGE_JETSTREAM_DOMAIN; set one of them: a domain stands for the prefix $JS.<domain>.API`},
		{"domain without server", "JETSTREAM_DOMAIN=hub", `ORDERBRIDGE_JETSTREAM_DOMAIN="hub" is set, but the embedded server has none; set ORDERBRIDGE_NATS_URL to use your own server, or unset it`},
		{"handshake without server", "NATS_HANDSHAKE_FIRST=true", `ORDERBRIDGE_NATS_HANDSHAKE_FIRST="true" is set, but the embedded server asks for nothing; set ORDERBRIDGE_NATS_URL to use your own server, or unset it`},
		{"own bucket", "SUBSCRIPTIONS_BUCKET=owed", `ORDERBRIDGE_SUBSCRIPTIONS_BUCKET="owed" is a bucket of the bridge's own; choose another name, or set ORDERBRIDGE_PREFIX`},
		{"prefix", "PREFIX=a..b", `ORDERBRIDGE_PREFIX="a..b" cannot begin a name; use at most 32 letters, digits, -, _ and single dots, as in acme-`},
		{"inbox", "NATS_INBOX=_INBOX_bridge.", `ORDERBRIDGE_NATS_INBOX="_INBOX_bridge." cannot begin a subject; write it as _INBOX_bridge, without a dot at its end`},
		{"replicas", "REPLICAS=7", `ORDERBRIDGE_REPLICAS="7" is out of range; give 0 to 5`},
		{"client", "HTTP_CLIENT=curl", `ORDERBRIDGE_HTTP_CLIENT="curl" is not an HTTP client; use own or net/http, or the host:port of endpoints for which net/http is used`},
		{"client's endpoints", "HTTP_CLIENT=erp.example.com:443,b.example", `ORDERBRIDGE_HTTP_CLIENT="erp.example.com:443,b.example" is not an HTTP client; use own or net/http, or the host:port of endpoints for which net/http is used`},
		{"client's pattern", "HTTP_CLIENT=*.example.com:443", `ORDERBRIDGE_HTTP_CLIENT="*.example.com:443" is not an HTTP client; use own or net/http, or the host:port of endpoints for which net/http is used`},
		{"client's port", "HTTP_CLIENT=erp.example.com:0", `ORDERBRIDGE_HTTP_CLIENT="erp.example.com:0" is not an HTTP client; use own or net/http, or the host:port of endpoints for which net/http is used`},
		{"auth", "EMBEDDED_AUTH=yes", `ORDERBRIDGE_EMBEDDED_AUTH="yes" is not a way to authenticate; use open or credentials`},
		{"sync", "EMBEDDED_SYNC=1s", `ORDERBRIDGE_EMBEDDED_SYNC="1s" is not a sync mode; use always or interval`},
		{"event size", "MAX_EVENT_BYTES=5", `ORDERBRIDGE_MAX_EVENT_BYTES="5" is out of range; give 1024 to 67108864`},
		{"user alone", "NATS_URL=nats://n NATS_USER=me", `ORDERBRIDGE_NATS_USER="me" is set, but ORDERBRIDGE_NATS_PASSWORD is not; set both or none`},
		{"password alone", "NATS_URL=nats://n NATS_PASSWORD=hunter2", `ORDERBRIDGE_NATS_PASSWORD="[redacted]" is set, but ORDERBRIDGE_NATS_USER is not; set both or none`},
		{"a client without a provider", "OIDC_CLIENT_ID=x", `ORDERBRIDGE_OIDC_CLIENT_ID="x" is set, but ORDERBRIDGE_OIDC_ISSUER is not; set both or none`},
		{"a client's secret without a provider", "OIDC_CLIENT_SECRET=hunter2", `ORDERBRIDGE_OIDC_CLIENT_SECRET="[redacted]" is set, but ORDERBRIDGE_OIDC_ISSUER is not; set both or none`},
		{"a provider without a client", "OIDC_ISSUER=https://login.example.com OIDC_PUBLIC_URL=https://b.example.com/", `ORDERBRIDGE_OIDC_CLIENT_ID="" is empty; enter the bridge at the provider as a client, and give its client id`},
		{"a provider over http", "OIDC_ISSUER=http://login.example.com OIDC_CLIENT_ID=x OIDC_PUBLIC_URL=https://b.example.com/ DEV=true", `ORDERBRIDGE_OIDC_ISSUER="http://login.example.com" is not the URL of an OpenID provider; write it as https://login.example.com, exactly as the provider names itself (` + "`issuer`" + `); http:// only with ORDERBRIDGE_ALLOW_HTTP or, on loopback, ORDERBRIDGE_DEV`},
		{"a console's address without its end", "OIDC_ISSUER=https://login.example.com OIDC_CLIENT_ID=x OIDC_PUBLIC_URL=https://b.example.com", `ORDERBRIDGE_OIDC_PUBLIC_URL="https://b.example.com" is not the address of the console; write it as browsers reach it, with a / at its end: https://bridge.example.com/`},
		{"a provider that gives no roles", "OIDC_ISSUER=https://login.example.com OIDC_CLIENT_ID=x OIDC_PUBLIC_URL=https://b.example.com/ OIDC_ROLE_CLAIM=", `ORDERBRIDGE_OIDC_ROLE_CLAIM="" is empty; give the name of a claim`},
		{"two logins", "NATS_URL=nats://n NATS_USER=me NATS_PASSWORD=hunter2 NATS_TOKEN=hunter3", `ORDERBRIDGE_NATS_TOKEN="[redacted]" is set beside ORDERBRIDGE_NATS_USER; choose one of NATS_CREDS, NATS_NKEY, NATS_USER and NATS_TOKEN`},
		{"login without server", "NATS_TOKEN=hunter2", `ORDERBRIDGE_NATS_TOKEN="[redacted]" is set, but the embedded server asks for nothing; set ORDERBRIDGE_NATS_URL to use your own server, or unset it`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, setting := range strings.Fields(tt.env) {
				name, value, _ := strings.Cut(setting, "=")
				t.Setenv(Prefix+"_"+name, value)
			}
			_, _, err := Load()
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	clean(t)
	t.Setenv(Prefix+"_WINDOW", "x")
	t.Setenv(Prefix+"_HTTP_LISTEN", "x")
	t.Setenv(Prefix+"_LOG_FORMAT", "x")
	_, _, err := Load()
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three lines, got %v", err)
	}
}

func TestCertificates(t *testing.T) {
	clean(t)
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Prefix+"_TRUST_ROOTS", path)
	if _, _, err := Load(); err != nil {
		t.Error(err)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	clean(t)
	const secret = "hunter2"
	seed := "SUA" + strings.Repeat("HUNTER2A", 7)
	for _, env := range [][]string{
		{"NATS_URL=nats://u:hunter2@h:4222,x,nats://u:hunter2@i", "NATS_PASSWORD=hunter2", "NATS_USER=u", "WINDOW=x"},
		{"NATS_URL=nats://u:hunter2,2@h"},
		{"NATS_URL=nats://u:12,hunter2@h"},
		{"NATS_URL=nats://hunter2@h:99999999"},
		{"NATS_URL=http://u:hunter2@h"},
		{"NATS_URL=nats://u:12://hunter2@h"},
		{"NATS_URL=u:hunter2@h"},
		{"NATS_URL=%zz:hunter2@h"},
		{"NATS_TOKEN=hunter2"},
		{"NATS_URL=nats://h", "NATS_NKEY=" + seed},
		{"NATS_URL=nats://h", "NATS_CREDS=-----BEGIN NATS USER JWT-----hunter2"},
		{"NATS_URL=nats://h", "NATS_KEY=-----BEGIN PRIVATE KEY-----hunter2"},
	} {
		t.Run(env[0], func(t *testing.T) {
			for _, setting := range env {
				name, value, _ := strings.Cut(setting, "=")
				t.Setenv(Prefix+"_"+name, value)
			}
			c, warnings, err := Load()
			all := fmt.Sprintf("%v %q %v", err, warnings, Table())
			if err == nil {
				all += fmt.Sprintf("%v %+v %#v", c, c, c)
			}
			if strings.Contains(all, secret) || strings.Contains(all, seed) {
				t.Errorf("prints a secret: %s", all)
			}
		})
	}
}

func TestServersKeepTheirHosts(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  "",
		"nats://h:4222":                     "nats://h:4222",
		"nats://u:p@h:4222":                 "nats://h:4222",
		"nats://u:p@h:4222,tls://u:p@i:443": "nats://h:4222,tls://i:443",
		"nats://token@h":                    "nats://h",
		"h1,h2":                             "h1,h2",
	} {
		if got := Servers(in).String(); got != want {
			t.Errorf("%q prints as %q, want %q", in, got, want)
		}
	}
}

func TestUnknownVariablesNameTheNearest(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"ORDERBRIDGE_LOGLEVEL=debug":  "ORDERBRIDGE_LOG_LEVEL",
		"ORDERBRIDGE_HTTP_ADDR=:80":   "ORDERBRIDGE_HTTP_LISTEN",
		"ORDERBRIDGE_ALLOW_HTTPS=1":   "ORDERBRIDGE_ALLOW_HTTP",
		"ORDERBRIDGE_HTTP_PORT=80":    "ORDERBRIDGE_HTTP_LISTEN",
		"ORDERBRIDGE_SECRET_ACME=abc": "",
		"ORDERBRIDGE_NATS_URL=x":      "",
		"ORDERBRIDGES_X=x":            "",
		"OTHER=x":                     "",
		// as Kubernetes makes them for the services orderbridge and orderbridge-metrics
		"ORDERBRIDGE_SERVICE_HOST=10.0.0.1":                      "",
		"ORDERBRIDGE_SERVICE_PORT=8080":                          "",
		"ORDERBRIDGE_SERVICE_PORT_HTTP=8080":                     "",
		"ORDERBRIDGE_PORT=tcp://10.0.0.1:8080":                   "",
		"ORDERBRIDGE_PORT_8080_TCP=tcp://10.0.0.1:8080":          "",
		"ORDERBRIDGE_PORT_8080_TCP_ADDR=10.0.0.1":                "",
		"ORDERBRIDGE_PORT_8080_TCP_PROTO=tcp":                    "",
		"ORDERBRIDGE_METRICS_PORT=tcp://10.0.0.1:8080":           "",
		"ORDERBRIDGE_METRICS_SERVICE_HOST=10.0.0.1":              "",
		"ORDERBRIDGE_METRICS_PORT_9090_TCP=tcp://10.0.0.1:19090": "",
	} {
		got, problems := unknown([]string{entry})
		if len(problems) > 0 {
			t.Errorf("%s: %v", entry, problems)
		}
		switch {
		case want == "" && len(got) != 0:
			t.Errorf("%s: got %q, want no warning", entry, got)
		case want != "" && (len(got) != 1 || !strings.HasSuffix(got[0], " "+want)):
			t.Errorf("%s: got %q, want %s named", entry, got, want)
		}
	}
}

func TestNearMissesOfDecisiveVariablesAreProblems(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"ORDERBRIDGE_NATS_ULR":            "ORDERBRIDGE_NATS_URL",
		"ORDERBRIDGE_NATS_URI":            "ORDERBRIDGE_NATS_URL",
		"ORDERBRIDGE_NATSURL":             "ORDERBRIDGE_NATS_URL",
		"ORDERBRIDGE_URL":                 "ORDERBRIDGE_NATS_URL",
		"ORDERBRIGE_NATS_URL":             "ORDERBRIDGE_NATS_URL",
		"ORDER_BRIDGE_NATS_URL":           "ORDERBRIDGE_NATS_URL",
		"orderbridge_nats_url":            "ORDERBRIDGE_NATS_URL",
		"ORDERBRIDGE_NATS_SERVERS":        "ORDERBRIDGE_NATS_URL",
		"ORDERBRIDGE_NATS_CREDENTIALS":    "ORDERBRIDGE_NATS_URL",
		"ORDERBRIDGE_CREDS":               "ORDERBRIDGE_NATS_CREDS",
		"ORDERBRIDGE_NATS_PASWORD":        "ORDERBRIDGE_NATS_PASSWORD",
		"ORDERBRIDGE_STREEM":              "ORDERBRIDGE_STREAM",
		"ORDERBRIDGE_PREFX":               "ORDERBRIDGE_PREFIX",
		"ORDERBRIDGE_DATADIR":             "ORDERBRIDGE_DATA_DIR",
		"ORDERBRIDGE_JETSTREAM_DOMIAN":    "ORDERBRIDGE_JETSTREAM_DOMAIN",
		"ORDERBRIDGE_SUBSCRIPTION_BUCKET": "ORDERBRIDGE_SUBSCRIPTIONS_BUCKET",
	} {
		warnings, problems := unknown([]string{name + "=hunter2"})
		if len(warnings) != 0 || len(problems) != 1 || !strings.Contains(problems[0].Error(), name+" is not a setting; ") || !strings.Contains(problems[0].Error(), want) || strings.Contains(problems[0].Error(), "hunter2") {
			t.Errorf("%s: got %q, %v, want %s named", name, warnings, problems, want)
		}
	}
	for _, other := range []string{"NATS_URL=x", "NATS_CONTEXT=x", "ORDERBRIDGE_NATS_SERVICE_HOST=10.0.0.1", "ORDERBRIDGE_NATS_PORT=tcp://10.0.0.1:4222", "ORDERBRIDGE_NATS_PORT_4222_TCP=tcp://10.0.0.1:4222"} {
		if warnings, problems := unknown([]string{other}); len(warnings)+len(problems) > 0 {
			t.Errorf("%s: got %q, %v", other, warnings, problems)
		}
	}
}

func TestOpenEmbeddedServerStaysOnTheMachine(t *testing.T) {
	clean(t)
	t.Setenv(Prefix+"_NATS_LISTEN", "0.0.0.0:4222")
	if _, _, err := Load(); err == nil || !strings.Contains(err.Error(), `ORDERBRIDGE_NATS_LISTEN="0.0.0.0:4222" opens`) {
		t.Errorf("got %v", err)
	}
	t.Setenv(Prefix+"_EMBEDDED_AUTH", "credentials")
	if _, warnings, err := Load(); err != nil || len(warnings) > 0 {
		t.Errorf("with credentials: got %q, %v", warnings, err)
	}
}

func TestReadmeShowsTheTable(t *testing.T) {
	clean(t)
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "<!-- settings: `orderbridge config -o markdown` -->\n")
	table, _, closed := strings.Cut(rest, "<!-- end of settings -->")
	if !found || !closed {
		t.Fatal("README.md has no markers around the table of settings")
	}
	if diff := cmp.Diff(Markdown(), table); diff != "" {
		t.Errorf("put the output of `go run ./cmd/orderbridge config -o markdown` between the markers (-want +README):\n%s", diff)
	}
}

func TestTableShowsWhatIsSet(t *testing.T) {
	clean(t)
	t.Setenv(Prefix+"_NATS_PASSWORD", "hunter2")
	t.Setenv(Prefix+"_WINDOW", "7")
	table := Table()
	find := func(name string) Variable {
		i := slices.IndexFunc(table, func(v Variable) bool { return v.Name == Prefix+"_"+name })
		return table[i]
	}
	if v := find("NATS_PASSWORD"); !v.Set || v.Value != "[redacted]" {
		t.Errorf("password: %+v", v)
	}
	if v := find("WINDOW"); !v.Set || v.Value != "7" || v.Default != "4096" {
		t.Errorf("window: %+v", v)
	}
	if v := find("STREAM"); v.Set || v.Value != "ORDERS" {
		t.Errorf("stream: %+v", v)
	}
}

func TestTokensAreReadAndNeverShown(t *testing.T) {
	clean(t)
	const a, b = "0a9aeb44-654c-44dc-aa26-609ad318654d", "another-token-of-good-length"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("# who\n\nacme:"+b+":acme\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Prefix+"_API_TOKENS", "ops:"+a)
	t.Setenv(Prefix+"_API_TOKENS_FILE", file)
	c, _, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.AllAPITokens()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Tokens{{Name: "ops", Secret: a}, {Name: "acme", Secret: b, Tenant: "acme"}}, got); diff != "" {
		t.Error(diff)
	}
	for _, row := range Table() {
		if strings.Contains(row.Value, a) {
			t.Errorf("%s shows a token", row.Name)
		}
		if row.Name == Prefix+"_API_TOKENS" && row.Value != "ops:[redacted]" {
			t.Errorf("got %q", row.Value)
		}
	}
}

func TestBadTokensAreRefusedUnseen(t *testing.T) {
	clean(t)
	const secret = "hunter2hunter2hunter2"
	for _, value := range []string{
		secret, "a:" + secret + ":b:c", "a b:" + secret, "a:" + secret + ":te nant", "a:hunter2", "a:" + secret + ",a:x" + secret,
		"a:" + secret + ",b:" + secret, "a:hunter2 hunter2 hunter2",
	} {
		t.Setenv(Prefix+"_API_TOKENS", value)
		_, _, err := Load()
		if err == nil || !strings.Contains(err.Error(), Prefix+"_API_TOKENS=") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", value, err)
		}
	}
	t.Setenv(Prefix+"_API_TOKENS", "")
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("a:"+secret+"\nb "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Prefix+"_API_TOKENS_FILE", file)
	c, _, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AllAPITokens(); err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestTenantSubjectsHoldTheTenantOnce(t *testing.T) {
	clean(t)
	for _, value := range []string{"orders.>", "orders.{tenant}x.>", "{tenant}.{tenant}", "orders..{tenant}"} {
		t.Setenv(Prefix+"_TENANT_SUBJECTS", value)
		if _, _, err := Load(); err == nil || !strings.Contains(err.Error(), "TENANT_SUBJECTS") {
			t.Errorf("%q: got %v", value, err)
		}
	}
	t.Setenv(Prefix+"_TENANT_SUBJECTS", "orders.{tenant}.>,legacy.*.{tenant}")
	if _, _, err := Load(); err != nil {
		t.Error(err)
	}
}

// TestEgressProxy: a proxy is named by host and port; what stands before an @ is never shown.
func TestEgressProxy(t *testing.T) {
	for value, good := range map[string]bool{
		"http://proxy.example.com:3128": true, "http://127.0.0.1:3128/": true,
		"https://proxy:3128": false, "http://proxy": false, "http://u:planted@proxy:3128": false, "https://u:planted@proxy": false,
		"http://proxy:3128/path": false, "proxy:3128": false,
	} {
		clean(t)
		t.Setenv("ORDERBRIDGE_EGRESS_PROXY", value)
		_, _, err := Load()
		if (err == nil) != good {
			t.Errorf("%q: %v, want good %v", value, err, good)
		}
		if err != nil && (strings.Contains(err.Error(), "planted") || !strings.Contains(err.Error(), "ORDERBRIDGE_EGRESS_PROXY")) {
			t.Errorf("%q: the error is %q", value, err)
		}
	}
}

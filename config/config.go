package config

import (
	"log/slog"
	"strings"

	"orderbridge/bridge/record"
)

// Prefix begins the name of every variable.
const Prefix = "ORDERBRIDGE"

// Values of EmbeddedSync.
const (
	SyncAlways   = "always"
	SyncInterval = "interval"
)

// Values of EmbeddedAuth.
const (
	AuthOpen        = "open"
	AuthCredentials = "credentials"
)

// Values of HTTPClient.
const (
	ClientOwn     = "own"
	ClientNetHTTP = "net/http"
)

// NetHTTP tells what HTTPClient leaves to net/http: everything, or the endpoints
// of these hosts and ports.
func (c *Config) NetHTTP() (all bool, origins []string) {
	switch c.HTTPClient {
	case ClientOwn:
		return false, nil
	case ClientNetHTTP:
		return true, nil
	}
	for origin := range strings.SplitSeq(c.HTTPClient, ",") {
		origins = append(origins, strings.TrimSpace(origin))
	}
	return false, origins
}

// Values of AttemptLog.
const (
	AttemptsAll      = "all"
	AttemptsFailures = "failures"
	AttemptsOff      = "off"
)

// Config is one consistent set of settings. The name of a variable is Prefix,
// the path of the field and the field's words, as in ORDERBRIDGE_NATS_URL. The
// fields carry no envconfig tag on purpose: with one, envconfig would also take
// an unprefixed NATS_URL or DEV that is meant for somebody else.
type Config struct {
	NATS NATS

	JetstreamDomain    string `split_words:"true" desc:"JetStream domain of the streams and buckets, where it is not that of the server; every command uses it"`
	JetstreamAPIPrefix string `split_words:"true" desc:"what the subjects of the JetStream API begin with, as in JS.acme.API, where the account imports it under another name; empty: $JS.API"`

	DataDir      string `split_words:"true" redact:"path" default:"./data" desc:"directory of the embedded server; one process at a time locks it"`
	EmbeddedAuth string `split_words:"true" default:"open" desc:"open: every user of the machine may use the embedded server, which then listens on loopback only; credentials: only who reads the data directory may; the commands do by themselves, orderbridge nats context makes a context for the program nats"`
	EmbeddedSync string `split_words:"true" default:"always" desc:"always: the embedded server syncs each write to disk; interval: every two minutes, faster, but a power failure loses confirmed events"`

	Stream              string `default:"ORDERS" desc:"stream of the order events; made if absent, never altered"`
	Subjects            List   `default:"orders,orders.>" desc:"subjects of the stream when it is made here, separated by commas"`
	SubscriptionsBucket string `split_words:"true" default:"subscriptions" desc:"KV bucket of the subscription records"`
	Prefix              string `desc:"begins the name of every other stream, bucket, consumer and subject of the bridge"`
	Replicas            int    `default:"0" desc:"replicas of the streams and buckets made here; 0: 1 embedded, 3 where the server is clustered"`

	SubjectLayout      string `split_words:"true" default:"orders.{tenant}.{eventType}.{orderId}" desc:"what the tokens of a subject tell: {tenant}, {eventType}, {orderId}, {legacyOrderId}, * for any, all else literal; -: nothing. The tenant is told by the tokens up to it, whatever follows"`
	OrderIDPaths       List   `split_words:"true" default:"orderId,order.id" desc:"where an event's JSON holds the order id; the first that is there counts"`
	LegacyOrderIDPaths List   `split_words:"true" default:"legacyOrderId" desc:"where it holds the legacy order id"`
	EventTypePaths     List   `split_words:"true" default:"eventType,eventName,type" desc:"where it holds the type of the event"`
	TenantPaths        List   `split_words:"true" default:"tenant" desc:"where it holds the tenant, where neither SUBJECT_LAYOUT nor TENANT_SUBJECTS names it and no header tells it"`

	HTTPListen string `split_words:"true" default:"127.0.0.1:8080" desc:"address of the management API, /healthz, /readyz and /metrics"`

	Server    string `desc:"URL of a management API that commands ask instead of the bus"`
	TokenFile string `split_words:"true" redact:"file" desc:"file that holds the token for it"`
	ServerCA  string `split_words:"true" redact:"file" desc:"PEM file of the authorities that its certificate is verified against; empty: those of the system"`

	APITokens     Tokens `split_words:"true" desc:"who may call the management API: name:token, name:token:tenant or name:token:tenant:read, separated by commas; none: one is made in the data directory"`
	APITokensFile string `split_words:"true" redact:"file" desc:"file of further tokens, one a line"`
	APIHosts      List   `split_words:"true" desc:"names under which the API may be called beside addresses and localhost, separated by commas; *: any"`
	APIProxies    CIDRs  `split_words:"true" desc:"networks of proxies whose X-Forwarded-For or Forwarded tells who calls the API, CIDRs separated by commas; empty: whoever opens the connection"`
	OIDC          OIDC

	TenantSubjects List `split_words:"true" desc:"subjects that the records of a tenant's token are confined to, as in orders.{tenant}.>, separated by commas; empty: by SUBJECT_LAYOUT. They also tell the tenant of an event"`

	TenantRecords int `split_words:"true" default:"20000" desc:"records that a tenant may have, however they were put; beyond it the API takes no further ones; 0: any number"`
	TenantBytes   int `split_words:"true" default:"67108864" desc:"bytes that the records of a tenant may have together; 0: any number"`
	TenantWrites  int `split_words:"true" default:"50" desc:"writes of records that the API does for a tenant each second, ten times as many at once; 0: any number"`

	EgressAllow    CIDRs   `split_words:"true" desc:"private networks to which deliveries may go, CIDRs separated by commas; cloud metadata and link-local addresses only where they are named by themselves"`
	EgressProxy    Servers `split_words:"true" desc:"http://host:port of a proxy for all deliveries; it resolves their names, so only addresses written in a URL are held against EGRESS_ALLOW"`
	HTTPClient     string  `split_words:"true" default:"own" desc:"own: deliveries over HTTP/1.1, where the status line decides; net/http: over HTTP/2 where the endpoint offers it, by Go's client, which takes some successes for failures; host:port, separated by commas: that client for these endpoints alone"`
	AllowHTTP      bool    `split_words:"true" default:"false" desc:"true: records may name http:// endpoints"`
	AllowTrustAll  bool    `split_words:"true" default:"false" desc:"true: records may switch off the verification of certificates"`
	SecretsDir     string  `split_words:"true" redact:"file" desc:"directory of the files that records may name; a tenant's lie in its subdirectory of that name, and beside each secret NAME a file NAME.hosts says where it may go"`
	SealingKeyFile string  `split_words:"true" redact:"file" desc:"identity file that opens sealed values, made by orderbridge secrets keygen; the API and the automation file seal with it what they store"`
	TrustRoots     string  `split_words:"true" redact:"file" desc:"PEM file of CA certificates that endpoints may have beside the system's"`
	Dev            bool    `default:"false" desc:"true: http and private certificates are allowed on loopback, and nowhere else"`

	WebhookFile string `split_words:"true" redact:"file" desc:"configuration file of an automation API; its section webHook becomes a subscription and is followed"`
	WebhookID   string `split_words:"true" default:"automation" desc:"id of the subscription that is made from it"`

	Shards        int `default:"1" desc:"shards among which the subscriptions are divided and which replicas share, 1 to 64, where nothing is there yet; later orderbridge shards set changes their number"`
	Window        int `default:"4096" desc:"events taken from the bus and not yet settled, at most"`
	MaxEventBytes int `split_words:"true" default:"0" desc:"largest event that is delivered, in bytes; 0: the server's max_payload - 16 KiB"`

	AttemptLog string `split_words:"true" default:"all" desc:"what the delivery log in the stream ATTEMPTS tells: all attempts, failures (and dead letters) only, or off"`

	MetricsSubscriptions Named `split_words:"true" default:"top:100" desc:"which subscriptions /metrics names to callers on this machine and to tokens that are confined to no tenant: top:100 for the hundred that matter most, all (up to 2000), off"`

	LogLevel        slog.Level `split_words:"true" default:"info" desc:"debug, info, warn or error"`
	LogFormat       string     `split_words:"true" default:"text" desc:"text or json"`
	ShutdownTimeout Duration   `split_words:"true" default:"20s" desc:"how long a stop may take after SIGTERM; attempts that still run 2s before its end are cut off"`
}

// NATS is how the bus is reached, or offered when URL is empty.
type NATS struct {
	URL      Servers       `desc:"servers, separated by commas; empty: the embedded server"`
	Context  string        `redact:"path" desc:"context of the program nats that says how to connect, instead of the other variables: its name, or the absolute path of its file"`
	Creds    string        `redact:"file" desc:"credentials file (JWT and seed)"`
	NKey     string        `redact:"file" desc:"file that holds an nkey seed"`
	User     string        `desc:"user name"`
	Password record.Secret `desc:"password of the user"`
	Token    record.Secret `desc:"token"`
	CA       string        `redact:"file" desc:"PEM file of the CA certificates that the server's certificate is verified against"`
	Cert     string        `redact:"file" desc:"PEM file of the client certificate"`
	Key      string        `redact:"file" desc:"PEM file of the client certificate's key"`
	// HandshakeFirst is what servers with handshake_first want.
	HandshakeFirst bool   `split_words:"true" default:"false" desc:"true: TLS begins at once, before the server has said anything, as a server with handshake_first wants it"`
	Inbox          string `desc:"prefix of the subjects on which answers come, as in _INBOX_bridge; empty: _INBOX, which users of one account share"`
	Listen         string `default:"127.0.0.1:4222" desc:"address of the embedded server; empty: in-process only"`

	// Only a context gives these.
	SocksProxy record.Secret `ignored:"true"`
	UserJWT    record.Secret `ignored:"true"`
	UserSeed   record.Secret `ignored:"true"`
}

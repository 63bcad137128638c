package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// checker collects what is wrong with values that could be read.
type checker struct {
	vars     map[string]variable
	bad      map[string]bool // said already
	warnings []string
	problems []error
}

// check holds the values against what they are for. Variables that could not
// be read have been reported and are left out.
func (c *Config) check(unread []error) (warnings []string, problems []error) {
	k := &checker{vars: map[string]variable{}, bad: map[string]bool{}}
	for _, v := range variables(c) {
		k.vars[v.name] = v
		for _, err := range unread {
			if strings.HasPrefix(err.Error(), v.name+"=") {
				k.bad[v.name] = true
			}
		}
	}

	k.pathsAreNoSecrets()
	c.checkBus(k)
	c.checkEmbedded(k)
	c.checkNames(k)
	c.checkAPI(k)
	c.checkOIDC(k)
	c.checkDeliveries(k)
	return k.warnings, k.problems
}

// checkBus is for how to connect.
func (c *Config) checkBus(k *checker) {
	if err := c.NATS.URL.check(); err != nil {
		problem, remedy, _ := strings.Cut(err.Error(), "; ")
		k.wrong("NATS_URL", problem, remedy)
	}
	k.file("NATS_CREDS", c.NATS.Creds, "give the path of a credentials file")
	k.file("NATS_NKEY", c.NATS.NKey, "give the path of a file that holds the seed")
	k.certificates("NATS_CA", c.NATS.CA)
	k.file("NATS_CERT", c.NATS.Cert, "give the path of a PEM file")
	k.file("NATS_KEY", c.NATS.Key, "give the path of a PEM file")
	if c.NATS.Inbox != "" && !inbox.MatchString(c.NATS.Inbox) {
		k.wrong("NATS_INBOX", "cannot begin a subject", "write it as _INBOX_bridge, without a dot at its end")
	}
	if c.JetstreamDomain != "" && !inbox.MatchString(c.JetstreamDomain) {
		k.wrong("JETSTREAM_DOMAIN", "is not a valid domain name",
			"write it as in `domain:` of the server's jetstream block, e.g. hub")
	}
	if c.JetstreamAPIPrefix != "" && !apiPrefix.MatchString(c.JetstreamAPIPrefix) {
		k.wrong("JETSTREAM_API_PREFIX", "cannot begin a subject", "write it as JS.acme.API, without a dot at its end")
	}
	if c.JetstreamDomain != "" && c.JetstreamAPIPrefix != "" {
		k.wrong("JETSTREAM_API_PREFIX", "is set beside ORDERBRIDGE_JETSTREAM_DOMAIN",
			"set one of them: a domain stands for the prefix $JS.<domain>.API")
	}
	for name, value := range map[string]string{"JETSTREAM_DOMAIN": c.JetstreamDomain,
		"JETSTREAM_API_PREFIX": c.JetstreamAPIPrefix} {
		if value != "" && c.NATS.URL == "" && !k.bad[Prefix+"_NATS_URL"] {
			k.wrong(name, "is set, but the embedded server has none",
				"set ORDERBRIDGE_NATS_URL to use your own server, or unset it")
		}
	}
	k.together("NATS_CERT", c.NATS.Cert != "", "NATS_KEY", c.NATS.Key != "")
	k.together("NATS_USER", c.NATS.User != "", "NATS_PASSWORD", c.NATS.Password != "")
	k.credentials(c.NATS)
}

// checkEmbedded is for the embedded server and the data directory.
func (c *Config) checkEmbedded(k *checker) {
	if c.NATS.Listen != "" {
		k.address("NATS_LISTEN", c.NATS.Listen)
	}
	if c.EmbeddedAuth != AuthOpen && c.EmbeddedAuth != AuthCredentials {
		k.wrong("EMBEDDED_AUTH", "is not a way to authenticate", "use open or credentials")
	} else if c.NATS.URL == "" && c.NATS.Listen != "" && !loopback(c.NATS.Listen) && c.EmbeddedAuth == AuthOpen {
		k.wrong("NATS_LISTEN", "opens the embedded server, which asks for no credentials, to the network",
			"set ORDERBRIDGE_EMBEDDED_AUTH=credentials, use 127.0.0.1, or a NATS server of your own with ORDERBRIDGE_NATS_URL")
	}

	if c.DataDir == "" {
		k.wrong("DATA_DIR", "is empty", "give a directory")
	}
	_, origins := c.NetHTTP()
	for _, origin := range origins {
		if host, port, err := net.SplitHostPort(origin); err != nil || strings.ContainsAny(host, "*/ ") || host == "" || !isPort(port) || port == "0" {
			k.wrong("HTTP_CLIENT", "is not an HTTP client", "use own or net/http, or the host:port of endpoints for which net/http is used")
		}
	}
	if c.EmbeddedSync != SyncAlways && c.EmbeddedSync != SyncInterval {
		k.wrong("EMBEDDED_SYNC", "is not a sync mode", "use always or interval")
	}
}

// checkNames is for streams, buckets and subjects.
func (c *Config) checkNames(k *checker) {
	k.name("STREAM", c.Stream)
	k.name("SUBSCRIPTIONS_BUCKET", c.SubscriptionsBucket)
	if len(c.Prefix) > 32 || !prefix.MatchString(c.Prefix) {
		k.wrong("PREFIX", "cannot begin a name", "use at most 32 letters, digits, -, _ and single dots, as in acme-")
	}
	k.taken(c)
	if len(c.Subjects) == 0 {
		k.wrong("SUBJECTS", "holds no subject", "write it as orders,orders.>")
	}
	for _, s := range c.Subjects {
		if !subject.MatchString(s) {
			k.wrong("SUBJECTS", fmt.Sprintf("holds %q, which is not a NATS subject", s), "write it as orders,orders.>")
		}
	}
	k.within("REPLICAS", c.Replicas, 0, 5)
}

// checkAPI is for the HTTP listener and the management API.
func (c *Config) checkAPI(k *checker) {
	k.address("HTTP_LISTEN", c.HTTPListen)
	if err := c.APITokens.check(); err != nil {
		k.wrong("API_TOKENS", err.Error(), "give each token once, each under a name of its own")
	}
	k.within("TENANT_RECORDS", c.TenantRecords, 0, 100_000_000)
	k.within("TENANT_BYTES", c.TenantBytes, 0, 1<<40)
	k.within("TENANT_WRITES", c.TenantWrites, 0, 1_000_000)
	for _, s := range c.TenantSubjects {
		if !subject.MatchString(s) || strings.Count(s, "{tenant}") != 1 ||
			!slices.Contains(strings.Split(s, "."), "{tenant}") {
			k.wrong("TENANT_SUBJECTS", fmt.Sprintf("holds %q, which is not a subject with {tenant} for one token", s),
				"write it as orders.{tenant}.>")
		}
	}
}

// checkDeliveries is for endpoints, secrets, events and the log.
func (c *Config) checkDeliveries(k *checker) {
	k.certificates("TRUST_ROOTS", c.TrustRoots)
	if info, err := os.Stat(c.SecretsDir); c.SecretsDir != "" && (err != nil || !info.IsDir()) {
		k.wrong("SECRETS_DIR", "names no directory that can be read", "give the path of a directory")
	}
	k.file("SEALING_KEY_FILE", c.SealingKeyFile, "make one with `orderbridge secrets keygen FILE`")
	k.proxy("EGRESS_PROXY", c.EgressProxy.Reveal())
	if err := event.CheckSubjectLayout(c.SubjectLayout); err != nil {
		k.wrong("SUBJECT_LAYOUT", err.Error(), "see its description in `orderbridge config`")
	}
	if !plain.MatchString(c.WebhookID) {
		k.wrong("WEBHOOK_ID", "is not a valid subscription id", "use 1 to 64 letters, digits, - and _")
	}
	k.within("SHARDS", c.Shards, 1, limits.Shards)
	k.within("WINDOW", c.Window, 1, 65536)
	if c.MaxEventBytes != 0 {
		k.within("MAX_EVENT_BYTES", c.MaxEventBytes, 1024, 64<<20)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		k.wrong("LOG_FORMAT", "is not a log format", "use text or json")
	}
	if c.AttemptLog != AttemptsAll && c.AttemptLog != AttemptsFailures && c.AttemptLog != AttemptsOff {
		k.wrong("ATTEMPT_LOG", "is not what the delivery log may tell", "use all, failures or off")
	}
	if d := c.ShutdownTimeout.Duration; d < 0 || d > time.Hour {
		k.wrong("SHUTDOWN_TIMEOUT", "is out of range", "give 0s to 1h")
	}
}

// wrong reports a variable, once.
func (k *checker) wrong(name, problem, remedy string) {
	v := k.vars[Prefix+"_"+name]
	if !k.bad[v.name] {
		k.bad[v.name] = true
		k.problems = append(k.problems, v.wrong(problem, remedy))
	}
}

func (k *checker) within(name string, n, least, most int) {
	if n < least || n > most {
		k.wrong(name, "is out of range", fmt.Sprintf("give %d to %d", least, most))
	}
}

// together: two variables that mean nothing without each other.
func (k *checker) together(a string, hasA bool, b string, hasB bool) {
	if hasA == hasB {
		return
	}
	if hasB {
		a, b = b, a
	}
	k.wrong(a, fmt.Sprintf("is set, but %s_%s is not", Prefix, b), "set both or none")
}

// credentials: one way to log in, and a server to log in at.
func (k *checker) credentials(n NATS) {
	var given []string
	for _, c := range []struct {
		name string
		set  bool
	}{
		{"NATS_CREDS", n.Creds != ""}, {"NATS_NKEY", n.NKey != ""}, {"NATS_USER", n.User != ""},
		{"NATS_TOKEN", n.Token != ""},
	} {
		if c.set {
			given = append(given, c.name)
		}
	}
	if len(given) > 1 {
		k.wrong(given[1], fmt.Sprintf("is set beside %s_%s", Prefix, given[0]),
			"choose one of NATS_CREDS, NATS_NKEY, NATS_USER and NATS_TOKEN")
	}
	if n.Cert != "" {
		given = append(given, "NATS_CERT")
	}
	if n.CA != "" {
		given = append(given, "NATS_CA")
	}
	if n.HandshakeFirst {
		given = append(given, "NATS_HANDSHAKE_FIRST")
	}
	if n.Context != "" {
		if n.URL != "" {
			given = append(given, "NATS_URL")
		}
		if len(given) > 0 {
			k.wrong("NATS_CONTEXT", fmt.Sprintf("is set beside %s_%s", Prefix, given[0]),
				"choose one: a context says all of how to connect")
		}
		return
	}
	if n.URL == "" && len(given) > 0 && !k.bad[Prefix+"_NATS_URL"] {
		k.wrong(given[0], "is set, but the embedded server asks for nothing",
			"set ORDERBRIDGE_NATS_URL to use your own server, or unset it")
	}
}

var (
	prefix    = regexp.MustCompile(`^([A-Za-z0-9_-]+\.?)*$`)
	inbox     = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	plain     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	apiPrefix = regexp.MustCompile(`^[^\s.*>]+(\.[^\s.*>]+)*\.?$`)
	subject   = regexp.MustCompile(`^([^\s.*>]+|\*)(\.([^\s.*>]+|\*))*(\.>)?$|^>$`)
)

func (k *checker) name(name, value string) {
	if !plain.MatchString(value) {
		k.wrong(name, "is not a valid stream or bucket name", "use 1 to 64 letters, digits, - and _")
	}
}

// taken: the user's stream, bucket and subjects must not be ours.
func (k *checker) taken(c *Config) {
	const remedy = "choose another name, or set ORDERBRIDGE_PREFIX"
	names := record.NewNames(c.Prefix, c.Stream, c.SubscriptionsBucket)
	if slices.Contains(names.Buckets(), names.Subscriptions) {
		k.wrong("SUBSCRIPTIONS_BUCKET", "is a bucket of the bridge's own", remedy)
	}
	if slices.Contains(names.Streams(), names.Stream) {
		k.wrong("STREAM", "is a stream of the bridge's own", remedy)
	}
	if names.Stream == "KV_"+names.Subscriptions {
		k.wrong("STREAM", "is the bucket of the records", "give the stream of the events")
	}
	for _, s := range c.Subjects {
		if own := names.TakenSubject(s); own != "" {
			k.wrong("SUBJECTS", fmt.Sprintf("holds %q, which also hears %s", s, own),
				"name only the subjects of the events, as in orders,orders.>")
		}
	}
}

// proxy: a plain HTTP proxy without credentials, which would stand in the clear.
func (k *checker) proxy(name, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "":
		k.wrong(name, "is not a proxy's URL", "write http://host:port")
	case u.User != nil:
		k.wrong(name, "holds user info", "leave it out: the proxy must know the bridge by its address")
	}
}

func (k *checker) address(name, value string) {
	if _, port, err := net.SplitHostPort(value); err != nil || !isPort(port) {
		k.wrong(name, "is not an address", "write it as 127.0.0.1:8080, [::1]:8080 or :8080")
	}
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err != nil || host == "localhost" || ip != nil && ip.IsLoopback()
}

func (k *checker) file(name, path, remedy string) (content []byte) {
	if path == "" {
		return nil
	}
	content, err := readFile(path)
	var pathErr *fs.PathError
	switch {
	case err == nil:
		return content
	case errors.Is(err, fs.ErrNotExist):
		k.wrong(name, "names no file", remedy)
	case errors.As(err, &pathErr):
		k.wrong(name, "names a file that cannot be read: "+pathErr.Err.Error(), remedy)
	default:
		k.wrong(name, "names a file that cannot be read: "+err.Error(), remedy)
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limits.CertificateFileBytes))
}

func (k *checker) certificates(name, path string) {
	const remedy = "give the path of a PEM file with CA certificates"
	content := k.file(name, path, remedy)
	if path != "" && !k.bad[Prefix+"_"+name] && !x509.NewCertPool().AppendCertsFromPEM(content) {
		k.wrong(name, "names a file without a certificate", remedy)
	}
}

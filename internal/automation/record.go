package automation

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"orderbridge/bridge/record"
)

// The events that contract B sends (B12).
var eventTypes = []string{"OrderCreated", "OrderAccepted", "OrderSigned", "OrderRejected", "OrderCanceled",
	"OrderExpired", "OrderDueDateUpdated"}

// label marks a record as one of a file, and says of which version.
const label = "automation-file"

// off is the label of a record that the file has switched off.
const off = "off"

// A record is the subscription record of a file.
type fileRecord struct {
	TargetURL         string            `json:"targetURL"`
	Method            string            `json:"method"`
	EventTypes        []string          `json:"eventTypes"`
	Payload           string            `json:"payload"`
	Key               string            `json:"key,omitempty"`
	Secret            string            `json:"secret,omitempty"`
	TLS               *recordTLS        `json:"tls,omitempty"`
	ConnectionTimeout string            `json:"connectionTimeout"`
	Timeout           string            `json:"timeout"`
	Description       string            `json:"description"`
	Labels            map[string]string `json:"labels,omitempty"`

	keyIsTrust    bool // B11: sslKeyFile stands in trustFile
	trustsUnasked bool // B8: no ssl key is given
}

type recordTLS struct {
	TrustAll    bool   `json:"trustAll,omitempty"`
	TrustFile   string `json:"trustFile,omitempty"`
	KeyFile     string `json:"keyFile,omitempty"`
	KeyPassword string `json:"keyPassword,omitempty"`
}

// fields tells which key of the section a member of the record comes from.
var fields = map[string]string{
	"targetURL": "endpoint", "timeout": "connectionTimeout",
	"tls.trustAll": "useSslTrustAll", "tls.trustFile": "sslTrustFile", "tls.keyFile": "sslKeyFile",
	"tls.keyPassword": "sslKeyPassword",
}

// makeRecord turns the section into a record. What is wrong is told in the
// section's own terms.
func makeRecord(s *section, o Options) (*fileRecord, record.Problems) {
	var problems record.Problems
	wait := defaultTimeout
	r := &fileRecord{Method: "POST", EventTypes: eventTypes, Payload: "notification", ConnectionTimeout: "PT30S",
		Timeout:     "PT30S",
		Description: "made from the section webHook of " + plain(filepath.Base(o.Path))}
	if s.connectionTimeout != nil {
		d, err := record.ParseDuration(*s.connectionTimeout)
		switch {
		case err == nil && !strings.HasPrefix(*s.connectionTimeout, "P"):
			err = fmt.Errorf("duration %s: is not an ISO-8601 duration; write it like PT30S",
				strconv.Quote(*s.connectionTimeout))
		case err == nil && d == 0:
			err = fmt.Errorf("duration %s: must be more than zero", strconv.Quote(*s.connectionTimeout))
		}
		if err != nil {
			problems = append(problems, fail("connectionTimeout", "%s", err)...)
		} else {
			wait, r.ConnectionTimeout = d, *s.connectionTimeout
		}
	}
	if wait > defaultTimeout { // it is the bound of the connection: the answer may take as long as before
		r.Timeout = r.ConnectionTimeout
	}
	if !s.enabled {
		return r, problems
	}
	if s.endpoint == nil {
		problems = append(problems,
			fail("endpoint", "is required when enabled is true: the URL that the events are sent to")...)
		return nil, problems
	}
	r.TargetURL, r.Key, r.Secret = *s.endpoint, value(s.key), value(s.secret)
	for _, m := range []struct {
		name  string
		value *string
	}{{"key", s.key}, {"secret", s.secret}, {"sslKeyPassword", s.sslKeyPassword}} {
		if m.value != nil && *m.value == "" {
			problems = append(problems, fail(m.name, "is empty; give a value or leave it out")...)
		}
	}
	if u, err := url.Parse(r.TargetURL); err == nil && strings.EqualFold(u.Scheme, "https") {
		var wrong record.Problems
		r.TLS, wrong = r.makeTLS(s, o)
		problems = append(problems, wrong...)
	}
	return r, problems
}

// makeTLS is B8 to B11: nil is verification against the system's authorities.
func (r *fileRecord) makeTLS(s *section, o Options) (*recordTLS, record.Problems) {
	var problems record.Problems
	file := func(name string, path *string) string {
		if path == nil {
			return ""
		}
		in, err := inSecretsDir(*path, o)
		if err != nil {
			problems = append(problems, fail(name, "%s", err)...)
		}
		return in
	}
	key, trust := file("sslKeyFile", s.sslKeyFile), file("sslTrustFile", s.sslTrustFile)
	t := &recordTLS{TrustFile: trust, KeyPassword: value(s.sslKeyPassword)}
	given := s.useSslTrustAll != nil || s.useSslClientCert != nil || s.sslTrustFile != nil || s.sslKeyFile != nil ||
		s.sslKeyPassword != nil
	r.trustsUnasked = !given
	t.TrustAll = !given || s.useSslTrustAll != nil && *s.useSslTrustAll
	switch {
	case s.useSslClientCert != nil && *s.useSslClientCert:
		t.KeyFile = key
		if s.sslKeyFile == nil {
			problems = append(problems, fail("sslKeyFile",
				"is required when useSslClientCert is true: the file of the client's certificate and key")...)
		}
	case s.sslKeyFile != nil && !t.TrustAll && s.sslTrustFile == nil:
		t.TrustFile, r.keyIsTrust = key, true
	}
	if *t == (recordTLS{}) {
		return nil, problems
	}
	return t, problems
}

// inSecretsDir returns the name by which a record may name the file: that of a
// file right in the secrets directory.
func inSecretsDir(path string, o Options) (string, error) {
	if path == "" {
		return "", errors.New("is empty; give the path of a file or leave it out")
	}
	if path == filepath.Base(path) {
		return path, nil
	}
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join(filepath.Dir(o.Path), full)
	}
	const remedy = "set ORDERBRIDGE_SECRETS_DIR to its directory, or put it there"
	if o.SecretsDir == "" {
		return "", fmt.Errorf("names the file %s, but there is no secrets directory; %s", strconv.Quote(path), remedy)
	}
	dir, err := os.Stat(filepath.Dir(full))
	if err != nil {
		return "", fmt.Errorf("names the file %s, which does not exist", strconv.Quote(path))
	}
	secrets, err := os.Stat(o.SecretsDir)
	if err != nil || !os.SameFile(dir, secrets) {
		return "", fmt.Errorf("names the file %s, which does not lie in the secrets directory; %s", strconv.Quote(path),
			remedy)
	}
	return filepath.Base(full), nil
}

// references are what the record names that does not stand in it, as references.
func (r *fileRecord) references() (list []string) {
	values := []string{r.Key, r.Secret}
	if r.TLS != nil {
		values = append(values, r.TLS.KeyPassword)
		if r.TLS.KeyFile != "" {
			list = append(list, record.RefFile+r.TLS.KeyFile)
		}
	}
	for _, v := range values {
		if record.IsReference(v) {
			list = append(list, v)
		}
	}
	return list
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func plain(s string) string { return strings.Trim(strconv.Quote(s), `"`) }

// check holds the record against the operator's policy and the files that it
// names; problems speak of the section.
func (r *fileRecord) check(o Options) record.Problems {
	s, problems := r.judge(o)
	if s != nil && o.Check != nil {
		for _, p := range o.Check(s) {
			p.Warning = false // a file that cannot be used is refused
			problems = append(problems, p)
		}
	}
	var out record.Problems
	for _, p := range problems {
		name := cmp.Or(fields[p.Field], p.Field)
		if r.keyIsTrust && p.Field == "tls.trustFile" {
			name = "sslKeyFile"
		}
		if name != "" {
			p.Field = sectionName + "." + name
		}
		p.Message = members.Replace(p.Message)
		if p.Field == sectionName+".useSslTrustAll" && !p.Warning {
			p.Message = r.untrusted()
		}
		if !slices.ContainsFunc(out, func(q record.Problem) bool { return q.Field == p.Field }) {
			out = append(out, p)
		}
	}
	return out
}

// judge is what is wrong with the record; the subscription is nil where another
// judges than the policy.
func (r *fileRecord) judge(o Options) (*record.Subscription, record.Problems) {
	if o.Judge != nil {
		return nil, o.Judge(r.json())
	}
	return record.Parse(o.ID, r.json(), o.Policy)
}

// untrusted tells that the operator does not permit B8, and what to do.
func (r *fileRecord) untrusted() string {
	const remedy = "set it to false, so that certificates are verified, or let the operator permit it with ORDERBRIDGE_ALLOW_TRUST_ALL=true"
	if r.trustsUnasked {
		return "is not given, nor is any other ssl key: then every certificate would be accepted, as it always was; " +
			remedy
	}
	return "is true; " + remedy
}

// members names the keys of the section in the messages of others.
var members = strings.NewReplacer("tls.keyPassword", "sslKeyPassword", "tls.keyFile", "sslKeyFile", "tls.trustFile",
	"sslTrustFile",
	"tls.trustAll", "useSslTrustAll", "trustFile", "sslTrustFile", "tls.clientCert", "sslKeyFile")

// fingerprint tells versions of the file apart; no secret can be guessed from it.
func (r *fileRecord) fingerprint() string {
	c := *r
	c.Labels, c.Key, c.Secret = nil, "", ""
	if c.TLS != nil {
		t := *c.TLS
		t.KeyPassword = ""
		c.TLS = &t
	}
	sum := sha256.Sum256(c.json())
	return hex.EncodeToString(sum[:8])
}

func (r *fileRecord) json() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil { //nolint:gosec // the record is where its secrets belong
		panic(err) // it holds strings and booleans only
	}
	return bytes.TrimSpace(b.Bytes())
}

func isOff(stored []byte) bool {
	var r struct {
		Status string `json:"status"`
	}
	return json.Unmarshal(stored, &r) == nil && r.Status == "deactivated"
}

// switchedOff is the record, deactivated by the file.
func switchedOff(stored []byte) ([]byte, error) {
	var members map[string]any
	if err := json.Unmarshal(stored, &members); err != nil {
		return nil, err
	}
	members["status"] = "deactivated"
	if labels, ok := members["labels"].(map[string]any); ok {
		labels[label] = off
	}
	return json.Marshal(members)
}

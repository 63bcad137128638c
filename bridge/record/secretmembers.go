package record

import (
	"bytes"
	"errors"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// SecretMember is a member of a record that is a secret, or holds some.
type SecretMember struct {
	Path string // "key", "auth.password"
	// GoesTo are the members whose URLs name the hosts that get the secret, or what is made of it.
	GoesTo []string
	// ByName: the member is an object with a secret under each name (headers).
	ByName bool
	// Core: the other members of its object only say something of it (signing), so that what is true of the secret is
	// true of the object: an update that leaves it out keeps all of it.
	Core bool
}

// SecretMembers are the members of a record that are secrets, or hold some, each where it stands; those of an object
// of which nothing may be shown count as one.
func SecretMembers() (list []SecretMember) {
	var collect func(o *memberSet)
	collect = func(o *memberSet) {
		for _, m := range o.members {
			switch visible := m.visibility(); {
			case visible == byPart:
				collect(m.object)
			case visible == hidden:
				list = append(list, SecretMember{m.path, m.targets(), m.secrecy == secretsByName, m.core})
			}
		}
	}
	collect(recordObject)
	return list
}

var theTarget = []string{"targetURL"}

func (m *member) targets() []string {
	if m == nil || m.goesTo == nil {
		return theTarget
	}
	return m.goesTo
}

// SecretGoesTo are the members whose URLs name the hosts that get the secret of a field of a record ("headers.X-Key",
// "signing.secrets[0]").
func SecretGoesTo(field string) []string { return slices.Clone(memberAt[field].targets()) }

// SecretHosts are the hosts that get the secret of a field, or what is made of it, as of SecretHost.
func (s *Subscription) SecretHosts(field string) (hosts []string) {
	for _, at := range memberAt[field].targets() {
		switch at {
		case "targetURL":
			hosts = append(hosts, SecretHost(s.TargetURL))
		case "auth.tokenURL":
			hosts = append(hosts, SecretHost(s.More.Auth.tokenURL()))
		}
	}
	return hosts
}

// SecretValue is a secret of a record: the value itself or a reference.
type SecretValue struct {
	Field string // "auth.password", "signing.secrets[0]", "headers.X-Key"
	Value Secret
}

// Secrets are those of the record, in the order of the members.
func (s *Subscription) Secrets() (list []SecretValue) {
	if s.More == nil {
		return nil
	}
	for _, m := range secretsIn {
		m.secrets(s.More, func(suffix string, value Secret) { list = append(list, SecretValue{m.path + suffix, value}) })
	}
	return list
}

// Hosts are all that the record connects to, as of SecretHost, that of the target first: they see its client
// certificate.
func (s *Subscription) Hosts() []string {
	hosts := []string{SecretHost(s.TargetURL)}
	if s.More != nil {
		if token := s.More.Auth.tokenURL(); token != "" {
			hosts = append(hosts, SecretHost(token))
		}
	}
	return hosts
}

// ReplaceSecrets is the record with each value of a secret member that is a
// string and not empty replaced by what replace returns for it; all else stays
// as it stands, members in their order. Every header counts as a secret, as it
// does where records are shown. It is nil if nothing was replaced. The error is
// that of replace, or says that data is not a JSON object.
func ReplaceSecrets(data []byte, replace func(field, value string) (string, error)) ([]byte, error) {
	doc := gjson.ParseBytes(data)
	if !gjson.ValidBytes(data) || !doc.IsObject() {
		return nil, errors.New("the record is not a JSON object")
	}
	w := secretWriter{replace: replace}
	w.members(doc, recordObject)
	if w.err != nil || !w.changed {
		return nil, w.err
	}
	return w.out.Bytes(), nil
}

type secretWriter struct {
	out     bytes.Buffer
	replace func(field, value string) (string, error)
	changed bool
	err     error
}

func (w *secretWriter) members(v gjson.Result, o *memberSet) {
	redactObject(&w.out, v, func(name string, v gjson.Result) {
		if m := o.byName[name]; m != nil {
			w.member(m, v)
		} else {
			w.out.WriteString(v.Raw)
		}
	})
}

func (w *secretWriter) member(m *member, v gjson.Result) {
	switch {
	case m.object != nil && v.IsObject():
		w.members(v, m.object)
	case m.secrecy == secretText:
		w.value(m.path, v)
	case m.secrecy == secretsByName && v.IsObject():
		redactObject(&w.out, v, func(name string, v gjson.Result) { w.value(m.path+"."+name, v) })
	case m.secrecy == secretList && v.IsArray():
		w.out.WriteByte('[')
		for i, item := range v.Array() {
			if i > 0 {
				w.out.WriteByte(',')
			}
			w.value(m.path+"["+strconv.Itoa(i)+"]", item)
		}
		w.out.WriteByte(']')
	default:
		w.out.WriteString(v.Raw)
	}
}

func (w *secretWriter) value(field string, v gjson.Result) {
	if v.Type == gjson.String && v.Str != "" && w.err == nil {
		text, err := w.replace(field, v.Str)
		if w.err = err; err == nil && text != v.Str {
			w.changed = true
			w.out.WriteString(quoteJSON(text))
			return
		}
	}
	w.out.WriteString(v.Raw)
}

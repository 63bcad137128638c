package record

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A record that names the wrong kind is shown, sealed and kept as well: what is
// secret in one kind is secret in all.
func TestAuthKindsAgreeOnWhatIsSecret(t *testing.T) {
	t.Parallel()
	secrecies := map[string]secrecy{}
	for _, kind := range auths.byName {
		for _, m := range kind.object.members {
			if known, ok := secrecies[m.name]; ok && known != m.secrecy {
				t.Errorf("auth.%s is a secret in one kind and none in another", m.name)
			}
			secrecies[m.name] = m.secrecy
		}
		if kind.header != nil && kind.grant != nil {
			t.Errorf("%s has both a header of its own and a token", kind.name)
		}
	}
}

func TestAuthKinds(t *testing.T) {
	t.Parallel()
	resolve := func(member string, value Secret) (string, error) {
		if value == "" {
			return "", errors.New(member + ": refers to nothing")
		}
		return strings.TrimPrefix(value.Reveal(), RefEnv), nil
	}
	for _, tt := range []struct {
		name   string
		auth   *Auth
		header HeaderField
		grant  Grant
		err    string
	}{
		{name: "none"},
		{name: "noauth", auth: &Auth{Type: "noauth"}},
		{name: "basic", auth: &Auth{Type: "basic", Username: "u", Password: "env:p"},
			header: HeaderField{"Authorization", "Basic dTpw", []string{"dTpw", "p"}}},
		{name: "bearer", auth: &Auth{Type: "bearer", Token: "env:t"}, header: HeaderField{"Authorization", "Bearer t", []string{"t"}}},
		{name: "bearer with a space", auth: &Auth{Type: "bearer", Token: "a b"}, err: "auth.token: refers to what cannot stand in a header"},
		{name: "bearer of nothing", auth: &Auth{Type: "bearer"}, err: "auth.token: refers to nothing"},
		{name: "client_credential", auth: &Auth{Type: "client_credential", ClientID: "c d", ClientSecret: "s", TokenURL: "https://t/long-and-secret-path", Audience: "a"},
			grant: Grant{ClientID: "c d", ClientSecret: "s", TokenURL: "https://t/long-and-secret-path", Parameters: map[string][]string{"audience": {"a"}},
				Hidden: []string{"s", "YytkOnM="}}},
		{name: "client_credential of nothing", auth: &Auth{Type: "client_credential"}, err: "auth.clientSecret: refers to nothing"},
		{name: "unknown", auth: &Auth{Type: "digest"}, err: `auth type "digest" is not supported`},
	} {
		header, err := tt.auth.Header(resolve)
		grant, needed := Grant{}, false
		if err == nil {
			grant, needed, err = tt.auth.Grant(resolve)
		}
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %s", tt.name, err, tt.err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case needed != (tt.grant.ClientID != ""):
			t.Errorf("%s: a token is needed: %v", tt.name, needed)
		default:
			if diff := cmp.Diff(tt.header, header) + cmp.Diff(tt.grant, grant); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tt.name, diff)
			}
		}
	}
}

func TestSecretsOfARecord(t *testing.T) {
	t.Parallel()
	s, problems := Parse("erp", []byte(`{"targetURL":"https://h:8443/","key":"k","headers":{"X-B":"b","X-A":"a"},"signing":{"secrets":["sealed:YQ","sealed:Yg"]},
		"auth":{"type":"client_credential","clientID":"c","clientSecret":"s","tokenURL":"https://t/"},"tls":{"keyFile":"k","keyPassword":"p"}}`), Policy{})
	if s == nil {
		t.Fatal(problems)
	}
	var got []string
	for _, v := range s.Secrets() {
		got = append(got, v.Field+" "+v.Value.Reveal()+" to "+strings.Join(s.SecretHosts(v.Field), " and "))
	}
	want := []string{
		"key k to h:8443", "signing.secrets[0] sealed:YQ to h:8443", "signing.secrets[1] sealed:Yg to h:8443", "auth.clientSecret s to t and h:8443",
		"tls.keyPassword p to h:8443", "headers.X-A a to h:8443", "headers.X-B b to h:8443",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"h:8443", "t"}, s.Hosts()); diff != "" {
		t.Errorf("hosts (-want +got)\n%s", diff)
	}
}

func TestSecretMembers(t *testing.T) {
	t.Parallel()
	target := []string{"targetURL"}
	want := []SecretMember{
		{"key", target, false, false}, {"secret", target, false, false}, {"signing.secrets", target, false, true}, {"auth.password", target, false, false}, {"auth.token", target, false, false},
		{"auth.clientSecret", []string{"auth.tokenURL", "targetURL"}, false, false}, {"tls.keyPassword", target, false, false}, {"headers", target, true, false},
	}
	if diff := cmp.Diff(want, SecretMembers()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

package record

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// Auth is how an attempt authenticates itself to the endpoint. Each secret of
// a record, here and elsewhere, is the value itself or a reference (IsReference).
type Auth struct {
	Type string // of authKinds, but those that send nothing

	Username string // basic; may be empty
	Password Secret // basic; may be empty

	Token Secret // bearer

	ClientID     string   // client_credential
	ClientSecret Secret   // client_credential
	TokenURL     string   // client_credential
	Scopes       []string // client_credential; nil: none are asked for
	Audience     string   // client_credential; "": none is asked for
}

// An authKind is one way to authenticate requests. All that the program knows of it stands in its declaration
// (authKinds).
type authKind struct {
	name    string
	members []member // beside type
	// header makes what the header field of each request holds, and tells what of it must not be shown. nil: it holds
	// a token that is fetched (grant), or there is none.
	header func(a *Auth, secret Resolve) (text string, hidden []string, err error)
	// grant says how to fetch the token. nil: none is needed.
	grant func(a *Auth, secret Resolve) (Grant, error)

	object *memberSet // type and members
}

// Resolve gives the value of a secret member: itself, or what its reference stands for.
type Resolve func(member string, value Secret) (string, error)

// HeaderField is a header field that authenticates requests.
type HeaderField struct {
	Name, Value string
	Hidden      []string // made of secrets: must not be shown
}

// Grant says how an access token is fetched by client credentials (OAuth 2.0). It is sent in the header Authorization,
// as Bearer.
type Grant struct {
	ClientID, ClientSecret string
	TokenURL               string
	Scopes                 []string
	Parameters             url.Values // further ones of the request
	Hidden                 []string   // made of secrets: must not be shown
}

func authKinds() []*authKind {
	return []*authKind{{name: "noauth"}, basicAuth(), bearerAuth(), clientCredential()}
}

// basicAuth is HTTP Basic (RFC 7617).
func basicAuth() *authKind {
	return &authKind{
		name: "basic",
		members: []member{
			{
				name:    "username",
				value:   keep(username, func(r *recordReader, s string) { r.s.More.Auth.Username = s }),
				about:   "May be empty.",
				example: `"bridge"`,
				also:    "user login",
			},
			{
				name:    "password",
				value:   secretOrEmpty(inAuth(func(a *Auth) *Secret { return &a.Password })),
				about:   "A secret; may be empty.",
				example: `"env:ORDERBRIDGE_SECRET_PASSWORD"`,
				also:    "pass pwd",
			},
		},
		header: func(a *Auth, secret Resolve) (string, []string, error) {
			password, err := secret("auth.password", a.Password)
			credentials := base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + password))
			return "Basic " + credentials, []string{credentials, password}, err
		},
	}
}

// bearerAuth is a token that does not change (RFC 6750).
func bearerAuth() *authKind {
	return &authKind{
		name: "bearer",
		members: []member{
			{
				name:    "token",
				value:   bearerToken,
				about:   "A secret, sent as it stands behind Bearer.",
				example: `"env:ORDERBRIDGE_SECRET_TOKEN"`,
			},
		},
		header: func(a *Auth, secret Resolve) (string, []string, error) {
			token, err := secret("auth.token", a.Token)
			if err == nil && !IsToken(token) {
				err = Problem{Field: "auth.token",
					Message: "refers to what cannot stand in a header; use visible ASCII without spaces"}
			}
			return "Bearer " + token, []string{token}, err
		},
	}
}

// clientCredential is a token that is fetched (RFC 6749, 4.4).
func clientCredential() *authKind {
	return &authKind{
		name: "client_credential",
		members: []member{
			{
				name:    "clientID",
				value:   keep(text(limits.RecordText), func(r *recordReader, s string) { r.s.More.Auth.ClientID = s }),
				example: `"bridge"`,
				also:    "client_id",
			},
			{
				name:    "clientSecret",
				value:   secretFor(inAuth(func(a *Auth) *Secret { return &a.ClientSecret }), "auth.tokenURL", "targetURL"),
				about:   "A secret, sent to the host of tokenURL only.",
				example: `"env:ORDERBRIDGE_SECRET_CLIENT"`,
				also:    "client_secret",
			},
			{
				name:  "tokenURL",
				value: keep(plainURL, func(r *recordReader, s string) { r.s.More.Auth.TokenURL = s }),
				about: "The OAuth 2.0 token endpoint (grant_type client_credentials); http only where the " +
					"operator permits it.",
				example: `"https://login.example.com/token"`,
				also:    "token_url",
			},
			{
				name:     "scopes",
				value:    keep(scopes, func(r *recordReader, s []string) { r.s.More.Auth.Scopes = s }),
				example:  `["orders"]`,
				also:     "scope",
				optional: true,
			},
			{
				name:  "audience",
				value: keep(text(limits.RecordURL), func(r *recordReader, s string) { r.s.More.Auth.Audience = s }),
				about: "Sent to the token endpoint as the parameter audience, for servers that want to know whom " +
					"the token is for.",
				optional: true,
			},
		},
		grant: func(a *Auth, secret Resolve) (Grant, error) {
			value, err := secret("auth.clientSecret", a.ClientSecret)
			g := Grant{ClientID: a.ClientID, ClientSecret: value, TokenURL: a.TokenURL, Scopes: a.Scopes}
			if a.Audience != "" {
				g.Parameters = url.Values{"audience": {a.Audience}}
			}
			credentials := url.QueryEscape(a.ClientID) + ":" + url.QueryEscape(value)
			g.Hidden = []string{value, base64.StdEncoding.EncodeToString([]byte(credentials))}
			g.Hidden = append(g.Hidden, URLSecrets(a.TokenURL)...)
			return g, err
		},
	}
}

// username may be empty: some receivers take a token as the password.
var username = form[string]{
	schema: fragment{{"type", "string"}, {"maxLength", limits.RecordText}, {"pattern", `^[^\x00-\x1f\x7f-\x9f:]*$`}},
	read: func(r *recordReader, field string, v gjson.Result) (string, bool) {
		if v.Type == gjson.String && v.Str == "" {
			return "", true
		}
		s, ok := r.text(field, v, limits.RecordText)
		if ok && strings.Contains(s, ":") {
			r.fail(field, "is %s; basic authentication allows no colon in it", quote(s))
		}
		return s, ok
	},
}

// secretOrEmpty is a secret that may be empty: some receivers take a token as the user name.
func secretOrEmpty(at func(*More) *Secret) value {
	v := secretAt(at)
	read := v.read
	v.schema = fragment{{"anyOf", []any{fragment{{"const", ""}}, v.schema}}}
	v.read = func(r *recordReader, field string, v gjson.Result) {
		if v.Type != gjson.String || v.Str != "" {
			read(r, field, v)
		}
	}
	return v
}

var bearerToken = func() value {
	v := secretAt(inAuth(func(a *Auth) *Secret { return &a.Token }))
	read := v.read
	v.schema = append(v.schema, pair{"pattern", `^[!-~]+$`})
	v.read = func(r *recordReader, field string, v gjson.Result) {
		read(r, field, v)
		if s := r.s.More.Auth.Token.Reveal(); s != "" && !IsReference(s) && !IsToken(s) {
			r.fail(field, "holds what cannot stand in a header; use visible ASCII without spaces")
		}
	}
	return v
}()

// IsToken reports whether s can stand behind "Bearer ": visible ASCII.
func IsToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

var scopes = form[[]string]{
	schema: listSchema(limits.RecordList, fragment{
		{"type", "string"}, {"minLength", 1}, {"maxLength", limits.RecordName}, {"pattern", `^[!#-\[\]-~]+$`},
	}),
	read: func(r *recordReader, field string, v gjson.Result) ([]string, bool) {
		return r.list(field, v, limits.RecordName, func(s string) string {
			if !IsToken(s) || strings.ContainsAny(s, `"\`) {
				return "is not a valid scope; use visible ASCII without spaces, quotes and backslashes"
			}
			return ""
		}), true
	},
}

// inAuth is a place in the authentication of a record; nil if it has none.
func inAuth(at func(*Auth) *Secret) func(*More) *Secret {
	return func(more *More) *Secret {
		if more.Auth == nil {
			return nil
		}
		return at(more.Auth)
	}
}

// auths are the kinds, completed; set by authValue.
var auths struct {
	byName map[string]*authKind
	names  string // sorted, as in a message
}

// authValue is the member auth: an object whose members its type tells.
func authValue() value {
	auths.byName = map[string]*authKind{}
	all := &memberSet{byName: map[string]*member{}}
	var names []string
	var alternatives []any
	for _, kind := range authKinds() {
		members := append([]member{{name: "type", value: value{
			schema: fragment{{"const", kind.name}},
			read:   func(*recordReader, string, gjson.Result) {}, // was read before the other members
		}, example: `"bearer"`, optional: true}}, kind.members...)
		for i := range members {
			if !members[i].optional {
				members[i].required = "is required with type " + kind.name
			}
		}
		kind.object = newMemberSet("auth.", members)
		for _, m := range kind.object.members {
			if all.byName[m.name] == nil {
				all.add(m)
			}
		}
		auths.byName[kind.name] = kind
		names = append(names, kind.name)
		alternatives = append(alternatives, kind.object.properties())
	}
	slices.Sort(names)
	auths.names = strings.Join(names, ", ")
	return value{
		schema: fragment{{"type", "object"}, {"required", []string{"type"}}, {"oneOf", alternatives}},
		object: all,
		read:   (*recordReader).auth,
	}
}

func (r *recordReader) auth(field string, v gjson.Result) {
	if !r.is(field, v, "an object") {
		return
	}
	given := v.Get("type")
	if !given.Exists() {
		r.fail(field+".type", "is required: one of %s", auths.names)
		return
	}
	kind, known := auths.byName[given.String()]
	if given.Type != gjson.String || !known {
		r.fail(field+".type", "is %s; it must be one of %s", quote(given.String()), auths.names)
		return
	}
	if kind.header != nil || kind.grant != nil {
		r.more().Auth = &Auth{Type: kind.name}
	}
	r.object(field+".", v, kind.object)
}

// sets is the name of the header that authenticates requests.
func (a *Auth) sets() string { return "Authorization" }

// Header makes the header field that authenticates each request; its name is "" if there is none, or if it is a
// token's (Grant). The error is one of secret, or a Problem.
func (a *Auth) Header(secret Resolve) (HeaderField, error) {
	if a == nil || a.Type == "" {
		return HeaderField{}, nil
	}
	kind, known := auths.byName[a.Type]
	if !known {
		return HeaderField{}, errors.New("auth type " + strconv.Quote(a.Type) + " is not supported")
	}
	if kind.header == nil {
		return HeaderField{}, nil
	}
	text, hidden, err := kind.header(a, secret)
	return HeaderField{a.sets(), text, hidden}, err
}

// Grant says how the token of requests is fetched; false if they need none. The error is one of secret.
func (a *Auth) Grant(secret Resolve) (g Grant, needed bool, err error) {
	if a == nil {
		return Grant{}, false, nil
	}
	kind, known := auths.byName[a.Type]
	if !known || kind.grant == nil {
		return Grant{}, false, nil
	}
	g, err = kind.grant(a, secret)
	return g, true, err
}

// tokenURL is the URL of the token server that requests need, "" if they need none.
func (a *Auth) tokenURL() string {
	if a == nil || auths.byName[a.Type] == nil || auths.byName[a.Type].grant == nil {
		return ""
	}
	return a.TokenURL
}

package api

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/fnv"
	"net/http"
	"net/url"
	"time"

	"orderbridge/internal/callers"
	"orderbridge/internal/limits"
	"orderbridge/internal/openid"
	"orderbridge/internal/store"
)

// loginPath is for whoever has not logged in: GET tells how one can, POST begins a
// login at the OpenID provider, PUT ends it with what the provider has sent the page
// back with. The page itself is the redirect URI: so all requests come from our own
// page, no cookie has to pass from one site to another, and a login that was not begun
// in this window is not taken up by it.
const (
	loginPath    = "/api/login"
	loginCookie  = "orderbridge_login"
	personPrefix = "p."
	// What the keys are derived for, beside the settings of the provider.
	sealsPersons, sealsAttempts = "orderbridge session of a person", "orderbridge login"
)

// loginWays is how one can log in.
type loginWays struct {
	Provider string `json:"provider,omitempty"` // the OpenID provider's host, absent: there is none
}

// begunLogin is a login under way.
type begunLogin struct {
	URL   string `json:"url"`   // where the browser goes
	State string `json:"state"` // what it comes back with: the page remembers it
}

// endedLogin is what the provider has sent the page back with.
type endedLogin struct {
	Answer string `json:"answer"` // the query of the page's address
}

// login answers a stranger.
func (a *API) login(w http.ResponseWriter, r *http.Request) {
	client := callers.Network(a.access.proxies.Client(r))
	if allowed := a.methods(r); allowed != nil {
		w.Header().Set("Allow", "GET, POST, PUT")
		refuse(w, r, http.StatusMethodNotAllowed, shortMethod(r)+" is not possible here")
		return
	}
	if r.Method == http.MethodGet {
		a.mux.ServeHTTP(w, r) // it asks nobody
		return
	}
	switch {
	case a.o.Provider == nil:
		refuse(w, r, http.StatusNotFound, "no OpenID provider is set (ORDERBRIDGE_OIDC_ISSUER); log in with a token")
		return
	case r.Header.Get(consoleHeader) == "":
		refuse(w, r, http.StatusForbidden, "the header "+consoleHeader+" is missing, which only our own page sends")
		return
	case !a.access.logins.allow(client, a.o.Now()):
		a.tooMany(w, r, "too many logins came from this address")
		return
	}
	// A body that comes slowly takes no place.
	r.Body = http.MaxBytesReader(w, r.Body, limits.OpenIDBody)
	if !a.takeBody(w, r) {
		return
	}
	give, ok := a.pools.logins.Take(client.String())
	if !ok {
		a.tooMany(w, r, "too many logins of this address are under way")
		return
	}
	defer give()
	a.mux.ServeHTTP(w, r)
}

func (a *API) waysToLogIn(*http.Request) (answer, error) {
	out := loginWays{}
	if a.o.Provider != nil {
		out.Provider = a.o.Provider.Name()
	}
	return answer{body: out}, nil
}

func (a *API) beginLogin(r *http.Request) (answer, error) {
	key := a.access.providerKey(sealsAttempts)
	if key == nil {
		return answer{}, errNoKey
	}
	address, attempt, err := a.o.Provider.Begin(r.Context())
	if err != nil {
		return answer{}, say(http.StatusServiceUnavailable, err.Error())
	}
	text := seal(key, attempt)
	return answer{body: begunLogin{address, attempt.State}, cookies: []*http.Cookie{
		cookieOf(r, loginCookie, text, int(limits.OpenIDAttempt/time.Second), a.o.Provider.Secure()),
	}}, nil
}

var errNoKey = say(http.StatusServiceUnavailable, "the key of the sessions cannot be read from the bus at the moment; try again")

func (a *API) endLogin(r *http.Request) (answer, error) {
	var given endedLogin
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		return answer{}, say(http.StatusBadRequest, "the body is not {\"answer\": QUERY}")
	}
	query, err := url.ParseQuery(given.Answer)
	if err != nil {
		return answer{}, say(http.StatusBadRequest, "answer is not the query of an address")
	}
	key := a.access.providerKey(sealsAttempts)
	if key == nil {
		return answer{}, errNoKey
	}
	secure := a.o.Provider.Secure()
	var attempt openid.Attempt
	if c, err := r.Cookie(cookieName(r, loginCookie, secure)); err != nil || !unseal(key, c.Value, &attempt) {
		attempt = openid.Attempt{}
	}
	person, err := a.o.Provider.End(r.Context(), attempt, query)
	var refused *openid.Refusal
	switch {
	case errors.As(err, &refused):
		a.access.failed.WithLabelValues("provider").Inc()
		return answer{}, say(http.StatusForbidden, refused.Reason)
	case err != nil:
		return answer{}, say(http.StatusServiceUnavailable, err.Error())
	}
	if person.Tenant != "" && a.o.NoTenants {
		return answer{}, say(http.StatusForbidden, "you have the role of a tenant, but ORDERBRIDGE_SUBJECT_LAYOUT tells no tenant; let the operator set ORDERBRIDGE_TENANT_SUBJECTS")
	}
	s := newSession([8]byte{}, a.o.Now(), secure)
	s.person = &person
	if key = a.access.providerKey(sealsPersons); key == nil {
		return answer{}, errNoKey
	}
	out := a.enter(r, known{a.access.personCaller(person), s, key})
	out.cookies = append(out.cookies, cookieOf(r, loginCookie, "", -1, secure))
	return out, nil
}

// personCaller is what somebody may do who has logged in at the provider: the same
// as somebody with a token of that role.
func (a *access) personCaller(p openid.Person) caller {
	c := caller{name: "openid " + p.Subject, scope: store.Everything(), reads: p.Reads}
	if p.Name != "" {
		c.name = "openid " + p.Name + " (" + p.Subject + ")"
	}
	c.share = c.name
	if p.Tenant != "" {
		c.scope, c.share = store.OfTenant(p.Tenant), "tenant "+p.Tenant
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(cmp.Or(p.Tenant, p.Subject)))
	c.outgo = a.outgo[h.Sum32()%limits.OpenIDOutgo]
	return c
}

// sealedSession is a person's session as its cookie holds it.
type sealedSession struct {
	Person openid.Person `json:"p"`
	Begun  int64         `json:"b"` // ms since 1970
	Used   int64         `json:"u"` // s since 1970
	ID     []byte        `json:"i"`
}

func (s session) personText(key []byte) string {
	return personPrefix + seal(key, sealedSession{*s.person, s.begun.UnixMilli(), s.used.Unix(), s.id[:]})
}

func (a *access) readPerson(text string, now time.Time) *known {
	key := a.providerKey(sealsPersons)
	var x sealedSession
	if key == nil || !unseal(key, text, &x) {
		return nil
	}
	s := session{person: &x.Person, begun: time.UnixMilli(x.Begun), used: time.Unix(x.Used, 0)}
	copy(s.id[:], x.ID)
	if s.ended(now) {
		return nil
	}
	return &known{a.personCaller(x.Person), s, key}
}

// providerKey is the key for a purpose, the same one in each replica: another one
// where another provider, client or claim is set, which ends all sessions of the one
// before. nil where there is no provider, or the bus has not been read.
func (a *access) providerKey(purpose string) []byte {
	if a.provider == nil {
		return nil
	}
	return a.derive(purpose + "\x00" + a.provider.Settings())
}

// sealer encrypts and vouches.
func sealer(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // of a length that is constant
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

func seal(key []byte, value any) string {
	var data bytes.Buffer
	text := json.NewEncoder(&data)
	text.SetEscapeHTML(false) // browsers drop a cookie of more than 4,096 bytes
	if err := text.Encode(value); err != nil {
		panic(err) // of texts and numbers
	}
	return base64.RawURLEncoding.EncodeToString(sealer(key).Seal(nil, nil, data.Bytes(), nil)) //nolint:gosec // it makes a nonce itself
}

// unseal is false for what was not sealed with the key.
func unseal(key []byte, text string, value any) bool {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return false
	}
	data, err := sealer(key).Open(nil, nil, sealed, nil)
	return err == nil && json.Unmarshal(data, value) == nil
}

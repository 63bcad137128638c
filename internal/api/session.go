package api

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"orderbridge/internal/limits"
	"orderbridge/internal/openid"
	"orderbridge/internal/store"
)

// A session lets a browser ask without keeping the token: POST sessionPath with the
// token answers a cookie, which stands for the token until it ends. The cookie holds
// no secret: it names the token, says when the session began and was last used, and is
// signed with a key that is made of the token itself. So every replica that knows the
// token knows its sessions, and a token that is taken out ends them.
//
// The cookie alone is worth nothing: a browser sends it to whatever else listens on
// this machine or under a name of this site, whatever its port. So each request also
// brings the session's page key, which the page alone has: it was in the answer to the
// login, and what a page keeps no page of another port reads.
const (
	sessionPath   = "/api/session"
	sessionCookie = "orderbridge_session"
	// pageHeader brings the page key, as pageParameter does where a browser lets a
	// page set no header.
	pageHeader    = "X-Orderbridge-Session"
	pageParameter = "session"
	// consoleHeader comes with each request of the console. A page of another site
	// cannot send it. Its value consoleActs says that a person caused the request:
	// only these keep a session from ending.
	consoleHeader = "X-Orderbridge-Console"
	consoleActs   = "act"
)

// session is what a cookie holds.
type session struct {
	token       [8]byte // which one, without a hint of its secret
	begun, used time.Time
	id          [8]byte        // tells sessions apart
	person      *openid.Person // who has logged in at a provider, nil: somebody with a token
	secure      bool           // it came over TLS
}

const sessionBytes = 8 + 8 + 8 + 8 + sha256.Size

// sessionKey signs the sessions of a token.
func sessionKey(secret string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "orderbridge session", sha256.Size)
	if err != nil {
		panic(err) // of lengths that are constant
	}
	return key
}

// sessionName is how a session names its token.
func sessionName(name, tenant string) (short [8]byte) {
	sum := sha256.Sum256([]byte("orderbridge token\x00" + name + "\x00" + tenant))
	copy(short[:], sum[:])
	return short
}

func newSession(token [8]byte, now time.Time, secure bool) session {
	s := session{token: token, begun: now, used: now, secure: secure}
	_, _ = rand.Read(s.id[:]) // it never fails
	return s
}

// pageKey is what the page has to bring beside the cookie.
func (s session) pageKey(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("page\x00"))
	mac.Write(s.id[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// text is the session as a cookie holds it.
func (s session) text(key []byte) string {
	if s.person != nil {
		return s.personText(key)
	}
	b := make([]byte, 0, sessionBytes)
	b = append(b, s.token[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.begun.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(s.used.Unix()))
	b = append(b, s.id[:]...)
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b))
}

// readSession finds the token of a session that has not ended at a time; nil if it
// has, or is none of ours.
func (s *tokenSet) readSession(text string, now time.Time) (*knownToken, session) {
	var found session
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != sessionBytes {
		return nil, found
	}
	signed, given := raw[:sessionBytes-sha256.Size], raw[sessionBytes-sha256.Size:]
	copy(found.token[:], signed)
	found.begun = time.UnixMilli(int64(binary.BigEndian.Uint64(signed[8:])))
	found.used = time.Unix(int64(binary.BigEndian.Uint64(signed[16:])), 0)
	copy(found.id[:], signed[24:])
	for i := range s.known {
		t := &s.known[i]
		if t.session != found.token {
			continue
		}
		mac := hmac.New(sha256.New, t.key)
		mac.Write(signed)
		if hmac.Equal(mac.Sum(nil), given) && !found.ended(now) {
			return t, found
		}
	}
	return nil, found
}

func (s session) ended(now time.Time) bool {
	// A clock that was set back would make it last for as long again.
	return s.used.Sub(now) > limits.SessionIdle || s.begun.Sub(now) > limits.SessionIdle || now.Sub(s.used) > limits.SessionIdle || now.Sub(s.begun) > s.longest()
}

func (s session) longest() time.Duration {
	if s.person != nil {
		return limits.SessionProviderTime
	}
	return limits.SessionTime
}

// cookie keeps the session in the browser.
func (s session) cookie(r *http.Request, key []byte, now time.Time) *http.Cookie {
	left := min(limits.SessionIdle, s.begun.Add(s.longest()).Sub(now))
	return cookieOf(r, sessionCookie, s.text(key), max(int(left/time.Second), 1), s.secure)
}

// cookieOf is a cookie with a value, for so many seconds; -1 takes it back. Over TLS
// it is of this host alone. Else it has no path of its own: the browser takes that of
// the API as it sees it, behind whatever prefix a proxy puts.
func cookieOf(r *http.Request, name, value string, seconds int, secure bool) *http.Cookie {
	c := &http.Cookie{Name: cookieName(r, name, secure), Value: value, MaxAge: seconds, //nolint:gosec // secure where TLS is
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode}
	if secure {
		c.Path = "/"
	}
	return c
}

// cookieName tells bridges apart that listen on ports of one host: a browser does not.
func cookieName(r *http.Request, name string, secure bool) string {
	if secure {
		return "__Host-" + name
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			return name + "_" + strconv.FormatUint(n, 10)
		}
	}
	return name
}

// overTLS tells whether the browser has reached us, or the proxy before us, over
// TLS. Its page says so; OwnPage has held it against the host.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://") ||
		strings.HasPrefix(r.Header.Get("Referer"), "https://")
}

// noted is how the session is known among those that have ended before their time.
func (s session) noted() store.Session {
	whose := "t" + hex.EncodeToString(s.token[:])
	if s.person != nil {
		sum := sha256.Sum256([]byte(s.person.Subject))
		whose = "p" + hex.EncodeToString(sum[:8])
	}
	return store.Session{Whose: whose, ID: hex.EncodeToString(s.id[:]), Begun: s.begun}
}

// known is somebody whose session it is.
type known struct {
	caller  caller
	session session
	key     []byte // that signs it
}

// sessionOf finds the session that the request carries; told is true if it carries
// one that is good no longer, or is not the page's own.
func (a *access) sessionOf(r *http.Request, now time.Time) (found *known, told bool) {
	page := r.Header.Get(pageHeader)
	if page == "" && r.URL.Path == livePath {
		page = r.URL.Query().Get(pageParameter)
	}
	for _, secure := range []bool{true, false} {
		name := cookieName(r, sessionCookie, secure)
		for i, c := range r.CookiesNamed(name) {
			if i == limits.SessionCookies {
				break
			}
			told = true
			k := a.readCookie(c.Value, now)
			if k == nil || !hmac.Equal([]byte(page), []byte(k.session.pageKey(k.key))) {
				continue
			}
			if over, err := a.ended(r.Context(), k.session.noted()); err == nil && !over {
				k.session.secure = secure
				return k, true
			}
		}
	}
	return nil, told
}

func (a *access) readCookie(text string, now time.Time) *known {
	if sealed, ok := strings.CutPrefix(text, personPrefix); ok {
		return a.readPerson(sealed, now)
	}
	token, s := a.tokens.Load().readSession(text, now)
	if token == nil {
		return nil
	}
	return &known{token.caller, s, token.key}
}

// bySession finds out whose session the request carries. It writes the cookie again
// where a person has used it.
func (a *access) bySession(w http.ResponseWriter, r *http.Request) (c *caller, given bool) {
	if isGateway(r.URL.Path) {
		return nil, false // its GET registers: a browser must not be led there
	}
	now := a.now()
	found, told := a.sessionOf(r, now)
	if found == nil || r.Method != http.MethodGet && r.Header.Get(consoleHeader) == "" {
		return nil, told
	}
	s := &found.session
	if r.Header.Get(consoleHeader) == consoleActs && now.Sub(s.used) >= limits.SessionRenew && r.Method+r.URL.Path != "DELETE"+sessionPath {
		s.used = now
		http.SetCookie(w, s.cookie(r, found.key, now))
	}
	return &found.caller, true
}

// shownSession is who has logged in, and what they may do.
type shownSession struct {
	Name    string `json:"name"`              // of the token, or of the person
	Tenant  string `json:"tenant,omitempty"`  // absent: all
	Role    string `json:"role"`              // one of the roles
	Reads   bool   `json:"reads,omitempty"`   // it changes nothing
	Idle    int    `json:"idleSeconds"`       // after so long without use the session ends
	Version string `json:"version"`           // of the program
	PageKey string `json:"pageKey,omitempty"` // after logging in: what each request brings beside the cookie
}

// The roles of a token.
const (
	roleOperator = "operator" // all tenants
	roleTenant   = "tenant"   // one tenant, as its administrator
)

// changes is false for requests that only read, whatever their method.
func changes(r *http.Request) bool {
	switch r.URL.Path {
	case "/api/v1/explain", "/api/v1/judge", sessionPath:
		return false
	case gatewayV1:
		return r.URL.RawQuery != ""
	}
	return r.Method != http.MethodGet && r.Method != http.MethodHead
}

func (a *API) show(c *caller) shownSession {
	tenant, confined := c.scope.Tenant()
	out := shownSession{Name: c.name, Tenant: tenant, Role: roleOperator, Reads: c.reads,
		Idle: int(limits.SessionIdle / time.Second), Version: a.o.Version}
	if confined {
		out.Role = roleTenant
	}
	return out
}

func (a *API) getSession(r *http.Request) (answer, error) {
	return answer{body: a.show(callerOf(r.Context()))}, nil
}

// beginSession answers a cookie to whoever has sent a token.
func (a *API) beginSession(r *http.Request) (answer, error) {
	given, ok := givenToken(r, "Bearer")
	token := a.access.tokens.Load().find(given)
	if !ok || token == nil {
		return answer{}, say(http.StatusUnauthorized, "give a token: Authorization: Bearer TOKEN")
	}
	return a.enter(r, known{token.caller, newSession(token.session, a.o.Now(), overTLS(r)), token.key}), nil
}

// enter answers whoever has logged in.
func (a *API) enter(r *http.Request, k known) answer {
	shown := a.show(&k.caller)
	shown.PageKey = k.session.pageKey(k.key)
	return answer{body: shown, cookies: []*http.Cookie{k.session.cookie(r, k.key, a.o.Now())}}
}

// ended is where a browser goes after logging out.
type ended struct {
	URL string `json:"url,omitempty"` // where the provider ends its own session, absent: nowhere
}

// endSession takes the cookie back, and ends the session so that a copy of the cookie
// is worth nothing either; with everywhere=true all sessions of the token, or person.
func (a *API) endSession(r *http.Request) (answer, error) {
	p := parameters{r: r}
	everywhere := p.word("everywhere", "true", "false") == "true"
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	out, took := ended{}, []*http.Cookie{cookieOf(r, sessionCookie, "", -1, true), cookieOf(r, sessionCookie, "", -1, false)}
	found, _ := a.access.sessionOf(r, a.o.Now())
	switch given, ok := givenToken(r, "Bearer"); {
	case ok && everywhere:
		if token := a.access.tokens.Load().find(given); token != nil {
			found = &known{session: session{token: token.session}}
		}
	case ok || found == nil:
		return answer{body: out, cookies: took}, nil
	}
	ending := found.session.noted()
	if everywhere {
		ending.ID = ""
	}
	if err := a.o.Catalog.EndSessions(r.Context(), ending, found.session.longest()); err != nil {
		a.o.Log.Warn("api: the end of a session could not be noted", "token", callerOf(r.Context()).name, "error", err)
		return answer{cookies: took}, say(http.StatusServiceUnavailable,
			"this browser is logged out, but that could not be noted on the bus: a copy of its cookie stays good until it ends")
	}
	if found.session.person != nil {
		out.URL = a.o.Provider.LogoutURL(r.Context())
	}
	return answer{body: out, cookies: took}, nil
}

// stillKnown tells whether a caller who was admitted would be admitted now.
func (a *API) stillKnown(r *http.Request, c *caller) bool {
	var now *caller
	if given, ok := givenToken(r, "Bearer"); ok {
		if token := a.access.tokens.Load().find(given); token != nil {
			now = &token.caller
		}
	} else if found, _ := a.access.sessionOf(r, a.o.Now()); found != nil {
		now = &found.caller
	}
	return now != nil && now.name == c.name && now.reads == c.reads && now.scope == c.scope
}

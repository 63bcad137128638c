package api

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/openid"
)

// Browsers drop a cookie of more than 4,096 bytes, name and attributes with it: who has
// the longest of names could log in, and would be a stranger at once.
func TestPersonsFitIntoACookie(t *testing.T) {
	t.Parallel()
	for _, letter := range []string{"x", "<", `"`, "\u00e9", `\u0085`} {
		name := strings.Repeat(letter, 1050/len(letter))
		p := openid.Person{Subject: strings.Repeat(letter, 255/len(letter)), Name: name, Role: openid.Role{Tenant: strings.Repeat("t", 64)}}
		s := newSession([8]byte{}, time.Now(), true)
		s.person = &p
		c := s.cookie(httptest.NewRequestWithContext(t.Context(), "GET", "https://bridge.example.com/", nil), bytes.Repeat([]byte{1}, 32), time.Now())
		if len(c.String()) > 4096 {
			t.Errorf("%q: the cookie has %d bytes", letter, len(c.String()))
		}
	}
}

package publishers

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// An endpoint, or its token server, may send back what it was sent: in a body, a
// status line, an error description, the name of a certificate. told is the one
// place through which all of it passes on its way to status, log, alerts and
// dead letters.

const redacted = "[redacted]"

// told makes a failure fit to be told.
func (e *endpoint) told(failure *bridge.AttemptError) *bridge.AttemptError {
	failure.Reason = e.redact(failure.Reason)
	return failure
}

// redact hides what the record keeps secret. The text is cleaned first: what
// cleaning would remove must not stand between the letters of a secret.
func (e *endpoint) redact(text string) string {
	if text = oneLine(text, limits.ForeignTextBytes); text == "" {
		return text
	}
	return oneLine(e.hidden().hide(text), limits.ReasonBytes)
}

// hideAll replaces each part of the text that one of the needles covers, letter
// case apart, or that says one of the secrets in escapes.
func hideAll(text string, needles, secrets []string) string {
	covered := make([]bool, len(text))
	hidden := hide(covered, view{text: lowerASCII(text)}, needles)
	for i, v := range readViews(text) {
		if i == 0 {
			secrets = slices.Clone(secrets)
			for i := range secrets {
				secrets[i] = folded(secrets[i])
			}
		}
		hidden = hide(covered, v, secrets) || hidden
	}
	if !hidden {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !covered[i]:
			b.WriteByte(text[i])
		case i == 0 || !covered[i-1]:
			b.WriteString(redacted)
		}
	}
	return b.String()
}

// hide covers what a view shows of the needles, and an end of it that a needle
// begins with: there it may have been cut off.
func hide(covered []bool, v view, needles []string) (hidden bool) {
	cover := func(from, to int) {
		hidden = true
		if v.from != nil {
			from, to = v.from[from], v.to[to-1]
		}
		for i := from; i < to; i++ {
			covered[i] = true
		}
	}
	for _, needle := range needles {
		if needle == "" {
			continue
		}
		for at := 0; ; {
			i := strings.Index(v.text[at:], needle)
			if i < 0 {
				break
			}
			cover(at+i, at+i+len(needle))
			at += i + 1
		}
		for n := min(len(needle)-1, len(v.text)); n >= minCutOff; n-- {
			if strings.HasSuffix(v.text, needle[:n]) {
				cover(len(v.text)-n, len(v.text))
				break
			}
		}
	}
	return hidden
}

// minCutOff is how much of a secret at the end of a text is taken for one that
// was cut off there.
const minCutOff = 5

// needles are all forms of some secrets, without those that others hold already.
func needles(secrets []string) (all []string) {
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if form != "" {
				all = append(all, lowerASCII(form))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// forms are the ways in which an answer may hold a secret.
func forms(secret string) []string {
	all := []string{
		secret, oneLine(secret, len(secret)), url.QueryEscape(secret), url.PathEscape(secret), escapeValue(secret),
		html.EscapeString(secret),
		strings.Trim(strconv.Quote(secret), `"`), strings.Trim(strconv.QuoteToASCII(secret), `"`),
		strings.Trim(string(event.AppendJSONString(nil, secret)), `"`),
	}
	once := inJSON(secret)
	all = append(all, once, inJSON(once), url.QueryEscape(url.QueryEscape(secret)))
	if len(secret) >= minEncoded {
		all = append(all, hex.EncodeToString([]byte(secret)))
		for skipped := range 3 {
			all = append(all, inBase64(secret, skipped, base64.RawStdEncoding),
				inBase64(secret, skipped, base64.RawURLEncoding))
		}
	}
	return append(all, base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)))
}

// inJSON is a text as a JSON string holds it.
func inJSON(s string) string {
	quoted, _ := json.Marshal(s) // a string can always be encoded
	return string(quoted[1 : len(quoted)-1])
}

// minEncoded is how long a secret must be to be found inside of what is encoded
// as a whole.
const minEncoded = 6

// inBase64 is what is the same in each encoding of a text that holds the secret
// after some bytes, whose number modulo three is skipped.
func inBase64(secret string, skipped int, encoding *base64.Encoding) string {
	begin := (3 - skipped) % 3
	end := len(secret) - (len(secret)-begin)%3
	return encoding.EncodeToString([]byte(secret[begin:end]))
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

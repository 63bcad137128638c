package record

import (
	"net/url"
	"regexp"
	"strings"
)

// What of a URL may be a secret: the values of its query, and segments of its
// path, since many services give each customer a path that nobody guesses
// (https://hooks.example/services/T000/B000/XXXX). Shown are scheme and host,
// names in the query, and segments that are plain words.

// minURLSecret is how long a part of a URL must be to be hidden in the texts of
// others: shorter ones would only garble them.
const minURLSecret = 4

// hiddenPart stands for a segment that is not shown.
const hiddenPart = "…"

// URLSecrets are what ShownURL hides, as it stands there and as it means, and the parts of it that a placeholder, ";" or
// "=" divides: so may an endpoint name them.
func URLSecrets(target string) (secrets []string) {
	add := func(part string) {
		if len(part) < minURLSecret {
			return
		}
		secrets = append(secrets, part)
		for _, unescape := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
			if plain, err := unescape(part); err == nil && plain != part && len(plain) >= minURLSecret {
				secrets = append(secrets, plain)
			}
		}
	}
	_, rest := splitURL(target)
	rest, _, _ = strings.Cut(rest, "#")
	path, query, _ := strings.Cut(rest, "?")
	var hidden []string
	for i, segment := range strings.Split(path, "/") {
		if !plainSegment(segment, i <= 1) {
			hidden = append(hidden, segment)
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		_, secret := shownPair(pair)
		hidden = append(hidden, secret)
	}
	for _, part := range hidden {
		whole := urlDividers.Split(part, -1)
		if len(whole) == 1 {
			add(part)
			continue
		}
		if !strings.ContainsAny(part, "{}<>") { // else it is not sent as it stands
			add(part)
		}
		for _, piece := range whole {
			if !plainSegment(strings.Trim(piece, "-_."), false) {
				add(piece)
			}
		}
	}
	return secrets
}

var urlDividers = regexp.MustCompile(placeholder + `|[;=]`)

// ShownURL is a URL without its secrets: https://hooks.example/services/…/…/…,
// https://h/x?token=[redacted]. Placeholders stay.
func ShownURL(target string) string {
	target = userInfo.ReplaceAllString(target, "$1"+redacted+"@")
	begin, rest := splitURL(target)
	path, query, asks := strings.Cut(rest, "?")
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if !plainSegment(segment, i <= 1) {
			segments[i] = hiddenPart
		}
	}
	if asks {
		pairs := strings.Split(query, "&")
		for i, pair := range pairs {
			pairs[i], _ = shownPair(pair)
		}
		query = "?" + strings.Join(pairs, "&")
	}
	return begin + strings.Join(segments, "/") + query
}

// shownPair is a part of a query as it may be shown, and what of it is not: the value, or where there is none all that
// is no plain word, as a text in base64, at whose end = is padding.
func shownPair(pair string) (shown, secret string) {
	name, value, _ := strings.Cut(pair, "=")
	switch {
	case strings.Trim(value, "=") == "" && plainSegment(name, false), isPlaceholder(value):
		return pair, ""
	case strings.Trim(value, "=") == "":
		return redacted, name
	}
	return name + "=" + redacted, value
}

// plainSegment tells words, versions and placeholders from what may be a secret:
// one word, or two that are joined, as in order-events. The first segment of a
// path may be a longer name.
func plainSegment(s string, first bool) bool {
	switch {
	case s == "" || isPlaceholder(s):
		return true
	case len(s) <= 4 && s[0] == 'v' && strings.Trim(s[1:], "0123456789") == "":
		return true
	case first && len(s) <= 24 && isWord(s, "-_."):
		return true
	}
	one, two, joined := strings.Cut(s, "-")
	if !joined {
		one, two, joined = strings.Cut(s, "_")
	}
	return len(one) <= 12 && isWord(one, "") && (!joined || len(one) > 1 && len(two) > 1 && len(two) <= 12 && isWord(two, ""))
}

// isWord: lower case, or one word in title case.
func isWord(s, more string) bool {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' {
		s = s[1:]
	}
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !(r >= 'a' && r <= 'z' || strings.ContainsRune(more, r)) }) < 0
}

func isPlaceholder(s string) bool {
	switch s {
	case "{orderId}", "{legacyOrderId}", "<orderId>", "<legacyOrderId>":
		return true
	}
	return false
}

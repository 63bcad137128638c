package publishers

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// tokenAnswer makes the answer of a token server what RFC 6749 (5.1, 5.2) says
// it is, where servers are known to differ and clients to be lenient: JSON under
// whatever content type, a lifetime that is a fraction or a text, an error that
// is an object. It reports whether the answer is JSON; anything else comes back
// as it is.
func tokenAnswer(body []byte) (answer []byte, isJSON bool) {
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		return body, false
	}
	if raw, ok := members["expires_in"]; ok {
		if seconds, ok := lifetime(raw); ok {
			members["expires_in"] = strconv.AppendInt(nil, seconds, 10)
		} else {
			delete(members, "expires_in") // as if it were left out: used until it is refused
		}
	}
	for _, name := range []string{"error", "error_description", "error_uri"} {
		raw, ok := members[name]
		if !ok || raw[0] == '"' {
			continue
		}
		switch string(raw) {
		case "null", "false", "{}", "[]", "0":
			delete(members, name)
		default:
			members[name], _ = json.Marshal(string(raw)) // a string can always be encoded
		}
	}
	answer, err := json.Marshal(members)
	if err != nil {
		return body, false
	}
	return answer, true
}

// lifetime reads a number of seconds, whole or not, plain or as a text. A token
// that is said to have no time left is used once: 1 s.
func lifetime(raw json.RawMessage) (seconds int64, ok bool) {
	n, err := strconv.ParseFloat(strings.Trim(string(raw), "\" \t"), 64)
	if err != nil || math.IsNaN(n) {
		return 0, false
	}
	return int64(math.Max(1, math.Min(math.Floor(n), math.MaxInt32))), true
}

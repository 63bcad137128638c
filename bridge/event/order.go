package event

import "strings"

// What people are shown of an order is its plain id, not the token of its lane.

// Order is the id by which the event's order is known: its order id, else its
// legacy order id; "" if the event tells neither.
func (e *Event) Order() string {
	if e.over != nil && e.over.plain != "" {
		return e.over.plain
	}
	if e.OrderID != "" {
		return e.OrderID
	}
	return e.LegacyOrderID
}

// OrderOf is the plain order id of a lane, given its token and its plain key as
// they stand in the ledger or in a dead letter of a build that told no order; ""
// if the lane is not that of one order. See Event.Key.
func OrderOf(token, key string) string {
	switch {
	case !strings.HasPrefix(token, LaneMark): // safe ids hold no =
		return token[strings.Index(token, "=")+1:]
	case strings.HasPrefix(token, LaneMark+"l="):
		return token[strings.LastIndex(token, "=")+1:]
	case key == "" || key == token:
		return ""
	case len(token) != len(LaneMark)+hashLength: // of a redriven letter: its own lane is not told
		return strings.TrimPrefix(key[strings.Index(key, "=")+1:], "legacy ")
	}
	if id, ok := unhash(token, "", key); ok {
		return id
	}
	if plain, ok := strings.CutPrefix(key, "legacy "); ok {
		if id, ok := unhash(token, "l", plain); ok {
			return id
		}
	}
	return key
}

// unhash finds out which part of a hashed key is the tenant, by trying.
func unhash(token, kind, key string) (id string, ok bool) {
	if len(key) > 1<<10 {
		return "", false
	}
	if hashToken(kind, "", key) == token {
		return key, true
	}
	for i := range len(key) {
		if key[i] == '=' && hashToken(kind, key[:i], key[i+1:]) == token {
			return key[i+1:], true
		}
	}
	return "", false
}

// OrderSubjects are the subject filters of the events whose subjects tell that
// order, by the layout; none where the layout tells no order, or the id cannot
// stand in a subject.
func (d *Decoder) OrderSubjects(order string) []string {
	d.once.Do(d.init)
	if order == "" || strings.ContainsAny(order, ".*> \t\r\n") {
		return nil
	}
	var filters []string
	for _, told := range []field{fieldOrderID, fieldLegacyOrderID} {
		found := false
		tokens := make([]string, len(d.layout))
		for i, token := range d.layout {
			f, known := layoutFields[token]
			switch {
			case known && f == told:
				found, tokens[i] = true, order
			case known:
				tokens[i] = "*"
			default:
				tokens[i] = token
			}
		}
		if found {
			filters = append(filters, strings.Join(tokens, "."))
		}
	}
	return filters
}

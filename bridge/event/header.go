package event

import "strings"

// HeaderValue is the first value of a header, whatever its case; "" if there is none.
func (m *Message) HeaderValue(name string) string { return anyCaseHeader(m.Header, name) }

func exactHeader(h map[string][]string, name string) string {
	if vs := h[name]; len(vs) > 0 {
		return vs[0]
	}
	return ""
}

// anyCaseHeader looks for the name as it is, then in any case; of several
// spellings the first in the order of their bytes counts.
func anyCaseHeader(h map[string][]string, name string) string {
	if v := exactHeader(h, name); v != "" {
		return v
	}
	best, value := "", ""
	for k, vs := range h {
		if len(k) == len(name) && len(vs) > 0 && vs[0] != "" && strings.EqualFold(k, name) && (best == "" || k < best) {
			best, value = k, vs[0]
		}
	}
	return value
}

func ceHeader(h map[string][]string, name string) string {
	return CloudEventValue(anyCaseHeader(h, name))
}

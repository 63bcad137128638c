package automation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderbridge/bridge/record"
)

const defaultTimeout = 30 * time.Second

// section is the section webHook of a file.
type section struct {
	enabled           bool
	endpoint          *string
	key               *string
	connectionTimeout *string
	secret            *string
	useSslTrustAll    *bool
	useSslClientCert  *bool
	sslTrustFile      *string
	sslKeyFile        *string
	sslKeyPassword    *string
}

// members are the keys of the section and where their values go.
func (s *section) members() map[string]any {
	return map[string]any{
		"enabled": &s.enabled, "endpoint": &s.endpoint, "key": &s.key, "connectionTimeout": &s.connectionTimeout,
		"secret":         &s.secret,
		"useSslTrustAll": &s.useSslTrustAll, "useSslClientCert": &s.useSslClientCert,
		"sslTrustFile": &s.sslTrustFile, "sslKeyFile": &s.sslKeyFile, "sslKeyPassword": &s.sslKeyPassword,
	}
}

const sectionName = "webHook"

// readSection returns nil if the file has no such section. A note says what
// looks like a mistake.
func readSection(data []byte) (s *section, note string, problems record.Problems) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := checkJSON(data); err != nil {
		return nil, "", fail("", "%s", err)
	}
	var found json.RawMessage
	for name, value := range object(data) {
		switch {
		case name == sectionName && found != nil:
			return nil, "", fail(sectionName, "is given more than once; keep one")
		case name == sectionName:
			found = value
		case strings.EqualFold(name, sectionName):
			note = fmt.Sprintf("the section %s is ignored; its name is %s", strconv.Quote(name), sectionName)
		}
	}
	if found == nil {
		return nil, note, nil
	}
	if found[0] != '{' {
		return nil, "", fail(sectionName, "must be an object, is %s", kind(found))
	}
	s = &section{}
	members := s.members()
	seen := map[string]bool{}
	for name, value := range object(found) {
		target := members[name]
		switch {
		case target == nil:
			problems = append(problems, fail(name, "is unknown; known are %s", names(members))...)
		case seen[name]:
			problems = append(problems, fail(name, "is given more than once; keep one")...)
		default:
			problems = append(problems, set(name, target, value)...)
		}
		seen[name] = true
	}
	return s, note, problems
}

func set(name string, target any, value json.RawMessage) record.Problems {
	want, got := "a boolean", kind(value)
	if _, ok := target.(**string); ok {
		want = "a string"
	}
	if got != want {
		example := "true or false, without quotes"
		if want == "a string" {
			example = "it in quotes"
		}
		return fail(name, "must be %s, is %s; write %s", want, got, example)
	}
	if err := json.Unmarshal(value, target); err != nil {
		return fail(name, "cannot be read")
	}
	return nil
}

func fail(name, format string, args ...any) record.Problems {
	field := sectionName
	switch name {
	case "":
		field = ""
	case sectionName:
	default:
		field += "." + strings.Trim(strconv.Quote(name[:min(len(name), 80)]), `"`)
	}
	return record.Problems{{Field: field, Message: fmt.Sprintf(format, args...)}}
}

func names(members map[string]any) string {
	var list []string
	for name := range members {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func kind(v json.RawMessage) string {
	switch v[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func checkJSON(data []byte) error {
	var v json.RawMessage
	err := json.Unmarshal(data, &v)
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return errors.New("is empty; write at least {}")
	case errors.As(err, &syntax):
		before := data[:min(int(syntax.Offset), len(data))]
		line := bytes.Count(before, []byte("\n")) + 1
		return fmt.Errorf("is not JSON: line %d, column %d: %w", line, len(before)-bytes.LastIndexByte(before, '\n')-1,
			syntax)
	case err != nil:
		return fmt.Errorf("is not JSON: %w", err)
	case bytes.TrimSpace(data)[0] != '{':
		return errors.New("is not a JSON object")
	}
	return nil
}

// object yields the members of a valid JSON object, repeated ones too.
func object(data []byte) func(yield func(string, json.RawMessage) bool) {
	return func(yield func(string, json.RawMessage) bool) {
		dec := json.NewDecoder(bytes.NewReader(data))
		if _, err := dec.Token(); err != nil {
			return
		}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return
			}
			var value json.RawMessage
			if err := dec.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
				return
			}
			text, _ := name.(string)
			if !yield(text, value) {
				return
			}
		}
	}
}

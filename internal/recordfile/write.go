package recordfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// YAML is a JSON value as a YAML document, its members in their order.
func YAML(data []byte) ([]byte, error) {
	documents, err := jsonDocuments(data)
	if err != nil || len(documents) != 1 {
		return nil, fmt.Errorf("write YAML: it is not one JSON value: %w", err)
	}
	plain(documents[0])
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(documents[0]); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), nil
}

// oldWord is what readers of YAML 1.1 take for true or false, or for a command.
var oldWord = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|<<|=)$`)

// plain has numbers written as they are, and texts in quotes where some readers
// would take them for something else.
func plain(n *yaml.Node) {
	n.Line = 0
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!float":
		n.Tag = ""
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str" && oldWord.MatchString(n.Value):
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, item := range n.Content {
		plain(item)
	}
}

// WithID is a record with its id as the first member.
func WithID(id string, record []byte) []byte {
	out := []byte(`{"id":` + quoteJSON(id))
	if body := bytes.TrimSpace(record); len(body) > 2 {
		out = append(append(out, ','), body[1:]...)
		return out
	}
	return append(out, '}')
}

// JSON is a JSON value with its members on lines of their own.
func JSON(data []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

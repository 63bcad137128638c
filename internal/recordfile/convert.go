package recordfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"orderbridge/internal/limits"
)

// converter writes a node as JSON and notes the line of each member.
type converter struct {
	out      bytes.Buffer
	lines    map[string]int
	most     int // bytes
	problems []*lineError
}

func (c *converter) fail(n *yaml.Node, path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	if len(c.problems) < limits.RecordProblems {
		c.problems = append(c.problems, &lineError{n.Line, text})
	}
	c.out.WriteString("null")
}

func (c *converter) value(path string, n *yaml.Node, depth int) {
	switch {
	case c.out.Len() > c.most:
		if len(c.problems) == 0 {
			c.fail(n, path, "the record has more than %d bytes", c.most)
		}
	case depth > limits.RecordDepth:
		c.fail(n, path, "lies deeper than %d levels", limits.RecordDepth)
	case n.Kind == yaml.AliasNode:
		c.value(path, n.Alias, depth+1)
	case n.Kind == yaml.MappingNode:
		c.object(path, n, depth)
	case n.Kind == yaml.SequenceNode:
		c.out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				c.out.WriteByte(',')
			}
			at := path + "[" + strconv.Itoa(i) + "]"
			c.lines[at] = item.Line
			c.value(at, item, depth+1)
		}
		c.out.WriteByte(']')
	default:
		c.scalar(path, n)
	}
}

func (c *converter) object(path string, n *yaml.Node, depth int) {
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	seen := map[string]int{}
	c.out.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		at := prefix + name
		if c.out.Len() > c.most {
			break
		}
		if i > 0 {
			c.out.WriteByte(',')
		}
		c.out.WriteString(quoteJSON(name) + ":")
		switch before := seen[name]; {
		case key.Kind != yaml.ScalarNode:
			c.fail(key, path, "the name of a member must be a text")
		case key.ShortTag() == "!!merge":
			c.fail(key, path, "merge keys (<<) are not read; write the members out")
		case before > 0:
			c.fail(key, at, "is given more than once, first in line %d; keep one", before)
		default:
			seen[name], c.lines[at] = key.Line, key.Line
			c.value(at, value, depth+1)
		}
	}
	c.out.WriteByte('}')
}

var number = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$`)

func (c *converter) scalar(path string, n *yaml.Node) {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		c.out.WriteString(quoteJSON(n.Value))
	case "!!int", "!!float":
		if !number.MatchString(n.Value) {
			c.fail(n, path, "%s is not a number as JSON writes it; write a decimal one, or put it in quotes if it is a text", n.Value)
			return
		}
		c.out.WriteString(n.Value)
	case "!!bool":
		c.out.WriteString(strings.ToLower(n.Value))
	case "!!null":
		c.out.WriteString("null")
	default:
		c.fail(n, path, "values of the kind %s are not read", tag)
	}
}

func quoteJSON(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

// jsonDocuments reads JSON values, one after the other, as nodes.
func jsonDocuments(data []byte) (list []*yaml.Node, err error) {
	r := jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), at: 0, line: 1}
	r.dec.UseNumber()
	for {
		n, err := r.value(0)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, r.explain(err)
		}
		list = append(list, n)
		if len(list) > limits.ApplyRecords {
			return nil, fmt.Errorf("holds more than %d records; split it", limits.ApplyRecords)
		}
	}
}

type jsonReader struct {
	data     []byte
	dec      *json.Decoder
	at, line int // lines are counted up to here
}

// reach is the line of an offset, which never goes back.
func (r *jsonReader) reach(offset int64) int {
	end := min(int(offset), len(r.data))
	if end > r.at {
		r.line += bytes.Count(r.data[r.at:end], []byte("\n"))
		r.at = end
	}
	return r.line
}

func (r *jsonReader) explain(err error) error {
	var syntax *json.SyntaxError
	offset := r.dec.InputOffset()
	if errors.As(err, &syntax) && syntax.Offset > 0 {
		offset = syntax.Offset
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || strings.HasPrefix(err.Error(), "unexpected end") {
		return &lineError{r.reach(int64(len(r.data))), "is not JSON: it ends too early; is a } or a quote missing?"}
	}
	return &lineError{r.reach(offset), "is not JSON: " + err.Error()}
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	token, err := r.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) && depth > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: r.reach(r.dec.InputOffset())}
	if depth > limits.RecordDepth {
		return nil, &lineError{n.Line, fmt.Sprintf("lies deeper than %d levels", limits.RecordDepth)}
	}
	switch v := token.(type) {
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Tag, n.Value = "!!float", v.String()
	case bool:
		n.Tag, n.Value = "!!bool", strconv.FormatBool(v)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	case json.Delim:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if v == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		for r.dec.More() {
			item, err := r.value(depth + 1) // of an object the names too
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		if _, err := r.dec.Token(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return n, nil
}

package recordfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"orderbridge/internal/limits"
)

// Record is one record of a file.
type Record struct {
	ID   string
	JSON []byte // its members in the order in which they stand there, without the id
	File string
	Line int // where it begins

	lines map[string]int
	named bool // by its member id
}

// Names tells whether the record says its id itself.
func (r *Record) Names() bool { return r.named }

// Where is the place of a member ("auth.password", "signing.secrets[0]"), or of what stands nearest to it, as file:line.
func (r *Record) Where(field string) string {
	for {
		if line := r.lines[field]; line > 0 {
			return fmt.Sprintf("%s:%d", r.File, line)
		}
		at := strings.LastIndexAny(field, ".[")
		if at < 0 {
			return fmt.Sprintf("%s:%d", r.File, r.Line)
		}
		field = field[:at]
	}
}

// Problem is what is wrong with a file, or with a record in it.
type Problem struct {
	File     string
	Line     int // 0: of the file as a whole
	Message  string
	Nameless bool // that a record says no id
}

// Place is file:line.
func (p Problem) Place() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Parse reads the records of a file. Its name says the form and, of a record without one, the id; a file of another
// name ("-") is JSON if it begins like it.
func Parse(file string, data []byte) ([]Record, []Problem) {
	read := yamlDocuments
	if IsJSON(file, data) {
		read = jsonDocuments
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, []Problem{{File: file, Line: 1, Message: "begins with a byte order mark; save it as UTF-8 without one"}}
	}
	documents, err := read(data)
	if err != nil {
		return nil, []Problem{placed(file, err)}
	}
	p := parser{file: file}
	for _, d := range documents {
		p.document(d)
	}
	p.name()
	return p.records, p.problems
}

// IsJSON tells which of the two forms a file has.
func IsJSON(file string, data []byte) bool {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".json":
		return true
	case ".yaml", ".yml":
		return false
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[')
}

// ToJSON is a YAML document of at most so many bytes as JSON.
func ToJSON(file string, data []byte, most int) ([]byte, error) {
	documents, err := yamlDocuments(data)
	if err != nil {
		p := placed(file, err)
		return nil, fmt.Errorf("%s: %s", p.Place(), p.Message)
	}
	if len(documents) != 1 {
		return nil, fmt.Errorf("%s: holds %d YAML documents; one is wanted", file, len(documents))
	}
	c := converter{lines: map[string]int{}, most: most}
	c.value("", documents[0].Content[0], 0)
	if len(c.problems) > 0 {
		p := placed(file, c.problems[0])
		return nil, fmt.Errorf("%s: %s", p.Place(), p.Message)
	}
	return c.out.Bytes(), nil
}

// A lineError says in which line of the file something is wrong.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

func placed(file string, err error) Problem {
	var at *lineError
	if errors.As(err, &at) {
		return Problem{File: file, Line: at.line, Message: at.text}
	}
	return Problem{File: file, Message: err.Error()}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func yamlDocuments(data []byte) (list []*yaml.Node, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			line, text := 1, err.Error()
			if found := yamlLine.FindStringSubmatch(strings.ReplaceAll(text, "\n", " ")); found != nil {
				text = found[2]
				if _, err := fmt.Sscan(found[1], &line); err != nil {
					line = 1
				}
			}
			return nil, &lineError{line, "is not YAML: " + text}
		}
		list = append(list, &n)
		if len(list) > limits.ApplyRecords {
			return nil, fmt.Errorf("holds more than %d records; split it", limits.ApplyRecords)
		}
	}
}

type parser struct {
	file     string
	records  []Record
	problems []Problem
}

func (p *parser) fail(line int, format string, args ...any) {
	p.problems = append(p.problems, Problem{File: p.file, Line: line, Message: fmt.Sprintf(format, args...)})
}

// document reads a record, or a list of them. An empty document is none.
func (p *parser) document(n *yaml.Node) {
	for n.Kind == yaml.DocumentNode {
		n = n.Content[0]
	}
	switch {
	case n.Kind == yaml.MappingNode:
		p.record(n)
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.MappingNode {
				p.fail(item.Line, "is not a record; a list holds records, each with its members")
				continue
			}
			p.record(item)
		}
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == "":
	default:
		p.fail(n.Line, "is not a record; the least is targetURL: https://…")
	}
	if len(p.records) > limits.ApplyRecords {
		p.fail(n.Line, "holds more than %d records; split it", limits.ApplyRecords)
		p.records = nil
	}
}

func (p *parser) record(n *yaml.Node) {
	c := converter{lines: map[string]int{}, most: limits.RecordBytes}
	r := Record{File: p.file, Line: n.Line, lines: c.lines}
	body := *n
	body.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value != "id" {
			body.Content = append(body.Content, key, value)
			continue
		}
		switch c.lines["id"] = key.Line; {
		case r.ID != "":
			p.fail(key.Line, "id: is given more than once; keep one")
		case value.Kind != yaml.ScalarNode || value.Value == "":
			p.fail(key.Line, "id: must be a text of letters, digits, - and _")
		default:
			r.ID, r.named = value.Value, true
		}
	}
	c.value("", &body, 0)
	for _, e := range c.problems {
		p.fail(e.line, "%s", e.text)
	}
	r.JSON = c.out.Bytes()
	p.records = append(p.records, r)
}

func (p *parser) nameless(line int, text string) {
	p.problems = append(p.problems, Problem{File: p.file, Line: line, Message: text, Nameless: true})
}

// name gives an id to a record that says none.
func (p *parser) name() {
	for i := range p.records {
		r := &p.records[i]
		if r.ID != "" {
			continue
		}
		base := filepath.Base(p.file)
		name := strings.TrimSuffix(base, filepath.Ext(base))
		switch {
		case p.file == "-" && len(p.records) == 1:
			p.nameless(r.Line, "says no id; what comes by stdin has no name, add the member id")
		case len(p.records) > 1:
			p.nameless(r.Line, "says no id; where several records stand in a file, each needs its member id")
		case safeID.MatchString(name):
			r.ID = name
		default:
			p.nameless(r.Line, "says no id; add the member id, or name the file by it")
		}
	}
	for _, r := range p.records {
		if r.ID != "" && !safeID.MatchString(r.ID) {
			p.fail(r.lines["id"], "id: %q is not a valid subscription id; use 1 to 64 letters, digits, - and _", r.ID)
		}
	}
}

var safeID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Files are the files of records among paths: what is named itself, and below a directory, in the order of their
// names, those that end in .json, .yaml or .yml. Names that begin with a dot are passed over, and so are links to
// directories.
func Files(paths []string) ([]string, error) {
	var files []string
	for _, root := range paths {
		if root == "-" {
			files = append(files, root)
			continue
		}
		info, err := os.Stat(root)
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		if !info.IsDir() {
			files = append(files, root)
			continue
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case path != root && strings.HasPrefix(d.Name(), "."):
				if d.IsDir() {
					return fs.SkipDir
				}
			case !d.IsDir() && slices.Contains([]string{".json", ".yaml", ".yml"}, strings.ToLower(filepath.Ext(path))):
				info, err := os.Stat(path)
				if err != nil {
					return err
				}
				if !info.Mode().IsRegular() { // to read a pipe could take for ever
					return fmt.Errorf("%s is not a regular file; move it out of the directory", path)
				}
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
	}
	return files, nil
}

package flight

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"orderbridge/internal/limits"
)

// Trace is what a recorder had kept.
type Trace struct {
	Head     Head
	segments [][]byte
	codecs   *codecs // nil: not made yet
}

// Head is what a file says before the steps. It is one line of JSON.
type Head struct {
	Build    Build     `json:"build"`  // that wrote it
	Layout   string    `json:"layout"` // of its types: a build with another one cannot read the steps
	Time     time.Time `json:"time"`
	Epoch    uint64    `json:"epoch"`
	Why      string    `json:"why"`
	Broken   string    `json:"broken,omitempty"` // why the recorder had given up
	Segments []Segment `json:"segments"`
}

// Build says which build wrote a file.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
}

// Segment is a part of a trace.
type Segment struct {
	Begin string `json:"begin"` // start, checkpoint, or nowhere: it cannot be stepped through
	First int    `json:"first"` // number of its first step
	Steps int    `json:"steps"`
	Bytes int    `json:"bytes"`
}

const (
	format = "orderbridge trace "
	magic  = format + "1\n"
	prefix = "orderbridge-trace-"
	suffix = ".gz"

	headBytes = 64 << 10
)

// WriteFile writes the trace to a new file in the directory, which nobody else
// may read, and removes the oldest ones beyond limits.TraceFiles.
func (t *Trace) WriteFile(dir string) (path string, err error) {
	name := fmt.Sprintf("%s%s-epoch%d%s", prefix, t.Head.Time.UTC().Format("20060102T150405.000Z"), t.Head.Epoch, suffix)
	path = filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("write trace: %w", err)
	}
	if err := errors.Join(t.write(f), f.Close()); err != nil {
		_ = os.Remove(path) // half of one is of no use
		return "", fmt.Errorf("write trace %s: %w", path, err)
	}
	forgetOld(dir)
	return path, nil
}

func (t *Trace) write(f io.Writer) error {
	zip, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	head, err := json.Marshal(t.Head)
	if err != nil {
		return err
	}
	for _, part := range slices.Concat([][]byte{[]byte(magic), head, []byte("\n")}, t.segments) {
		if _, err := zip.Write(part); err != nil {
			return err
		}
	}
	return zip.Close()
}

// forgetOld: the names sort by time.
func forgetOld(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), prefix) || !strings.HasSuffix(e.Name(), suffix)
	})
	for ; len(entries) > limits.TraceFiles; entries = entries[1:] {
		_ = os.Remove(filepath.Join(dir, entries[0].Name())) // somebody may have done it
	}
}

// errNotTrace says that a file is not one of a flight recorder.
var errNotTrace = errors.New("not a trace that orderbridge wrote")

// ReadFile reads a file that WriteFile wrote; errNotTrace if it is something else.
func ReadFile(path string) (*Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", path, errNotTrace)
	}
	t, err := read(bufio.NewReaderSize(zip, headBytes))
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", path, err)
	}
	return t, nil
}

func read(r *bufio.Reader) (*Trace, error) {
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r, start); err != nil || !strings.HasPrefix(string(start), format) {
		return nil, errNotTrace
	}
	if string(start) != magic {
		return nil, errors.New("its format is of another build of orderbridge: step through it with that build")
	}
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, errNotTrace
	}
	t := new(Trace)
	if err := json.Unmarshal(line, &t.Head); err != nil {
		return nil, fmt.Errorf("its head: %w", err)
	}
	for _, s := range t.Head.Segments {
		if s.Bytes < 0 || s.Bytes > 2*limits.TraceSegment || len(t.segments) == 2 {
			return nil, errDamaged
		}
		buf := make([]byte, s.Bytes)
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, fmt.Errorf("it ends too soon: %w", err)
		}
		t.segments = append(t.segments, buf)
	}
	return t, nil
}

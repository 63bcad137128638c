package automation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/recordfile"
)

// Options of a File. Path and ID are required.
type Options struct {
	Path       string        // of the configuration file
	ID         string        // of the record that is made from it
	SecretsDir string        // where the files that it names lie; "": it may name none
	Policy     record.Policy // what the operator permits
	// Check tells why a record cannot be used now, e.g. because a file of it is
	// missing. nil: always.
	Check func(*record.Subscription) record.Problems
	// Judge says what is wrong with a record, instead of Policy and Check. nil: those do.
	Judge func(record []byte) record.Problems
	// Grant is told before a content is checked which references it names beside
	// its endpoint, since they may go there. nil: nobody asks.
	Grant func(references []string, endpoint string)
	// Seal and Open seal the secrets of a record before it is stored, and open
	// them to compare. nil: they stay as they are.
	Seal func(record []byte) ([]byte, error)
	Open func(record []byte) []byte
	// Changed is called by Run when Problem has changed. nil: nobody asks.
	Changed func()
	Logger  *slog.Logger // default slog.Default()
}

// Records is the bucket of the records.
type Records interface {
	// Latest reads the newest revision of a key from the stream's leader;
	// protocol.ErrNotFound if there is none.
	Latest(ctx context.Context, key string) (protocol.Revision, error)
	// Put stores a value if the newest revision of the key still is expect (0:
	// none); protocol.ErrDeposed if not.
	Put(ctx context.Context, key string, value []byte, expect uint64) (revision uint64, err error)
}

// File is a configuration file that is kept in the bucket of the records.
type File struct {
	o       Options
	content []byte      // that was read last
	want    *fileRecord // of the last good content; nil: no deliveries
	problem atomic.Pointer[string]
}

// Open reads the file. The error names each key that is wrong, with the remedy.
func Open(o Options) (*File, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	f := &File{o: o}
	var err error
	if f.content, err = readFile(o.Path); err != nil {
		return nil, err
	}
	want, notes, err := f.read(f.content)
	if err != nil {
		return nil, err
	}
	f.want = want
	f.say(notes)
	return f, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		var inPath *fs.PathError
		if errors.As(err, &inPath) {
			err = inPath.Err
		}
		return nil, fmt.Errorf("automation file %s cannot be read: %w", path, err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("automation file %s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, limits.AutomationFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("automation file %s cannot be read: %w", path, err)
	}
	if len(data) > limits.AutomationFileBytes {
		return nil, fmt.Errorf("automation file %s has more than %d KiB", path, limits.AutomationFileBytes>>10)
	}
	if ext := strings.ToLower(filepath.Ext(path)); ext == ".yaml" || ext == ".yml" {
		if data, err = recordfile.ToJSON(path, data, limits.AutomationFileBytes); err != nil {
			return nil, fmt.Errorf("automation file %w", err)
		}
	}
	return data, nil
}

// read makes the record of a content; nil: the file wants no deliveries.
func (f *File) read(content []byte) (want *fileRecord, notes []string, err error) {
	s, note, problems := readSection(content)
	if note != "" {
		notes = append(notes, note)
	}
	if s != nil {
		var wrong record.Problems
		want, wrong = makeRecord(s, f.o)
		problems = append(problems, wrong...)
		if problems.Err() == nil && s.enabled {
			f.grant(want)
			for _, p := range want.check(f.o) {
				if p.Warning {
					notes = append(notes, p.String())
				} else {
					problems = append(problems, p)
				}
			}
		}
	}
	if err := problems.Err(); err != nil {
		f.grant(f.want) // which stays in force
		return nil, nil, fmt.Errorf("automation file %s: %w", f.o.Path, err)
	}
	if s == nil || !s.enabled {
		f.grant(nil)
		return nil, notes, nil
	}
	want.Labels = map[string]string{label: want.fingerprint()}
	return want, notes, nil
}

// grant tells what the record may use.
func (f *File) grant(r *fileRecord) {
	switch {
	case f.o.Grant == nil:
	case r == nil:
		f.o.Grant(nil, "")
	default:
		f.o.Grant(r.references(), r.TargetURL)
	}
}

func (f *File) sealed(r *fileRecord) ([]byte, error) {
	if f.o.Seal == nil {
		return r.json(), nil
	}
	return f.o.Seal(r.json())
}

func (f *File) opened(stored []byte) []byte {
	if f.o.Open == nil {
		return stored
	}
	return f.o.Open(stored)
}

func (f *File) say(notes []string) {
	for _, n := range notes {
		f.o.Logger.Warn("automation file: "+n, "file", f.o.Path, "subscription_id", f.o.ID)
	}
}

// Problem says why the file as it is now is not in force; "" if it is.
func (f *File) Problem() string {
	if p := f.problem.Load(); p != nil {
		return *p
	}
	return ""
}

// Change is what Apply did with the record.
type Change struct {
	Revision uint64 // of the record; 0 if there is none
	What     string // one word: unchanged, stored, deactivated, absent
}

// What Apply did.
const (
	Unchanged   = "unchanged"   // the record is of this version of the file
	Stored      = "stored"      //
	Deactivated = "deactivated" // the file wants no deliveries
	Absent      = "absent"      // the same, and there is no record
)

// ErrForeign says that the record under the id was not made from a file.
var ErrForeign = errors.New("there is a record that no automation file has made")

// Apply brings the record to what the file said when it was read last. A record
// that was made from this version of the file already is left alone, whatever
// others have changed in it since, so that replicas and people do not undo each
// other's work; force stores it anyway. Unlike other errors ErrForeign stays.
func (f *File) Apply(ctx context.Context, records Records, force bool) (Change, error) {
	var err error
	for range 10 { // somebody else was faster: look again
		var c Change
		if c, err = f.apply(ctx, records, force); !errors.Is(err, protocol.ErrDeposed) {
			return c, err
		}
	}
	return Change{}, err
}

func (f *File) apply(ctx context.Context, records Records, force bool) (Change, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.AutomationTime)
	defer cancel()
	stored, err := records.Latest(ctx, f.o.ID)
	if err != nil && !errors.Is(err, protocol.ErrNotFound) {
		return Change{}, f.failed(err)
	}
	put := func(value []byte, what string) (Change, error) {
		revision, err := records.Put(ctx, f.o.ID, value, stored.Revision)
		return Change{revision, what}, f.failed(err)
	}
	putWant := func() (Change, error) {
		value, err := f.sealed(f.want)
		if err != nil {
			return Change{}, f.failed(err)
		}
		return put(value, Stored)
	}
	version, ours := versionOf(stored.Value)
	absent := err != nil || stored.Deleted
	switch {
	case f.want == nil && (absent || !ours || isOff(stored.Value)):
		return Change{stored.Revision, Absent}, nil
	case absent:
		return putWant()
	case !ours:
		return Change{}, fmt.Errorf("subscription %q: %w; choose another id (ORDERBRIDGE_WEBHOOK_ID, --id), or delete the record", f.o.ID, ErrForeign)
	case f.want == nil:
		value, err := switchedOff(stored.Value)
		if err != nil {
			return Change{}, f.failed(err)
		}
		return put(value, Deactivated)
	}
	open := f.opened(stored.Value)
	if bytes.Equal(open, f.want.json()) || !force && version == f.want.Labels[label] && f.want.sameSecrets(open) {
		return Change{stored.Revision, Unchanged}, nil
	}
	return putWant()
}

func (f *File) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("automation file %s: %w", f.o.Path, err)
}

// versionOf tells whether a record was made from a file, and from which version.
func versionOf(stored []byte) (version string, ours bool) {
	var r fileRecord
	_ = json.Unmarshal(stored, &r) // a record that cannot be read is not ours
	version, ours = r.Labels[label]
	return version, ours
}

func (r *fileRecord) sameSecrets(stored []byte) bool {
	var s fileRecord
	if json.Unmarshal(stored, &s) != nil {
		return false
	}
	password := func(t *recordTLS) string {
		if t == nil {
			return ""
		}
		return t.KeyPassword
	}
	return r.Key == s.Key && r.Secret == s.Secret && password(r.TLS) == password(s.TLS)
}

// Start applies the file until the bus has taken it. Its error is ErrForeign,
// or that of ctx.
func (f *File) Start(ctx context.Context, records Records) error {
	for {
		c, err := f.Apply(ctx, records, false)
		if err == nil {
			f.log(c)
			return nil
		}
		if errors.Is(err, ErrForeign) || ctx.Err() != nil {
			return err
		}
		f.o.Logger.Warn("automation file: its record cannot be written yet", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(limits.AutomationCheck):
		}
	}
}

func (f *File) log(c Change) {
	switch c.What {
	case Stored:
		f.o.Logger.Info("automation file: record stored", "file", f.o.Path, "subscription_id", f.o.ID,
			"revision", c.Revision)
	case Deactivated:
		f.o.Logger.Warn("automation file: enabled is not true, the record is deactivated: it was made from an earlier version of the file", "file", f.o.Path, "subscription_id", f.o.ID, "revision", c.Revision)
	case Absent:
		f.o.Logger.Info("automation file: enabled is not true, nothing is sent for it", "file", f.o.Path)
	}
}

// Run follows the file until ctx ends. A version that is bad leaves the one
// before it in force; Problem says so.
func (f *File) Run(ctx context.Context, records Records) error {
	tick := time.NewTicker(limits.AutomationCheck)
	defer tick.Stop()
	var bad string // seen once: perhaps it is being written
	pending := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		content, err := readFile(f.o.Path)
		if err == nil && bytes.Equal(content, f.content) && bad == "" {
			if !pending {
				continue
			}
		} else if err == nil {
			var want *fileRecord
			var notes []string
			if want, notes, err = f.read(content); err == nil {
				if !bytes.Equal(content, f.content) {
					f.say(notes)
				}
				f.content, f.want, pending = content, want, true
			}
		}
		if err != nil {
			if text := err.Error(); text == bad {
				f.tell(text + "; its last good version stays in force")
			} else {
				bad = text
			}
			continue
		}
		bad = ""
		c, err := f.Apply(ctx, records, false)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			f.tell("not in force: " + err.Error())
			continue
		}
		pending = false
		f.log(c)
		f.tell("")
	}
}

// tell changes what Problem says.
func (f *File) tell(problem string) {
	if problem == f.Problem() {
		return
	}
	f.problem.Store(&problem)
	if problem != "" {
		f.o.Logger.Error(problem, "subscription_id", f.o.ID)
	} else {
		f.o.Logger.Info("automation file: it is good again", "file", f.o.Path)
	}
	if f.o.Changed != nil {
		f.o.Changed()
	}
}

package natscontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"orderbridge/internal/limits"
)

// ours begins the description of a context that Write has made.
const ours = "orderbridge: "

// file is a context as it lies on the disk.
type file struct {
	Description string `json:"description"`
	Settings
}

// Encode gives a context as the program nats reads it.
func Encode(description string, s Settings) ([]byte, error) {
	text, err := json.MarshalIndent(file{ours + description, s}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write a context: %w", err)
	}
	return append(text, '\n'), nil
}

// Write stores a context under a name, readable by its owner only, and returns
// the path. One that somebody else made is replaced only with force.
func Write(name, description string, s Settings, force bool) (path string, err error) {
	if filepath.IsAbs(name) {
		return "", fmt.Errorf("%q is not a valid context name", name)
	}
	if path, err = find(name); err != nil {
		return "", err
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("write context %q: %w", name, err) }
	switch foreign, err := madeElsewhere(path); {
	case err != nil:
		return fail(err)
	case foreign && !force:
		return "", fmt.Errorf("there is a context %q already that was not made by this program (%s): give another name, or --force", name, path)
	}
	text, err := Encode(description, s)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".orderbridge-") // 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has been renamed
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fail(err)
	}
	return path, nil
}

func madeElsewhere(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limits.ContextFileBytes))
	var there file
	return err != nil || json.Unmarshal(text, &there) != nil || !strings.HasPrefix(there.Description, ours), nil
}

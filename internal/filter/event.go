package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// parse makes a CEL value of an event. Numbers are doubles, as CEL reads JSON,
// except whole numbers that a double cannot hold exactly.
func parse(data []byte) ref.Val {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return types.WrapErr(notJSON(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return types.WrapErr(errors.New("the event is not JSON: more follows the first value"))
	}
	return types.DefaultTypeAdapter.NativeToValue(numbers(v))
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the event is not JSON: it is empty")
	}
	return fmt.Errorf("the event is not JSON: %w", err)
}

// numbers replaces the numbers of a parsed value, in place.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = numbers(x)
		}
	case []any:
		for i, x := range v {
			v[i] = numbers(x)
		}
	case json.Number:
		return number(v.String())
	}
	return v
}

const exact = 1 << 53

func number(s string) any {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		if i >= -exact && i <= exact {
			return float64(i)
		}
		return i
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return u
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return s
	}
	return f
}

package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"orderbridge/bridge"
)

// parse makes a CEL value of an event; of numbers as numbers.go has it.
func parse(e *bridge.Event) ref.Val {
	body, err := e.Body()
	if err != nil {
		return types.WrapErr(fmt.Errorf("the event cannot be read: %w", err))
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return notJSON(strings.TrimPrefix(bridge.JSONProblem(body), "it is not JSON: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return notJSON("more follows the first value")
	}
	return types.DefaultTypeAdapter.NativeToValue(numbers(v))
}

func notJSON(why string) ref.Val { return types.WrapErr(errors.New("the event is not JSON: " + why)) }

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

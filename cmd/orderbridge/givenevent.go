package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"orderbridge/internal/store"
)

// givenEvent are the flags that say which event is meant.
type givenEvent struct {
	file, subject string
	headers       []string
	sequence      uint64
}

func (g *givenEvent) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.file, "event", "", "file of the event, - for stdin: its payload, or what `nats stream get --json` prints; with --server up to 190 kB")
	cmd.Flags().Uint64Var(&g.sequence, "seq", 0, "sequence of the event in the stream")
	cmd.Flags().StringVar(&g.subject, "subject", "", "subject of the event in the file")
	cmd.Flags().StringArrayVar(&g.headers, "header", nil, "a header of the event in the file, as NAME:VALUE; may be repeated")
}

// given tells whether any of the flags says something.
func (g *givenEvent) given() bool { return g.file != "" || g.sequence > 0 }

// read makes the event of the flags.
func (g *givenEvent) read(cmd *cobra.Command) (store.GivenEvent, error) {
	switch {
	case g.file == "" && g.sequence == 0:
		return store.GivenEvent{}, usagef("which event? Give --seq N, or --event FILE; see `%s --help`", cmd.CommandPath())
	case g.file != "" && g.sequence > 0:
		return store.GivenEvent{}, usagef("give --seq or --event, not both")
	case g.sequence > 0 && (g.subject != "" || len(g.headers) > 0):
		return store.GivenEvent{}, usagef("--subject and --header belong to --event; the event %d has its own", g.sequence)
	case g.sequence > 0:
		return store.GivenEvent{Sequence: g.sequence}, nil
	}
	data, err := readInput(cmd, g.file)
	if err != nil {
		return store.GivenEvent{}, err
	}
	out, isStored, err := storedMessage(data)
	if err != nil {
		return out, fmt.Errorf("%s: %w", named(g.file), err)
	}
	if !isStored {
		out = store.GivenEvent{Data: bytes.TrimSpace(data)} // as `orderbridge publish` does
	}
	if g.subject != "" {
		if err := checkSubject(g.subject); err != nil {
			return out, err
		}
		out.Subject = g.subject
	}
	for _, h := range g.headers {
		name, value, found := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !found || name == "" {
			return out, usagef("--header: %q is not NAME:VALUE", h)
		}
		if out.Headers == nil {
			out.Headers = store.EventHeaders{}
		}
		out.Headers[name] = append(out.Headers[name], strings.TrimSpace(value))
	}
	return out, nil
}

// storedMessage reads what `nats stream get --json` prints; isStored is false for
// anything else, which is a payload.
func storedMessage(data []byte) (out store.GivenEvent, isStored bool, err error) {
	var m struct {
		Subject  string
		Sequence *uint64 `json:"seq"`
		Headers  []byte  `json:"hdrs"`
		Data     *[]byte
		Time     string
	}
	if json.Unmarshal(data, &m) != nil || m.Subject == "" || m.Sequence == nil || m.Data == nil || m.Time == "" {
		return out, false, nil
	}
	out = store.GivenEvent{Subject: m.Subject, Data: *m.Data}
	if len(m.Headers) > 0 {
		h, err := nats.DecodeHeadersMsg(m.Headers)
		if err != nil {
			return out, true, fmt.Errorf("its headers cannot be read: %w", err)
		}
		out.Headers = store.EventHeaders(h)
	}
	return out, true, nil
}

// readRecord reads the file of a record; the id, unless one is given, is the one
// that it says, or the name of the file.
func readRecord(cmd *cobra.Command, path string, id *string) ([]byte, error) {
	value, file, err := fileRecord(cmd, *id, path)
	*id = cmp.Or(*id, file.id, "stdin")
	return value, err
}

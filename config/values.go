package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Duration is written in Go's form (1m30s) or in ISO-8601 (PT1M30S).
type Duration struct{ time.Duration }

// Decode implements envconfig.Decoder.
func (d *Duration) Decode(value string) (err error) {
	if d.Duration, err = record.ParseDuration(value); err != nil {
		return errors.New("is not a duration; write it as 20s or PT20S")
	}
	return nil
}

// List is separated by commas; spaces around its items do not count.
type List []string

// Decode implements envconfig.Decoder.
func (l *List) Decode(value string) error {
	*l = split(value)
	return nil
}

// CIDRs are networks; a single address stands for itself.
type CIDRs []netip.Prefix

// Decode implements envconfig.Decoder.
func (c *CIDRs) Decode(value string) error {
	*c = nil
	for _, item := range split(value) {
		prefix, err := netip.ParsePrefix(item)
		if addr, addrErr := netip.ParseAddr(item); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("holds %q, which is not a network; write it as 10.0.0.0/8 or fd00::/8", item)
		}
		if prefix != prefix.Masked() {
			return fmt.Errorf("holds %q, which has bits set beyond its mask; did you mean %s?", item, prefix.Masked())
		}
		*c = append(*c, prefix)
	}
	return nil
}

// Named is how many subscriptions metrics name, written as top:100, all or off.
type Named int

// Decode implements envconfig.Decoder.
func (n *Named) Decode(value string) error {
	switch top, isTop := strings.CutPrefix(value, "top:"); {
	case value == "off":
		*n = 0
	case value == "all":
		*n = limits.NamedSubscriptions
	default:
		most, err := strconv.Atoi(top)
		if !isTop || err != nil || most < 1 || most > limits.NamedSubscriptions {
			return fmt.Errorf("is none of top:N, all and off; write it as top:100, with at most %d", limits.NamedSubscriptions)
		}
		*n = Named(most)
	}
	return nil
}

// Servers are the URLs of NATS servers, separated by commas. They may hold
// passwords: all forms of printing leave the user info out, Reveal keeps it.
type Servers string

// Reveal returns the URLs as they were given.
func (s Servers) Reveal() string { return string(s) }

func (s Servers) String() string {
	text := string(s)
	if !strings.Contains(text, "@") {
		return text
	}
	if s.check() != nil {
		return "[redacted]"
	}
	// A comma or no scheme does not end user info here: better a host too few
	// than a part of a password.
	parts := strings.Split(text, "://")
	for i, part := range parts {
		parts[i] = part[strings.LastIndexByte(part, '@')+1:]
	}
	return strings.Join(parts, "://")
}

// GoString implements fmt.GoStringer.
func (s Servers) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Servers) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Servers) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Servers) check() error {
	for _, raw := range split(string(s)) {
		if !strings.Contains(raw, "://") {
			raw = "nats://" + raw
		}
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" || strings.Contains(u.Path, "@") {
			return errors.New("is not a list of URLs; write it as nats://host:4222,nats://other:4222")
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return errors.New("has a scheme that NATS does not speak; use nats://, tls://, ws:// or wss://")
		}
	}
	return nil
}

func split(value string) []string {
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

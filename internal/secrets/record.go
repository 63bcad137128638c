package secrets

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
)

// usesOf says what each secret member of a record is for. It is false if the
// record names no host.
func usesOf(id string, record []byte) (of func(field string) bridge.SecretUse, ok bool) {
	if !gjson.ValidBytes(record) {
		return nil, false
	}
	hosts := func(members []string) (list []string) {
		for _, v := range gjson.GetManyBytes(record, members...) {
			if host := bridge.SecretHost(v.String()); host != "" {
				list = append(list, host)
			}
		}
		return list
	}
	tenant := gjson.GetBytes(record, "tenant").String()
	return func(field string) bridge.SecretUse {
		return bridge.SecretUse{Subscription: id, Tenant: tenant, Hosts: hosts(bridge.SecretGoesTo(field))}
	}, len(hosts([]string{"targetURL"})) > 0
}

// SealRecord seals each secret of a record that stands in it as it is, for the
// use that the record makes of it. Without a sealing key the record stays as it is.
func (s *Store) SealRecord(id string, record []byte) ([]byte, error) {
	use, ok := usesOf(id, record)
	if s.o.IdentityFile == "" || !ok {
		return record, nil
	}
	recipients := ""
	out, err := bridge.ReplaceSecrets(record, func(field, value string) (string, error) {
		if bridge.IsReference(value) {
			return value, nil
		}
		if recipients == "" {
			keys, err := Recipients(s.o.IdentityFile)
			if err == nil && len(keys) == 0 {
				err = errors.New("sealing key cannot be used: its file holds no key that values can be sealed to")
			}
			if err != nil {
				return "", err
			}
			recipients = strings.Join(keys, "\n")
		}
		use := use(field)
		sealed, err := SealFor(recipients, use, &use.Tenant, bridge.Secret(value))
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", field, err)
		case len(sealed) > limits.ReferenceLength:
			return "", bridge.Problems{{Field: field, Message: "is too long to be sealed; give it as file: or env:"}}
		}
		return sealed, nil
	})
	if err != nil || out == nil {
		return record, err
	}
	return out, nil
}

// OpenRecord is the record with those of its sealed values opened that can be,
// to be compared with another. It must not be stored, shown or logged.
func (s *Store) OpenRecord(id string, record []byte) []byte {
	use, ok := usesOf(id, record)
	if s.o.IdentityFile == "" || !ok {
		return record
	}
	out, err := bridge.ReplaceSecrets(record, func(field, value string) (string, error) {
		if !strings.HasPrefix(value, bridge.RefSealed) {
			return value, nil
		}
		opened, _, err := s.Value(value, use(field))
		if err != nil {
			return value, nil
		}
		return opened.Reveal(), nil
	})
	if err != nil || out == nil {
		return record
	}
	return out
}

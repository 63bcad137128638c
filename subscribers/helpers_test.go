package subscribers

import "github.com/nats-io/nats.go"

func natsMsg(subject string, h map[string][]string) *nats.Msg {
	m := nats.NewMsg(subject)
	for k, v := range h {
		m.Header[k] = v
	}
	return m
}

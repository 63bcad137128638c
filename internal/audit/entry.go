package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
	"orderbridge/internal/store"
)

// Entry is one line of the audit: a structured CloudEvent.
type Entry struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"` // orderbridge.audit.<action>
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            Data      `json:"data"`
}

// Data is what was done, and by whom. It holds no secret.
type Data struct {
	Text         string            `json:"text"` // all of it in one line
	Action       string            `json:"action"`
	Subscription string            `json:"subscription,omitempty"`
	Tenant       string            `json:"tenant,omitempty"` // of the record
	Revision     uint64            `json:"revision,omitempty"`
	Former       uint64            `json:"former,omitempty"` // the revision before
	Bucket       int64             `json:"bucket,omitempty"` // its creation, Unix nanoseconds
	Who          Who               `json:"who"`
	Members      []Member          `json:"members,omitempty"` // that have changed
	More         int               `json:"more,omitempty"`    // further ones
	Details      map[string]string `json:"details,omitempty"`
}

// Who did it. All but Says is made sure of by Vouched.
type Who struct {
	Via     string `json:"via"`            // api, cli, bus, bridge
	Name    string `json:"name,omitempty"` // of the token
	Tenant  string `json:"tenant,omitempty"`
	Address string `json:"address,omitempty"`
	Request string `json:"request,omitempty"` // id of the request
	Account string `json:"account,omitempty"` // of NATS
	User    string `json:"user,omitempty"`    // of NATS
	Client  string `json:"client,omitempty"`  // name of the NATS connection
	// Vouched is who has made sure of it: bridge (the API knew the token), nats
	// (the server told the user); empty: nobody.
	Vouched string `json:"vouched,omitempty"`
	// Says is what writers say of themselves: anybody may say anything.
	Says string `json:"says,omitempty"`
}

// Who vouches.
const (
	byBridge = "bridge"
	byNATS   = "nats"
)

func (w *Who) bound() {
	for _, s := range []*string{&w.Via, &w.Name, &w.Tenant, &w.Address, &w.Request, &w.Account, &w.User, &w.Client,
		&w.Says} {
		*s = cut(*s, 128)
	}
}

func (w *Who) say(a store.Actor, known bool) {
	if known {
		w.Via, w.Name, w.Tenant, w.Address, w.Request, w.Vouched = a.Via, a.Name, a.Tenant, a.Address, a.Request, byBridge
		return
	}
	if a.Via == "cli" {
		w.Via = a.Via
	}
	w.Says = strings.TrimSpace(cut(a.Via, 32) + " " + a.Name)
	if a.Address != "" {
		w.Says += " at " + a.Address
	}
}

// String is what a person reads.
func (w Who) String() string {
	var who string
	switch {
	case w.Vouched == byBridge && w.Via == "api":
		who = "token " + w.Name
	case w.Vouched == byBridge:
		who = strings.TrimSpace("the bridge " + w.Name)
	case w.User == "" && w.Account != "": // as the server itself says it of what it sends for one of its users
		who = "a NATS user of " + w.Account
	case w.User != "":
		who = strings.TrimSpace("NATS user " + w.User + " of " + w.Account)
	default:
		who = "somebody on the bus"
	}
	if w.Says != "" {
		who += " (says: " + w.Says + ")"
	}
	return who
}

// cut shortens a text to so many bytes, at the border of a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const tail = "…"
	s = strings.ToValidUTF8(s[:most-len(tail)], "")
	return s + tail
}

// encode gives the entry's bytes, shortened if they are too many. Auditors read
// them as they are, in a terminal: nothing in them may hide.
func (e *Entry) encode() ([]byte, error) {
	body, err := e.encodePlain()
	return safetext.JSON(body), err
}

func (e *Entry) encodePlain() ([]byte, error) {
	e.Data.Who.bound()
	e.Data.Text = cut(e.Data.Text, 512)
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("entry %s: %w", e.ID, err)
	}
	if len(safetext.JSON(body)) <= entryBytes {
		return body, nil
	}
	e.Data.More += len(e.Data.Members)
	e.Data.Members, e.Data.Details = nil, nil
	return json.Marshal(e)
}

// entryBytes leaves room for the headers.
const entryBytes = limits.AuditEntryBytes - 1<<10

func newEntry(id, source string, t time.Time, d Data) *Entry {
	return &Entry{SpecVersion: "1.0", ID: id, Source: source, Type: "orderbridge.audit." + d.Action,
		Subject: cut(d.Subscription, 128),
		Time:    t.UTC(), DataContentType: "application/json", Data: d}
}

// token keeps an odd name within one token of a subject.
func token(s string) string {
	if s == "" {
		return "-"
	}
	s = cut(s, 128)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '.' || r == '*' || r == '>' || r <= ' ' || r >= 0x7f:
			return '_'
		}
		return r
	}, s)
}

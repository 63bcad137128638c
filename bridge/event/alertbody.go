package event

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// alert is what the bridge stores of an alert, as far as the bodies for products need it.
type alert struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Type    string    `json:"type"` // orderbridge.alert.<kind>
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	Data    struct {
		Kind         string    `json:"kind"`
		Key          string    `json:"key"`
		Subscription string    `json:"subscription"`
		Tenant       string    `json:"tenant"`
		Text         string    `json:"text"`
		Count        uint64    `json:"count"`
		Since        time.Time `json:"since"`
		Over         bool      `json:"over"`
	} `json:"data"`
}

// alertTypes begin the type of each alert.
const alertTypes = "orderbridge.alert."

func alertOf(e *Event) (a alert, err error) {
	if json.Unmarshal(e.Data, &a) != nil || !strings.HasPrefix(a.Type, alertTypes) || a.Data.Kind == "" {
		return a, errors.New("the event is no alert: this payload is for records with source alerts")
	}
	if a.Data.Key == "" { // stored by a former build
		a.Data.Key = a.ID
	}
	return a, nil
}

// title is one line: "orderbridge: acme-erp suspended", or "resolved: …".
func (a *alert) title() string {
	what := "orderbridge: "
	if a.Data.Over {
		what = "resolved: orderbridge: "
	}
	if a.Data.Subscription != "-" {
		what += a.Data.Subscription + " "
	}
	return what + a.Data.Kind
}

// began is when the state began.
func (a *alert) began() time.Time {
	if a.Data.Since.IsZero() {
		return a.Time
	}
	return a.Data.Since
}

// severity is how bad it is, in words that PagerDuty and Alertmanager's users know.
func (a *alert) severity() string {
	switch a.Data.Kind {
	case "expired", "missed", "stream-changed", "state", "bus":
		return "critical"
	}
	return "warning"
}

// fact is a line of a message for people.
type fact struct {
	Title string `json:"title"`
	Value string `json:"value"`
}

func (a *alert) facts() []fact {
	list := []fact{{"Kind", a.Data.Kind}}
	add := func(title, value string) {
		if value != "" && value != "-" {
			list = append(list, fact{title, value})
		}
	}
	add("Subscription", a.Data.Subscription)
	add("Tenant", a.Data.Tenant)
	add("Since", a.began().UTC().Format(time.RFC3339))
	if a.Data.Count > 0 {
		number, _ := json.Marshal(a.Data.Count)
		add("Count", string(number))
	}
	return list
}

// members are those of a JSON object.
type members = map[string]any

// alertPayload is a form in which only alerts are sent.
func alertPayload(name, about string, body func(*alert) any) Payload {
	return Payload{Name: name, About: about, OfAlerts: true, Render: func(e *Event) ([]byte, string, error) {
		a, err := alertOf(e)
		if err != nil {
			return nil, "", err
		}
		b, err := json.Marshal(body(&a))
		return b, typeJSON, err
	}}
}

// slackBody is a message of an incoming webhook of Slack. What an alert says is not
// markup: &, < and > are escaped as Slack wants it.
func slackBody(a *alert) any {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	var fields []members
	for _, f := range a.facts() {
		fields = append(fields, members{"title": f.Title, "value": escape(f.Value), "short": true})
	}
	color := "danger"
	switch {
	case a.Data.Over:
		color = "good"
	case a.severity() == "warning":
		color = "warning"
	}
	return members{"text": escape(a.title()),
		"attachments": []members{{"color": color, "text": escape(a.Data.Text), "fields": fields, "ts": a.Time.Unix()}}}
}

// teamsBody is a message of a workflow of Microsoft Teams ("When a Teams webhook
// request is received"): an Adaptive Card. What an alert says may be the words of an
// endpoint, and is not markup: a TextRun takes none, a TextBlock makes links.
func teamsBody(a *alert) any {
	color := "Attention"
	switch {
	case a.Data.Over:
		color = "Good"
	case a.severity() == "warning":
		color = "Warning"
	}
	card := members{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": []members{
			{"type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true, "color": color, "text": a.title()},
			{"type": "RichTextBlock", "inlines": []members{{"type": "TextRun", "text": a.Data.Text}}},
			{"type": "FactSet", "facts": a.facts()},
		}}
	return members{"type": "message",
		"attachments": []members{{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}}}
}

// pagerDutyBody is an event of PagerDuty's Events API v2: the same dedup_key opens
// and resolves.
func pagerDutyBody(a *alert) any {
	action := "trigger"
	if a.Data.Over {
		action = "resolve"
	}
	details := members{"text": a.Data.Text}
	for _, f := range a.facts() {
		details[strings.ToLower(f.Title)] = f.Value
	}
	return members{"event_action": action, "dedup_key": within(a.Data.Key, 255), "client": "orderbridge",
		"payload": members{"summary": within(a.title()+": "+a.Data.Text, 1024), "source": a.Source, "severity": a.severity(),
			"timestamp": a.Time.UTC().Format(time.RFC3339), "component": a.Data.Subscription, "class": a.Data.Kind,
			"custom_details": details}}
}

// alertmanagerBody is what Alertmanager's POST /api/v2/alerts takes. By its labels it
// knows an alert again, so they are the very same when it has ended: the name is that
// of the state ("suspended", also of what tells that it has resumed), and the tenant,
// which is not known of a record that cannot be read, is an annotation.
func alertmanagerBody(a *alert) any {
	state, _, _ := strings.Cut(a.Data.Key, ".") // keys begin with it
	labels := members{"alertname": "Orderbridge" + camel(state), "key": a.Data.Key, "severity": a.severity()}
	if a.Data.Subscription != "" && a.Data.Subscription != "-" {
		labels["subscription"] = a.Data.Subscription
	}
	notes := members{"summary": a.title(), "description": a.Data.Text}
	if a.Data.Tenant != "" {
		notes["tenant"] = a.Data.Tenant
	}
	one := members{"labels": labels, "startsAt": a.began().UTC().Format(time.RFC3339), "annotations": notes}
	if a.Data.Over {
		one["endsAt"] = a.Time.UTC().Format(time.RFC3339)
	} else {
		one["endsAt"] = a.Time.Add(alertKept).UTC().Format(time.RFC3339)
	}
	return []members{one}
}

// alertKept is for how long Alertmanager takes an alert for firing of which it hears
// nothing more: it is told once when the alert begins, and once when it ends.
const alertKept = 7 * 24 * time.Hour

// camel is "dead-lettered" as "DeadLettered".
func camel(kind string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(kind, "-") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// within is the beginning of a text of so many bytes.
func within(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

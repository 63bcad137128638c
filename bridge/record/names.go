package record

import "strings"

// Names of the streams and buckets on the bus, prefix included: the one list of
// them. Whoever asks whether a name is ours asks it.
type Names struct {
	Stream        string // source stream
	Subscriptions string // bucket
	Status        string // bucket
	Owed          string // bucket
	Lease         string // bucket
	DeadLetters   string // stream
	// DeadLetterSubject is the subject space of DeadLetters without its last
	// two tokens: <DeadLetterSubject>.<subscription>.<lane>.
	DeadLetterSubject string
	Alerts            string // stream
	AlertSubject      string // subject space of Alerts: <AlertSubject>.<kind>.<subscription>
	Audit             string // stream
	AuditSubject      string // subject space of Audit: <AuditSubject>.<kind>.<subscription>.<action>
	Attempts          string // stream: the delivery log
	AttemptSubject    string // subject space of Attempts: <AttemptSubject>.<subscription>.<order token>
	DurablePrefix     string // of the feed's durables
	Commands          string // subject space of commands and questions, the NATS micro service, without wildcard
}

// NewNames gives the names under the prefix. A prefix "acme-" and one "acme."
// both work: where a name allows no dot, it becomes an underscore.
func NewNames(prefix, stream, subscriptions string) Names {
	p := strings.NewReplacer(".", "_", " ", "_").Replace(prefix)
	return Names{
		Stream:            orElse(stream, "ORDERS"),
		Subscriptions:     orElse(subscriptions, "subscriptions"),
		Status:            p + "subscription_status",
		Owed:              p + "owed",
		Lease:             p + "lease",
		DeadLetters:       p + "DEAD_LETTERS",
		DeadLetterSubject: prefix + "dead-letters",
		Alerts:            p + "ALERTS",
		AlertSubject:      prefix + "alerts",
		Audit:             p + "AUDIT",
		AuditSubject:      prefix + "audit",
		Attempts:          p + "ATTEMPTS",
		AttemptSubject:    prefix + "attempts",
		DurablePrefix:     p + "orderbridge-",
		Commands:          prefix + "orderbridge",
	}
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// bucketStreamPrefix begins the name of the stream of a bucket.
const bucketStreamPrefix = "KV_"

// Buckets are the buckets that the bridge itself writes.
func (n Names) Buckets() []string { return []string{n.Status, n.Owed, n.Lease} }

// Streams are the streams that the bridge itself writes, its buckets included.
func (n Names) Streams() []string {
	streams := []string{n.DeadLetters, n.Alerts, n.Audit, n.Attempts}
	for _, b := range n.Buckets() {
		streams = append(streams, bucketStreamPrefix+b)
	}
	return streams
}

// subjects are what the streams of the bridge, its commands and the bus itself listen to.
func (n Names) subjects() []string {
	return []string{n.DeadLetterSubject + ".>", n.AlertSubject + ".>", n.AuditSubject + ".>", n.AttemptSubject + ".>", n.Commands + ".>", "$KV.>", "$JS.>", "$SYS.>"}
}

// TakenSubject tells which of the bridge's own subjects a filter would hear as well; "" if none.
func (n Names) TakenSubject(filter string) string {
	for _, own := range n.subjects() {
		if subjectsOverlap(filter, own) {
			return own
		}
	}
	return ""
}

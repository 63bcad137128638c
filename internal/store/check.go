package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// What is there and does not fit: functions of a stream's configuration, used
// at the start and every few seconds while the bridge runs.

// checker collects findings about one asset.
type checker struct {
	what  string
	found []Finding
}

func (k *checker) say(s Severity, format string, args ...any) {
	k.found = append(k.found, Finding{s, k.what, fmt.Sprintf(format, args...)})
}

// checkSource says what a source stream lacks; it is the user's and is never altered.
func checkSource(info *jetstream.StreamInfo, o Options) []Finding {
	c := info.Config
	k := checker{what: "stream " + c.Name}
	if why := losing(c); why != "" {
		k.say(Error, "%s", why)
	}
	if span := record.DefaultRetrySpan(); c.MaxAge > 0 && c.MaxAge < span {
		k.say(Warning, "it keeps events for %s, the default retry schedule takes %s: what an endpoint that is down for longer is still owed becomes dead letters. Run `nats stream edit %s --max-age 7d`", c.MaxAge, span, c.Name)
	}
	if c.MaxMsgsPerSubject > 0 {
		k.say(Warning, "it keeps only %d messages of each subject: older changes of an order vanish unseen while they wait. Run `nats stream edit %s --max-msgs-per-subject=-1`", c.MaxMsgsPerSubject, c.Name)
	}
	if c.MaxMsgs > 0 && c.Discard == jetstream.DiscardOld {
		k.say(Warning, "it keeps at most %d messages: when it is full, the oldest vanish, delivered or not. Run `nats stream edit %s --max-msgs=-1` or watch how full it is", c.MaxMsgs, c.Name)
	}
	if c.Discard == jetstream.DiscardNew && (c.MaxMsgs > 0 || c.MaxBytes > 0) {
		k.say(Warning, "it refuses new events when it is full (discard new): the bridge removes nothing from it, only its limits do. Run `nats stream edit %s --discard old`, or make sure that publishers handle refusals", c.Name)
	}
	if c.NoAck {
		k.say(Warning, "it confirms nothing to publishers (no_ack): events can be lost before they are stored. Run `nats stream edit %s --ack`", c.Name)
	}
	if c.Sealed {
		k.say(Warning, "it is sealed: no event can be added to it, and a seal cannot be taken off. What is in it is still delivered; make another stream for what comes, and set ORDERBRIDGE_STREAM")
	}
	if c.Storage == jetstream.MemoryStorage {
		k.say(Warning, "it is kept in memory: a restart of the server loses events that are owed. Copy it into a file stream that sources from it")
	}
	k.consumers(c, "1 for the feed and some for subscriptions that read for themselves")
	return k.found
}

// losing says why a stream deletes events that subscriptions still have to
// read; "" if it does not.
func losing(c jetstream.StreamConfig) string {
	if c.Retention == jetstream.LimitsPolicy {
		return ""
	}
	return fmt.Sprintf("its retention is %s: the server deletes events that subscriptions still have to read again. Run `nats stream edit %s --retention limits` where the server allows it, or make a limits stream that sources from it, e.g. `nats stream add %s_LOG --source %s --retention limits --max-age 7d`, and set ORDERBRIDGE_STREAM=%s_LOG",
		retention(c), c.Name, c.Name, c.Name, c.Name)
}

func retention(c jetstream.StreamConfig) string { return strings.ToLower(c.Retention.String()) }

// consumers warns where few consumers are allowed.
func (k *checker) consumers(c jetstream.StreamConfig, need string) {
	if c.MaxConsumers > 0 && c.MaxConsumers < 4 {
		k.say(Warning, "it allows %d consumers (max_consumers, fixed when a stream is made); the bridge uses %s. With fewer it reads message by message, which is slower", c.MaxConsumers, need)
	}
}

func checkRecords(info *jetstream.StreamInfo) []Finding {
	c := info.Config
	k := checker{what: "bucket " + strings.TrimPrefix(c.Name, bucketStream(""))}
	switch {
	case c.Mirror != nil:
		k.say(Warning, "it is a mirror of %q: records are changed only there, and come here a little later; the mirror must keep their history (max_msgs_per_subject %d)", c.Mirror.Name, limits.RecordHistory)
	case len(c.Sources) > 0:
		k.say(Warning, "it copies from other streams (sources): records that are changed there come here a little later")
	}
	if c.MaxMsgsPerSubject > 0 && c.MaxMsgsPerSubject < limits.RecordHistory {
		k.say(Warning, "its history is %d: changes of a record that follow one another while the bridge is away are seen only in their last %d states. Run `nats stream edit %s --max-msgs-per-subject=%d`", c.MaxMsgsPerSubject, c.MaxMsgsPerSubject, c.Name, limits.RecordHistory)
	}
	if c.MaxAge > 0 {
		k.say(Warning, "its records expire after %s (an expired record is not a deletion, but a restart does not find it any more). Run `nats stream edit %s --max-age 0`", c.MaxAge, c.Name)
	}
	if c.Retention != jetstream.LimitsPolicy {
		k.say(Error, "its retention is %s: the server deletes records that the bridge has read. Run `nats stream edit %s --retention limits`", retention(c), c.Name)
	}
	if c.MaxMsgs > 0 && c.Discard == jetstream.DiscardOld {
		k.say(Warning, "it keeps at most %d messages: when it is full, the oldest records vanish. Run `nats stream edit %s --max-msgs=-1`", c.MaxMsgs, c.Name)
	}
	k.consumers(c, "1 for each replica, and `nats kv` uses some too")
	return k.found
}

// checkState checks a bucket that only the leader writes.
func checkState(info *jetstream.StreamInfo) []Finding {
	c := info.Config
	bucket := strings.TrimPrefix(c.Name, bucketStream(""))
	k := checker{what: "bucket " + bucket}
	const remedy = "Delete it while no bridge runs; it is recreated"
	if c.Mirror != nil {
		k.say(Error, "it is a mirror of %q, which takes no writes. %s", c.Mirror.Name, remedy)
	} else if !slices.ContainsFunc(c.Subjects,
		func(f string) bool { return record.SubjectMatches(f, bucketSubject(bucket, "x")) }) {
		k.say(Error, "it does not hear %s, so nothing can be written to it. Run `nats stream edit %s --subjects '%s'`",
			bucketSubject(bucket, ">"), c.Name, bucketSubject(bucket, ">"))
	}
	if c.Retention != jetstream.LimitsPolicy {
		k.say(Error, "its retention is %s: what is owed would be forgotten. Run `nats stream edit %s --retention limits`", retention(c), c.Name)
	}
	if c.Sealed {
		k.say(Error, "it is sealed: nothing can be written to it. %s", remedy)
	}
	if c.NoAck {
		k.say(Error, "it confirms no write (no_ack). Run `nats stream edit %s --ack`", c.Name)
	}
	if c.Discard != jetstream.DiscardNew {
		k.say(Error, "it drops old entries when it is full: what is owed would be forgotten. Run `nats stream edit %s --discard new`", c.Name)
	}
	if c.MaxAge > 0 {
		k.say(Error, "its entries expire after %s: what is owed would be forgotten. Run `nats stream edit %s --max-age 0`", c.MaxAge, c.Name)
	}
	if c.Duplicates < limits.LeastDuplicates {
		k.say(Error, "its duplicate window is %s: a repeated write could be stored twice. Run `nats stream edit %s --dupe-window 2m`; if the server refuses it, raise duplicate_window in the limits of its jetstream block", c.Duplicates, c.Name)
	} else if c.Duplicates < limits.BucketDuplicates {
		k.say(Warning, "its duplicate window is %s, %s is better: a write that was under way for longer could be stored twice. Run `nats stream edit %s --dupe-window 2m`", c.Duplicates, limits.BucketDuplicates, c.Name)
	}
	if c.MaxMsgsPerSubject > 1 {
		k.say(Warning, "its history is %d, 1 is enough: it fills %d times faster. Run `nats stream edit %s --max-msgs-per-subject=1`", c.MaxMsgsPerSubject, c.MaxMsgsPerSubject, c.Name)
	}
	if c.AllowRollup {
		k.say(Warning, "it takes messages that remove all others (allow_rollup_hdrs); what somebody wipes so is written again from memory. Run `nats stream edit %s --no-allow-rollup`", c.Name)
	}
	if !c.AllowMsgTTL {
		k.say(Warning, "it allows no TTL on messages: the markers of removed entries stay and fill it. Run `nats stream edit %s --allow-msg-ttl`", c.Name)
	}
	if c.Storage == jetstream.MemoryStorage {
		k.say(Error, "it is kept in memory: a restart of the server would forget what is owed. %s", remedy)
	}
	k.consumers(c, "1 for each replica")
	return k.found
}

// checkLetters checks a stream that only keeps what it gets.
func checkLetters(info *jetstream.StreamInfo) []Finding {
	c := info.Config
	k := checker{what: "stream " + c.Name}
	if c.Retention != jetstream.LimitsPolicy {
		k.say(Error, "its retention is %s, limits is needed: delete it or use another prefix", retention(c))
	}
	if c.Mirror != nil {
		k.say(Error, "it is a mirror of %q, which takes no writes: delete it or use another prefix", c.Mirror.Name)
	}
	if c.Sealed {
		k.say(Error, "it is sealed: nothing can be added to it. Delete it once its content is saved; it is recreated")
	}
	if c.NoAck {
		k.say(Error, "it confirms no write (no_ack). Run `nats stream edit %s --ack`", c.Name)
	}
	return k.found
}

// checkAttempts checks the delivery log. Nothing waits for it, so nothing of it is
// an error.
func checkAttempts(info *jetstream.StreamInfo) []Finding {
	found := checkLetters(info)
	for i := range found {
		found[i].Severity = Warning
	}
	c := info.Config
	k := checker{what: "stream " + c.Name, found: found}
	if c.Discard == jetstream.DiscardNew {
		k.say(Warning, "it takes no entries when it is full (discard new). Run `nats stream edit %s --discard old`", c.Name)
	}
	return k.found
}

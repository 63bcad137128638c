package limits

import "time"

// Metrics.
const (
	NamedSubscriptions = 2000
	NamedCandidates    = 1024
	NamedRefresh       = 10 * time.Second
	NamedTrouble       = 15 * time.Minute
	StreamSample       = 5 * time.Second
	StreamMarks        = 720 // an hour's
)

func metrics() []Limit {
	return part("Metrics",
		row("NamedSubscriptions", count(NamedSubscriptions), process, "subscriptions that metrics name, also with `all`", "those that matter most are named", "ORDERBRIDGE_METRICS_SUBSCRIPTIONS", "TestNamed"),
		row("NamedCandidates", count(NamedCandidates), process, "subscriptions whose attempts are sampled though they are not named", "others are left out until these have fewer", "TestNamed"),
		row("NamedRefresh", lasts(NamedRefresh), process, "time until it is judged again who is named", "-"),
		row("NamedTrouble", lasts(NamedTrouble), subscription, "time after trouble for which it stays named", "others with more attempts may be named instead"),
		row("StreamSample", lasts(StreamSample), process, "time between two looks at the state of the source stream, for metrics", "-"),
		row("StreamMarks", count(StreamMarks), process, "looks that are remembered", "the age of the feed's lag is told by the last event that it brought"),
	)
}

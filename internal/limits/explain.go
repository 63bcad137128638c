package limits

import "time"

// Explanations: what becomes of an event.
const (
	ExplainPage       = 100
	ExplainOthers     = 100
	ExplainValues     = 32
	ExplainValueBytes = 256
	ExplainBodyBytes  = 64 << 10
	ExplainListBytes  = 2 << 10
	ExplainBytes      = 512 << 10
	ExplainAtOnce     = 4
	ExplainTime       = 10 * time.Second
)

func explanations() []Limit {
	const ends = "the page ends earlier, with `next`"
	return part("Explanations",
		row("ExplainPage", count(ExplainPage), question, "subscriptions that hear the event, of one answer", ends),
		row("ExplainOthers", count(ExplainOthers), question, "subscriptions that do not hear it, of one answer", "the others are left out"),
		row("ExplainValues", count(ExplainValues), question, "parts of a filter whose values are told", "the others are left out", "TestValues"),
		row("ExplainValueBytes", size(ExplainValueBytes), question, "text of such a value", "it is cut", "TestValues"),
		row("ExplainBodyBytes", size(ExplainBodyBytes), question, "body of the request that is shown for one subscription", "it is cut, and said to be"),
		row("ExplainListBytes", size(ExplainListBytes), question, "body of a request that is shown where there are several", "it is cut, and said to be"),
		row("ExplainBytes", size(ExplainBytes), question, "explanations of one answer", ends),
		row("ExplainAtOnce", count(ExplainAtOnce), process, "questions that are answered at the same time", "a further one waits for its turn"),
		row("ExplainTime", lasts(ExplainTime), question, "time for an answer, waiting included", "it is told that there is none"),
	)
}

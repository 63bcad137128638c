package limits

import "time"

// The commands, where they ask the management API.
const (
	ClientTime        = 20 * time.Second
	ClientAnswerBytes = 16 << 20
	ClientHeaderBytes = 64 << 10
	ClientTokenBytes  = 4 << 10
)

func clients() []Limit {
	return part("Commands that ask the management API",
		row("ClientTime", lasts(ClientTime), command, "one request, from the connection to the end of the answer", "an error"),
		row("ClientAnswerBytes", size(ClientAnswerBytes), command, "an answer", "an error", "TestAnswersAreBounded"),
		row("ClientHeaderBytes", size(ClientHeaderBytes), command, "the head of an answer", "an error"),
		row("ClientTokenBytes", size(ClientTokenBytes), command, "the file of the token", "an error"),
	)
}

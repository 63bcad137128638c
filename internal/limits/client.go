package limits

import "time"

// The commands, where they ask the management API.
const (
	ClientTime        = 20 * time.Second
	ClientAnswerBytes = 16 << 20
	ClientHeaderBytes = 64 << 10
	ClientTokenBytes  = 4 << 10

	NextLeader   = 2 * time.Minute
	AskAgain     = 500 * time.Millisecond
	AskAgainMost = 10 * time.Second
)

func clients() []Limit {
	return part("Commands that ask the management API",
		row("ClientTime", lasts(ClientTime), command, "one request, from the connection to the end of the answer", "an error"),
		row("ClientAnswerBytes", size(ClientAnswerBytes), command, "an answer", "an error", "TestAnswersAreBounded"),
		row("ClientHeaderBytes", size(ClientHeaderBytes), command, "the head of an answer", "an error"),
		row("ClientTokenBytes", size(ClientTokenBytes), command, "the file of the token", "an error"),
		row("NextLeader", lasts(NextLeader), command, "wait for the next leader, or for an answer, of a command that puts back or removes many dead letters", "an error that says how far it got"),
		row("AskAgain", lasts(AskAgain), command, "time until a bridge or a bus that gave no answer is asked again; then twice that, and so on", "-"),
		row("AskAgainMost", lasts(AskAgainMost), command, "the same, at most", "-"),
	)
}

package limits

import "time"

// The delivery log: what became of each attempt.
const (
	AttemptLogBytes    = 512 << 20
	AttemptLogAge      = 7 * 24 * time.Hour
	AttemptLogPerOrder = 200

	AttemptEntryBytes   = 16 << 10
	AttemptQueue        = 32_768
	AttemptQueueBytes   = 16 << 20
	AttemptBatch        = 100
	AttemptBatchBytes   = 128 << 10
	AttemptPace         = 20 * time.Millisecond // between two batches: 5,000 entries a second
	AttemptBusPause     = time.Second
	AttemptBusPauseMost = 30 * time.Second
	AttemptFlush        = 2 * time.Second

	TracingSayAgain = time.Hour
	TracingFlush    = 3 * time.Second

	AnswerNoteHeadBytes = 1 << 10
	AnswerNoteTextBytes = 256
	EndpointForms       = 256
)

func attempts() []Limit {
	return part("The delivery log",
		row("AttemptLogBytes", size(AttemptLogBytes), stream, "entries in ATTEMPTS; a small account or disk gets less", "the oldest go", "TestAttemptAsset"),
		row("AttemptLogAge", lasts(AttemptLogAge), stream, "age of an entry", "it goes", "TestAttemptAsset"),
		row("AttemptLogPerOrder", count(AttemptLogPerOrder), subscription, "entries of one order", "the oldest of them go", "TestAttemptAsset"),
		row("AttemptEntryBytes", size(AttemptEntryBytes), attempt, "an entry", "it lacks request and answer; larger still: dropped and counted", "TestAttemptLogEntries"),
		row("AttemptQueue", count(AttemptQueue), process, "entries that wait to be written; two thirds of it for one tenant alone, eight ninths for what failed", "dropped and counted", "TestAttemptQueueIsShared"),
		row("AttemptQueueBytes", size(AttemptQueueBytes), process, "likewise", "likewise", "TestAttemptQueueIsShared"),
		row("AttemptBatch", count(AttemptBatch), process, "entries that are written at once", "the rest is written next"),
		row("AttemptBatchBytes", size(AttemptBatchBytes), process, "likewise", "likewise"),
		row("AttemptPace", lasts(AttemptPace), process, "time between two batches: no more than 5,000 entries a second", "they wait"),
		row("AttemptBusPause", lasts(AttemptBusPause), process, "pause after a batch that the bus did not confirm", "it grows with each"),
		row("AttemptBusPauseMost", lasts(AttemptBusPauseMost), process, "the longest such pause", "-"),
		row("AttemptFlush", lasts(AttemptFlush), process, "time of a stop for what waits to be written", "dropped and counted"),
		row("TracingSayAgain", lasts(TracingSayAgain), process, "how often it is logged that traces cannot be sent", "not logged"),
		row("TracingFlush", lasts(TracingFlush), process, "time of a stop for traces that wait", "they are dropped"),
		row("AnswerNoteHeadBytes", size(AnswerNoteHeadBytes), attempt, "fields of an answer that an entry holds", "the rest is left out", "TestNotes"),
		row("AnswerNoteTextBytes", size(AnswerNoteTextBytes), attempt, "of the body of an answer that an entry holds", "the rest is left out", "TestNotes"),
		row("EndpointForms", count(EndpointForms), process, "endpoints for which the forms of their secrets are kept", "they are made again for the next answer"),
	)
}

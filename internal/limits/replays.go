package limits

import "time"

// Replays, rewinds, and dead letters that are put back.
const (
	ReplaysOfTenant   = 4
	ReplaysAtOnce     = 16
	ReplaysKept       = 256
	ReplayKept        = 7 * 24 * time.Hour
	ReplayWaiting     = 64
	ReplayEvents      = 256
	ReplayBytes       = 4 << 20
	ReplayRead        = 64
	ReplayRate        = 1000
	ReplayTries       = 4
	ReplayWait        = time.Minute
	ReplayFailures    = 1000
	ReplayProgress    = 500 * time.Millisecond
	ReplayLook        = time.Second
	ReplayDrain       = 2 * time.Second
	ReplayCount       = 100_000
	ReplayCountTime   = 4 * time.Second
	ReplaySample      = 10
	ReplayQuestions   = 4
	LettersRedriven   = 100
	LettersRedriveFor = 12 * time.Second
)

func replays() []Limit {
	return part("Replays",
		row("ReplaysOfTenant", count(ReplaysOfTenant), tenant, "replays that run, one of a subscription", "another one is refused"),
		row("ReplaysAtOnce", count(ReplaysAtOnce), process, "replays that run, in the whole bridge", "another one is refused"),
		row("ReplaysKept", count(ReplaysKept), process, "replays that are told of, those that have ended included", "the oldest that has ended is forgotten"),
		row("ReplayKept", lasts(ReplayKept), process, "time that a replay is told of once it has ended", "it is forgotten"),
		row("ReplayWaiting", count(ReplayWaiting), subscription, "attempts of replays that wait for their turn", "the replay asks again later"),
		row("ReplayEvents", count(ReplayEvents), subscription, "events of a replay in memory that are not settled", "it reads on when some are"),
		row("ReplayBytes", size(ReplayBytes), subscription, "bytes of these", "it reads on when some are settled"),
		row("ReplayRead", count(ReplayRead), subscription, "events of one read", "the rest is the next read"),
		row("ReplayRate", count(ReplayRate, "a second"), subscription, "what `--rate` may ask for", "the replay is refused"),
		row("ReplayTries", count(ReplayTries), event, "attempts of a replay, those left out that fail while its endpoint does", "a dead letter"),
		row("ReplayWait", lasts(ReplayWait), event, "time between two attempts of a replay, at most", "the schedule's wait is cut to it"),
		row("ReplayFailures", count(ReplayFailures), subscription, "dead letters of one replay", "it is stopped"),
		row("ReplayProgress", lasts(ReplayProgress), subscription, "time until the progress of a replay is written", "what was sent after that is sent again after a crash"),
		row("ReplayLook", lasts(ReplayLook), subscription, "time until a replay sees a changed or deleted record", "it goes on until then"),
		row("ReplayDrain", lasts(ReplayDrain), process, "time that a stop waits for attempts of replays and the progress of these", "they are cut off, and sent again"),
		row("ReplayCount", count(ReplayCount), command, "events that are looked at to count what a replay or a rewind would send", "the answer says that there is more"),
		row("ReplayCountTime", lasts(ReplayCountTime), command, "time for that", "the answer says that there is more"),
		row("ReplaySample", count(ReplaySample), command, "events that the answer names", "the others are counted only"),
		row("ReplayQuestions", count(ReplayQuestions), process, "replays and rewinds that are being counted or begun at the same time", "the command is refused"),
		row("LettersRedriven", count(LettersRedriven), command, "dead letters that one request puts back or removes", "the answer says where to go on"),
		row("LettersRedriveFor", lasts(LettersRedriveFor), command, "time of such a request", "the answer says where to go on"),
	)
}

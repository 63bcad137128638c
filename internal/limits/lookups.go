package limits

import "time"

// Reading the delivery log, and the story of an order.
const (
	AttemptWindow = 256 // entries that are looked back over first
	AttemptScan   = 10_000
	AttemptLate   = time.Minute
	AttemptPage   = 1000
	AttemptCheck  = time.Second

	OrderLook          = 2000
	OrderLookMost      = 50_000
	OrderEvents        = 50
	OrderAttempts      = 500
	OrderDebts         = 1000
	OrderGaveUp        = 10
	OrderSubscriptions = 200
	OrderExplained     = 5
	OrderHearing       = 100
	OrderOthers        = 20
	OrderTime          = 15 * time.Second
)

func lookups() []Limit {
	const older = "the newest count; the answer says so"
	return part("Looking up what was delivered",
		row("AttemptWindow", count(AttemptWindow), request, "entries of the delivery log that are looked back over first", "four times as many, and so on"),
		row("AttemptScan", count(AttemptScan), request, "entries of the delivery log that are looked at for one page", "the page ends earlier, with `next`", "TestAttemptsAreBounded"),
		row("AttemptLate", lasts(AttemptLate), request, "time between an attempt and its entry in the delivery log, where it is looked for by time", "it is not found by `until`"),
		row("AttemptPage", count(AttemptPage), command, "entries of one page", "refused"),
		row("AttemptCheck", lasts(AttemptCheck), command, "time between two looks for what is new in the delivery log", "-"),
		row("OrderLook", count(OrderLook), request, "newest messages of the stream that are looked through for those whose subject does not tell their order, unless `look` says another number", older),
		row("OrderLookMost", count(OrderLookMost), request, "the same, as `look` may say", "refused"),
		row("OrderEvents", count(OrderEvents), request, "events of an order in its story", older),
		row("OrderAttempts", count(OrderAttempts), request, "attempts in the story of an order", older),
		row("OrderDebts", count(OrderDebts), request, "debts and dead letters in the story of an order", "the answer says so"),
		row("OrderGaveUp", count(OrderGaveUp), request, "subscriptions whose newest dead letters (`NewestLook`) are looked through for one of the order that was put back and given up again", "its dead letter is told as gone"),
		row("OrderSubscriptions", count(OrderSubscriptions), request, "subscriptions in the story of an order", "the answer says so"),
		row("OrderExplained", count(OrderExplained), request, "events of an order of which its story tells who hears them, the newest", "the others are left out"),
		row("OrderHearing", count(OrderHearing), request, "subscriptions that hear an event, in the story of an order", "the answer says so"),
		row("OrderOthers", count(OrderOthers), request, "subscriptions that do not hear the newest event, in the story of an order", "they are left out"),
		row("OrderTime", lasts(OrderTime), request, "time for the story of an order", "an error"),
	)
}

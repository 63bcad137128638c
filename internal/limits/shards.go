package limits

import "time"

// Shards of the bridge, and the key that says how many there are.
const (
	Shards      = 64
	LayoutBytes = 1 << 10

	LayoutLook    = time.Second
	FormerLook    = 250 * time.Millisecond
	BeatTime      = 2 * time.Second
	BeatPatience  = 10 * time.Second
	LeaderSilent  = 3 * time.Second // the lease is renewed every second
	LeadersFresh  = time.Second
	ShardPatience = 1500 * time.Millisecond
	ReadAhead     = 2 * time.Minute
	ReadAheadLook = 20 * time.Millisecond
	HandOverRest  = 5 * time.Minute
)

func shards() []Limit {
	return part("Shards",
		row("Shards", count(Shards), process, "shards among which the subscriptions are divided", "the command is refused", "TestLayoutNext"),
		row("LayoutBytes", size(LayoutBytes), process, "the key that says how many there are", "it is told as an error, and written again", "TestParseLayout"),
		row("LayoutLook", lasts(LayoutLook), process, "time until another number of shards is seen", "-"),
		row("FormerLook", lasts(FormerLook), process, "time between two looks at the lease of a former shard that is to be closed", "-"),
		row("BeatTime", lasts(BeatTime), process, "time between two heartbeats", "-"),
		row("BeatPatience", lasts(BeatPatience), process, "time without a heartbeat of another replica", "it gets no shard by its share"),
		row("LeaderSilent", lasts(LeaderSilent), process, "time without a renewal of a lease until its leader is told as silent", "the console says that orders wait", "TestLeaders"),
		row("LeadersFresh", lasts(LeadersFresh), process, "time for which it is told again to others whether the shards are led", "it is read again"),
		row("ShardPatience", lasts(ShardPatience), process, "how long a free shard is left to replicas that lead fewer", "it is taken by any", "TestSharingWait"),
		row("ReadAhead", lasts(ReadAhead), process, "how long shards of a former layout go on while the records are read for those of the new one", "they are handed over"),
		row("ReadAheadLook", lasts(ReadAheadLook), process, "time between two looks at whether they are read", "-"),
		row("HandOverRest", lasts(HandOverRest), process, "time until a shard is handed over again that nobody has taken, at most; it doubles", "-"),
	)
}

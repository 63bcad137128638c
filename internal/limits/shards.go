package limits

// Shards of the bridge, and the key that says how many there are.
const (
	Shards      = 64
	LayoutBytes = 1 << 10
)

func shards() []Limit {
	return part("Shards",
		row("Shards", count(Shards), process, "shards among which the subscriptions are divided", "the command is refused", "TestLayoutNext"),
		row("LayoutBytes", size(LayoutBytes), process, "the key that says how many there are", "it is told as an error, and written again", "TestParseLayout"),
	)
}

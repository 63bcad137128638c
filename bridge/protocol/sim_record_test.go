package protocol

// SimStart is what the machine of a simulated term is made from.
type SimStart struct {
	Bounds Bounds
	Seed   [2]uint64
	Won    Won
}

// SimulateRecorded simulates a seed; record returns what steps the machine of a term.
func SimulateRecorded(seed uint64, record func(*Machine, SimStart) func(Now, Input) []Output) {
	simulateWith(seed, simWorld{record: record})
}

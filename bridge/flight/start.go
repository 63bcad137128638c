package flight

import (
	"math/rand/v2"

	"orderbridge/bridge/protocol"
)

// Start is what the machine of a term is made from.
type Start struct {
	Bounds protocol.Bounds
	Seed   [2]uint64 // of its chance
	Won    protocol.Won
}

// Machine makes it: the same one each time.
func (s *Start) Machine() *protocol.Machine {
	return protocol.New(s.Bounds, rand.New(rand.NewPCG(s.Seed[0], s.Seed[1])), s.Won)
}

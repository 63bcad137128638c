package flight

import (
	"reflect"

	"orderbridge/bridge/protocol"
)

// checksum is over what the outputs of a step name (FNV-1a): cheap, since each
// step pays for it, and enough to tell where a replay leaves what was recorded.
type checksum uint32

func newSum() checksum { return 2166136261 }

func (c *checksum) number(x uint64) {
	for ; ; x >>= 8 {
		*c = (*c ^ checksum(x&0xff)) * 16777619
		if x < 256 {
			return
		}
	}
}

func (c *checksum) text(s string) {
	for i := range len(s) {
		*c = (*c ^ checksum(s[i])) * 16777619
	}
	c.number(uint64(len(s)))
}

// kindOf is the number of the output's type.
func kindOf(out protocol.Output) byte { return byte(outputNumbers[reflect.TypeOf(out)]) }

func (c *checksum) add(kind byte, out protocol.Output) {
	c.number(uint64(kind))
	switch out := out.(type) {
	case *protocol.StartAttempt:
		c.number(out.Attempt)
		c.number(out.Sequence)
		c.text(out.Delivery.Subscription.ID)
	case protocol.CutAttempt:
		c.number(out.Attempt)
	case protocol.SettleEvent:
		c.number(out.Sequence)
		c.number(out.Tag)
	case protocol.WriteEntry:
		c.number(out.ID)
		c.number(uint64(out.Write.Bucket))
		c.text(out.Write.Key)
		if n := len(out.Write.Value); out.Write.Bucket == protocol.BucketOwed { // a status names the host
			c.number(uint64(n))
		} else {
			c.number(uint64(min(n, 1)))
		}
	case protocol.ReadEvents:
		c.number(out.ID)
		c.text(out.Subscription)
		c.number(out.From)
	case *protocol.AttemptTold:
		c.text(out.Subscription)
		c.number(out.Sequence)
	case *protocol.SupersededTold:
		c.text(out.Delivery.Subscription.ID)
		c.number(out.Sequence)
	case protocol.StoreLetter:
		c.number(out.ID)
		c.text(out.Letter.Subscription)
		c.number(out.Letter.Sequence)
	case protocol.WriteLease:
		c.number(out.ID)
		c.text(out.WriteID)
		c.number(out.Entry.Floor)
	case protocol.Log:
		c.text(out.Message)
	case protocol.HoldAttempts:
		c.number(uint64(out.Until))
	case protocol.HoldAcks:
		c.number(out.From)
	case protocol.Answer:
		c.number(out.Command)
	case protocol.RaiseAlert:
		c.text(out.Alert.Kind)
	case interface{ Number() uint64 }:
		c.number(out.Number())
	}
}

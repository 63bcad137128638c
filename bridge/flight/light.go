package flight

import (
	"crypto/hmac"
	crypto "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// What is written of each type, and what is not.

// inputs and outputs by number, which files name them by: new ones at the end.
var (
	inputs = []reflect.Type{
		typ[protocol.Tick](), typ[*protocol.EventTaken](), typ[*protocol.AttemptEnded](), typ[protocol.AttemptWeighed](),
		typ[protocol.EntryWritten](), typ[protocol.EventsRead](), typ[*protocol.RecordSeen](), typ[*protocol.RecordReread](),
		typ[protocol.Start](), typ[protocol.FeedEnded](), typ[protocol.RecordsCaughtUp](), typ[protocol.RecordsMissing](),
		typ[protocol.RecordsListed](), typ[protocol.RoomChanged](), typ[protocol.StreamLoses](), typ[protocol.BusAlert](),
		typ[protocol.Stop](), typ[*protocol.Redrive](), typ[*protocol.Adopt](), typ[protocol.StreamSurveyed](),
		typ[protocol.FeedOpened](), typ[protocol.StreamSeen](), typ[protocol.MessagesJudged](), typ[protocol.SequenceFound](),
		typ[protocol.RetentionTold](), typ[protocol.SettledConfirmed](), typ[protocol.StreamKeeps](), typ[protocol.LeaseWritten](),
		typ[protocol.LeaseRead](), typ[protocol.BucketFenced](), typ[protocol.BucketSealed](), typ[protocol.BucketChecked](),
		typ[protocol.StateLoaded](), typ[protocol.RecordFound](), typ[protocol.LetterStored](), typ[protocol.LetterRemoved](),
		typ[protocol.RecordsPassed](), typ[*protocol.ReplayAttempt](), typ[protocol.EndReplay](), typ[protocol.Rewind](),
		typ[*protocol.RetryNow](), typ[*protocol.SkipHead](), typ[protocol.AlertsHeard](),
	}
	outputs = []reflect.Type{
		typ[*protocol.StartAttempt](), typ[protocol.CutAttempt](), typ[protocol.SettleEvent](), typ[protocol.WriteEntry](),
		typ[protocol.Log](), typ[*protocol.AttemptTold](), typ[protocol.ReadEvents](), typ[protocol.HoldAttempts](),
		typ[protocol.HoldAcks](), typ[protocol.ConfirmSettled](), typ[protocol.KeepFrom](), typ[protocol.WriteLease](),
		typ[protocol.ReadLease](), typ[protocol.FenceBucket](), typ[protocol.SealBucket](), typ[protocol.CheckBucket](),
		typ[protocol.LoadState](), typ[protocol.FindRecord](), typ[protocol.StoreLetter](), typ[protocol.RemoveLetter](),
		typ[protocol.SurveyStream](), typ[protocol.OpenFeed](), typ[protocol.LookAtStream](), typ[protocol.JudgeMessages](),
		typ[protocol.FindSequence](), typ[protocol.AskRetention](), typ[protocol.StartFeed](), typ[protocol.WatchRecords](),
		typ[protocol.NoteMessage](), typ[protocol.ForgetReader](), typ[protocol.RaiseAlert](), typ[protocol.Answer](),
		typ[protocol.ListingCompared](), typ[protocol.EndTerm](),
		typ[protocol.ReplayAttempted](), typ[*protocol.SupersededTold](),
	}
	outputNumbers = numbered(outputs)
)

func typ[T any]() reflect.Type { return reflect.TypeFor[T]() }

func numbered(types []reflect.Type) map[reflect.Type]uint64 {
	m := make(map[reflect.Type]uint64, len(types))
	for i, t := range types {
		m[t] = uint64(i)
	}
	return m
}

func newCodecs() *codecs {
	types := slices.Concat(inputs, outputs, []reflect.Type{typ[*rand.PCG](), typ[*protocol.LaneEntry](), typ[*protocol.Mark](), typ[*protocol.Status]()})
	cs := &codecs{
		made: map[reflect.Type]*codec{}, listed: map[reflect.Type]*listed{}, types: types,
		special: map[reflect.Type]func(*codecs) codec{
			typ[time.Time](): ofTime, typ[error](): ofError, typ[any](): ofAny, typ[event.Event](): ofEvent, typ[record.Subscription](): ofSubscription,
			typ[sync.RWMutex](): ofNothing,
		},
		keep: map[reflect.Type][]string{
			// A member of a record that is not named here is not in a file.
			typ[record.Subscription](): {"ID", "Method", "Payload", "Tenant", "Subjects", "Types", "Inactive", "Paused", "Coalesce", "Ordering", "MaxInFlight", "More"},
			typ[record.More]():         {"ConnectionTimeout", "Timeout", "Schedule", "RateLimit", "StartFrom"},
		},
		drop: map[reflect.Type][]string{
			typ[event.Message]():       {"Header", "Data"},
			typ[protocol.Revision]():   {"Value"},
			typ[protocol.EventTaken](): {"Matches", "Version"}, // the machine finds them again
			typ[protocol.Outcome]():    {"Detail"},
			typ[protocol.Followed]():   {"directory"}, // it is made again
			typ[protocol.Status]():     {"Hears"},     // names the host
			typ[protocol.Machine]():    {"outputs"},   // of the step before
			typ[protocol.Followed]():   {"directory"}, // the machine makes it again
		},
	}
	for i, t := range types {
		cs.listed[t] = &listed{number: uint64(i), codec: cs.of(t)}
	}
	cs.start, cs.machine, cs.input = cs.of(typ[Start]()), cs.of(typ[*protocol.Machine]()), cs.of(typ[protocol.Input]())
	return cs
}

// ofNothing: a lock is open between two steps.
func ofNothing(*codecs) codec {
	return codec{func(*writer, unsafe.Pointer) {}, func(*reader, unsafe.Pointer) {}}
}

// ofAny: what stands in a line of the log is its text.
func ofAny(cs *codecs) codec {
	listed := cs.ofInterface(typ[any]())
	return codec{
		func(w *writer, p unsafe.Pointer) {
			x := *(*any)(p)
			ok := x == nil || cs.listed[reflect.TypeOf(x)] != nil
			w.flag(ok)
			if ok {
				listed.put(w, p)
			} else {
				w.string(fmt.Sprint(x))
			}
		},
		func(r *reader, p unsafe.Pointer) {
			if r.flag() {
				listed.get(r, p)
			} else {
				*(*any)(p) = r.string()
			}
		},
	}
}

// ---- events: without data and headers, but as large as they were

const largestEvent = 64 << 20 // what a NATS server takes at most

// headerSize is what a header without name and value adds to the size of an event.
var headerSize = (&event.Event{Message: event.Message{Header: map[string][]string{"": {""}}}}).Size() - (&event.Event{}).Size()

// zeros are the same ones for all events.
func (r *reader) zeros(n int) []byte {
	if n > len(r.filler) {
		r.filler = make([]byte, n)
	}
	return r.filler[:n:n]
}

func ofEvent(cs *codecs) codec {
	plain := cs.ofStruct(typ[event.Event]())
	return codec{
		func(w *writer, p unsafe.Pointer) {
			plain.put(w, p)
			ev := (*event.Event)(p)
			w.uint(uint64(len(ev.Data)))
			w.uint(uint64(ev.Size() - len(ev.Data)))
		},
		func(r *reader, p unsafe.Pointer) {
			plain.get(r, p)
			ev := (*event.Event)(p)
			data, rest := r.uint(), r.uint()
			if data > largestEvent || rest > largestEvent {
				panic(errDamaged)
			}
			if headers := int(rest) - ev.Size() - headerSize; headers >= 0 {
				ev.Header = map[string][]string{"": {string(r.zeros(headers))}}
			}
			ev.Data = r.zeros(int(data))
		},
	}
}

// ---- records: as far as the machine looks at them

func ofSubscription(cs *codecs) codec {
	plain := cs.ofStruct(typ[record.Subscription]())
	return codec{
		func(w *writer, p unsafe.Pointer) {
			plain.put(w, p)
			w.string(w.hide((*record.Subscription)(p).Origin()))
		},
		func(r *reader, p unsafe.Pointer) {
			plain.get(r, p)
			(*record.Subscription)(p).TargetURL = r.string()
		},
	}
}

// newHide returns what stands for an origin: the same for the same one, and
// nothing that it could be found from.
func newHide() func(origin string) string {
	key := make([]byte, 32)
	_, _ = crypto.Read(key) // never fails
	return func(origin string) string {
		scheme, _, _ := strings.Cut(origin, "://")
		h := hmac.New(sha256.New, key)
		h.Write([]byte(origin))
		return scheme + "://" + hex.EncodeToString(h.Sum(nil)[:8]) + ".invalid"
	}
}

// ---- errors: their text, and which of those that the machine tells apart they are

var sentinels = []error{protocol.ErrDeposed, protocol.ErrRefused, protocol.ErrLost, protocol.ErrMeddled, protocol.ErrNotFound, protocol.ErrNoStream}

// failure is an error that was read back.
type failure struct {
	text string
	is   uint64
}

func (f *failure) Error() string { return f.text }

func (f *failure) Is(target error) bool {
	for i, s := range sentinels {
		if target == s {
			return f.is&(1<<i) != 0
		}
	}
	return false
}

func ofError(*codecs) codec {
	return codec{
		func(w *writer, p unsafe.Pointer) {
			err := *(*error)(p)
			w.flag(err != nil)
			if err == nil {
				return
			}
			var is uint64
			for i, s := range sentinels {
				if errors.Is(err, s) {
					is |= 1 << i
				}
			}
			w.uint(is)
			w.string(err.Error())
		},
		func(r *reader, p unsafe.Pointer) {
			if r.flag() {
				is := r.uint()
				*(*error)(p) = &failure{r.string(), is}
			}
		},
	}
}

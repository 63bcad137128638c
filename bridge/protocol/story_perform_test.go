package protocol

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// perform carries an output out, and says what it is.
func (s *story) perform(out Output) {
	switch out := out.(type) {
	case *StartAttempt:
		s.attempt(out)
	case CutAttempt:
		for name, a := range s.running {
			if a.Attempt == out.Attempt {
				s.tell("cut", "cut %s", name)
			}
		}
	case SettleEvent:
		s.tell("settle", "event %d is settled", out.Sequence)
	case StartFeed:
		s.feeding = true
		s.tell("feed", "the feed starts")
	case WatchRecords:
		s.watching = true
		s.tell("records", "watch the records")
		if !s.holds("records") {
			s.queue = append(s.queue, s.showRecords)
		}
	case HoldAcks:
		s.tell("hold-acks", "acknowledge nothing from %s on", fromWhere(out.From))
	case HoldAttempts:
		s.tell("deadline", "attempts are cut at %s", since(out.Until))
	case RaiseAlert:
		s.tell("alert", "alert %s: %s %s", out.Alert.Kind, out.Alert.Subscription, out.Alert.Text)
	case Answer:
		switch d := out.Done; {
		case out.Err != nil:
			s.tell("answer", "the command is refused: %v", out.Err)
		case d.Sequence > 0:
			s.tell("answer", "the command is carried out: %d is skipped", d.Sequence)
		case s.steering:
			s.tell("answer", "the command is carried out: %d subscriptions, %d orders", d.Subscriptions, d.Orders)
		default:
			s.tell("answer", "the command is carried out")
		}
	case ReplayAttempted:
		s.tell("answer", "the attempt of the replay was %s%s", out.Outcome.Verdict, map[bool]string{true: ": it waits"}[out.Waits])
	case Log:
		s.log(out)
	case EndTerm:
		cause := "all is handed over"
		if out.Cause != nil {
			cause = out.Cause.Error()
		}
		s.tell("end", "THE TERM ENDS: %s", cause)
		s.crash()
	case NoteMessage, ForgetReader, *AttemptTold, ListingCompared:
	default:
		s.request(out)
	}
}

// asker lets a request wait for the script, or answers it at once: what kind it
// is, its name, how it reads, what it does on the bus, and how the machine is told.
type asker func(kind, name, text string, lands func() error, tell func(error))

func nothing() error { return nil }

// request names a request, and says what its answer will be.
func (s *story) request(out Output) {
	m := s.machine
	ask := func(kind, name, text string, lands func() error, tell func(error)) {
		q := &storyRequest{name, lands, func(err error) {
			if s.machine == m {
				tell(err)
			}
		}}
		if s.ask(q) {
			s.say("%s ...", text)
		} else {
			s.tell(kind, "%s", text)
		}
	}
	if !s.askStream(out, ask) && !s.askState(out, ask) && !s.askBucket(out, ask) && !s.askLetters(out, ask) {
		panic(fmt.Sprintf("nobody carries %T out", out))
	}
}

// askStream asks the stream and the feed.
func (s *story) askStream(out Output, ask asker) bool {
	switch out := out.(type) {
	case SurveyStream:
		ask("take-over", "survey", "look at the stream, as the lease tells it", nothing, func(err error) {
			s.step(StreamSurveyed{out.Reply(err), s.survey(&out.Entry)})
		})
	case OpenFeed:
		text := fmt.Sprintf("make the durable of epoch %d, after %d; remove older ones", out.Epoch, out.At.Seq)
		ask("take-over", "durable", text, func() error {
			floor := out.At.Seq
			s.durable, s.next = &floor, floor+1
			return nil
		}, func(err error) { s.step(FeedOpened{out.Reply(err), s.ref(out.At.Seq)}) })
	case JudgeMessages:
		ask("take-over", "judge", "ask which messages of the entries are there", nothing, func(err error) {
			found := make([]int, len(out.Entries))
			for i, list := range out.Entries {
				found[i], _, _ = Highest(list, s.judge)
			}
			s.step(MessagesJudged{out.Reply(err), found})
		})
	case LookAtStream:
		ask("look", "look", "look at the stream", nothing, func(err error) {
			s.step(StreamSeen{out.Reply(err), s.look(out.Witnesses, out.Floor)})
		})
	case FindSequence:
		at := "find the first event"
		if !out.Time.IsZero() {
			at = "find the first event at or after " + since(out.Time.Sub(storyEpoch))
		}
		ask("find", "find", at, nothing, func(err error) {
			s.step(SequenceFound{out.Reply(err), s.at(out.Time), s.ref(s.last())})
		})
	case ReadEvents:
		s.askRead(&out, ask)
	case AskRetention:
		ask("retention", "retention", "ask for the limits of the stream", nothing, func(err error) {
			s.step(RetentionTold{out.Reply(err), Retention{First: s.first(), Beyond: s.beyond[:]}})
		})
	case ConfirmSettled:
		prefix := s.machine.prefix
		ask("ack", "ack", fmt.Sprintf("acknowledge up to %d", prefix), func() error {
			*s.durable = prefix
			return nil
		}, func(err error) { s.step(SettledConfirmed{out.Reply(err)}) })
	case KeepFrom:
		ask("keep", "keep", "keep the stream from "+fromWhere(out.From)+" on", nothing, func(err error) {
			s.step(StreamKeeps{out.Reply(err)})
		})
	default:
		return false
	}
	return true
}

// askState writes lease and entries.
func (s *story) askState(out Output, ask asker) bool {
	epoch := s.machine.epoch
	switch out := out.(type) {
	case WriteEntry:
		w := out.Write
		kind, name := "owed", bucketName(w.Bucket)+"/"+w.Key
		if w.Bucket == BucketStatus {
			kind = "status"
		}
		text := fmt.Sprintf("write %s %s", name, s.entry(w.Value))
		if w.Value == nil {
			text = "remove " + name
		}
		if s.shows["write-id"] {
			text += " #" + w.ID[strings.LastIndexByte(w.ID, ':')+1:]
		}
		ask(kind, name, text, func() error { return s.write(&w, epoch) }, func(err error) {
			s.step(EntryWritten{out.Reply(err)})
		})
	case WriteLease:
		revision := uint64(0)
		ask("lease", "lease", "write lease "+s.entry(Encode(out.Entry)), func() (err error) {
			revision, err = s.writeLease(&out.Entry, out.Expect, out.WriteID)
			return err
		}, func(err error) { s.step(LeaseWritten{out.Reply(err), revision}) })
	case ReadLease:
		ask("lease", "read-lease", "read the lease", nothing, func(err error) {
			s.step(LeaseRead{out.Reply(err), LeaseSight{Entry: s.lease, Revision: s.leaseRev}})
		})
	case LoadState:
		ask("take-over", "load", "load the state", nothing, func(err error) { s.step(StateLoaded{out.Reply(err), s.load()}) })
	default:
		return false
	}
	return true
}

// askBucket is about the state buckets as a whole.
func (s *story) askBucket(out Output, ask asker) bool {
	epoch := s.machine.epoch
	switch out := out.(type) {
	case FenceBucket:
		var made Made
		ask("take-over", "fence/"+bucketName(out.Bucket), "fence "+bucketName(out.Bucket), func() (err error) {
			made, err = s.fence(out.Bucket, out.Epoch)
			return err
		}, func(err error) { s.step(BucketFenced{out.Reply(err), made}) })
	case SealBucket:
		ask("seal", "seal/"+bucketName(out.Bucket), "seal "+bucketName(out.Bucket), func() error {
			s.buckets[out.Bucket].sealed = true
			return nil
		}, func(err error) { s.step(BucketSealed{out.Reply(err)}) })
	case CheckBucket:
		ask("check", "check/"+bucketName(out.Bucket), "check "+bucketName(out.Bucket), func() error {
			if x := s.buckets[out.Bucket]; x.gone || x.fence != epoch {
				return ErrLost
			}
			return nil
		}, func(err error) { s.step(BucketChecked{out.Reply(err)}) })
	default:
		return false
	}
	return true
}

// askLetters is about dead letters and records.
func (s *story) askLetters(out Output, ask asker) bool {
	switch out := out.(type) {
	case StoreLetter:
		d := out.Letter
		text := "store " + letterText(&d)
		if d.Event == nil && !d.Vanished && s.event(d.Sequence) == nil {
			text += " (without its event)"
		}
		ask("letter", fmt.Sprintf("letter/%s.%d", d.Subscription, d.Sequence), text, func() error {
			s.lettered++
			s.letters[s.lettered] = d
			return nil
		}, func(err error) { s.step(LetterStored{out.Reply(err)}) })
	case RemoveLetter:
		ask("letter", fmt.Sprint("letter-", out.Sequence), fmt.Sprint("remove dead letter ", out.Sequence), func() error {
			delete(s.letters, out.Sequence)
			return nil
		}, func(err error) { s.step(LetterRemoved{out.Reply(err)}) })
	case FindRecord:
		id := out.Subscription
		ask("record", "newest/"+id, "ask for the newest revision of "+id, nothing, func(err error) {
			r, missing := s.newest(id)
			if err == nil {
				err = missing
			}
			s.step(RecordFound{out.Reply(err), r})
		})
	default:
		return false
	}
	return true
}

// askRead says what was read when it is read; nothing if there was nothing.
func (s *story) askRead(out *ReadEvents, ask asker) {
	name := "read/" + out.Subscription
	text := fmt.Sprintf("read for %s from %d on", out.Subscription, out.From)
	if !s.holds(name) {
		if events, _ := s.read(out.From, out.Subjects, out.Most); len(events) > 0 {
			var list []string
			for _, ev := range events {
				list = append(list, fmt.Sprint(ev.Seq))
			}
			s.tell("read", "%s: %s", text, strings.Join(list, " "))
		}
		text = ""
	}
	ask("", name, text, nothing, func(err error) {
		events, got := s.read(out.From, out.Subjects, out.Most)
		s.step(EventsRead{out.Reply(err), events, got})
	})
}

// attempt waits for the script, unless the endpoint answers by itself.
func (s *story) attempt(out *StartAttempt) {
	m := s.machine
	name := fmt.Sprintf("%s/%d", out.Delivery.Subscription.ID, out.Sequence)
	if out.Delivery.Replay != "" {
		name = "replay-" + name
	}
	ev := out.Delivery.Event
	if ev == nil {
		ev = s.event(out.Sequence)
	}
	text := fmt.Sprintf("attempt %s", name)
	if ev != nil {
		text += " order " + ev.OrderID
	}
	if out.Delivery.Attempt > 1 {
		text += fmt.Sprint(" try ", out.Delivery.Attempt)
	}
	if out.DeadLetter > 0 {
		text += fmt.Sprint(" of dead letter ", out.DeadLetter)
	}
	if s.shows["target"] {
		text += " to " + out.Delivery.Subscription.TargetURL
	}
	if s.shows["id"] && ev != nil {
		d := out.Delivery
		d.Event = ev
		text += " id " + d.ID()
	}
	s.tell("attempt", "%s", text)
	s.running[name] = out
	if !s.holds(name) {
		s.queue = append(s.queue, func() {
			if s.machine == m && s.running[name] == out {
				_ = s.ended(name, Outcome{Verdict: Delivered})
			}
		})
	}
}

func (s *story) ended(name string, o Outcome) error {
	a := s.running[name]
	if a == nil {
		return fmt.Errorf("no attempt %s runs", name)
	}
	delete(s.running, name)
	s.step(&AttemptEnded{Attempt: a.Attempt, Outcome: o, Event: s.event(a.Sequence)})
	return nil
}

// showRecords lets the machine see what the bucket holds.
func (s *story) showRecords() {
	m := s.machine
	for _, r := range append([]RecordSeen(nil), s.records...) {
		if s.machine != m {
			return
		}
		s.see(&r)
	}
	s.step(RecordsCaughtUp{})
}

func bucketName(b Bucket) string {
	if b == BucketStatus {
		return "status"
	}
	return "owed"
}

func letterText(d *DeadLetter) string {
	text := fmt.Sprintf("dead letter of %s/%d", d.Subscription, d.Sequence)
	if d.Through > 0 {
		text += fmt.Sprint("..", d.Through)
	}
	return fmt.Sprintf("%s after %d attempts: %s", text, d.Attempts, d.Reason)
}

func fromWhere(seq uint64) string {
	if seq == math.MaxUint64 {
		return "the end"
	}
	return fmt.Sprint(seq)
}

// outcome is what an endpoint's answer is judged to be.
func outcome(answer string, after time.Duration) (Outcome, error) {
	o := Outcome{Verdict: Retry, RetryAfter: after, Reason: answer}
	switch answer {
	case "delivered":
		return Outcome{Verdict: Delivered}, nil
	case "filtered":
		return Outcome{Verdict: Filtered}, nil
	case "400", "422":
	case "401", "429", "500", "503":
		o.EndpointFault = true
	case "410":
		o.Verdict = SuspendedByReceiver
	case "timeout", "unreachable":
		o.EndpointFault, o.Unreachable = true, answer == "unreachable"
	case "give-up":
		o.Verdict = GiveUp
	case "cut":
		o.Verdict = NotAttempted
	case "expired":
		o.Verdict, o.Doubt, o.Gone = GiveUp, true, true
	default:
		return o, fmt.Errorf("no endpoint answers %q", answer)
	}
	if len(answer) == 3 {
		_, _ = fmt.Sscan(answer, &o.Status)
	}
	return o, nil
}

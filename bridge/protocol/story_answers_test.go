package protocol

import "fmt"

// answer answers requests that wait.
//
//	confirm     done
//	refuse      certainly not done
//	unanswered  not known; with `landed`: done all the same
//	deposed     another leader has written since
//	meddled     somebody has changed entries of the bucket
//	late        not an answer: a copy that went unanswered lands now
func (s *story) answer(c storyCommand) error {
	names := c.words()
	landed := len(names) > 1 && names[len(names)-1] == "landed"
	if landed {
		names = names[:len(names)-1]
	}
	for _, name := range names {
		if c.name == "late" {
			if err := s.lands(name); err != nil {
				return err
			}
			continue
		}
		q, err := s.find(name)
		if err != nil {
			return err
		}
		switch c.name {
		case "confirm":
			if err := q.lands(); err != nil {
				s.say("the bus: %v", err)
				q.answer(err)
			} else {
				q.answer(nil)
			}
		case "refuse":
			q.answer(ErrRefused)
		case "deposed":
			q.answer(ErrDeposed)
		case "meddled":
			q.answer(ErrMeddled)
		case "unanswered":
			if landed {
				_ = q.lands()
			} else {
				s.late = append(s.late, q)
			}
			q.answer(errNoAnswer)
		}
		s.settle()
	}
	return nil
}

// answerOpen answers what waits and need not wait any more.
func (s *story) answerOpen() {
	open := s.open
	s.open = nil
	for _, q := range open {
		if s.holds(q.name) {
			s.open = append(s.open, q)
		} else {
			s.queue = append(s.queue, func() { q.answer(q.lands()) })
		}
	}
}

// lands lets the copy of a request land that went unanswered.
func (s *story) lands(name string) error {
	for i, q := range s.late {
		if q.name == name {
			s.late = append(s.late[:i:i], s.late[i+1:]...)
			if err := q.lands(); err != nil {
				s.say("the bus refuses it: %v", err)
			} else {
				s.say("it lands")
			}
			return nil
		}
	}
	return fmt.Errorf("no copy of %s went unanswered", name)
}

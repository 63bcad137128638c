package protocol

// filling writes every entry of a bucket, a bounded number at a time.
type filling struct {
	c    *Machine
	b    Bucket
	rest []string // at rest, to be written as well
	subs []*sub
	late []*sub // were being changed
	out  int    // not confirmed
	lost bool   // the bucket was lost: it is sealed when all is confirmed
}

func (c *Machine) fill(b Bucket, lost bool) {
	f := &filling{c: c, b: b, lost: lost}
	f.subs = c.which(func(s *sub) bool {
		return b == BucketStatus || s.reader != nil || s.liveMark > 0 || len(s.lanes) > 0
	})
	if b == BucketStatus {
		f.rest = sorted(c.resting)
	}
	c.buckets[b].filling = f
	f.more()
}

func (f *filling) more() {
	x := &f.c.buckets[f.b]
	for x.filling == f && f.next() && f.out < f.c.Applying {
		s := f.subs[0]
		f.subs = f.subs[1:]
		if s.mode == gone {
			continue
		}
		f.out++ // held until all of the subscription is asked for
		if f.b == BucketStatus {
			s.rewriteStatus(f)
		} else {
			s.rewriteDebts(f)
		}
		f.out--
	}
	if x.filling == f && len(f.subs) == 0 && f.out == 0 {
		x.filling = nil
		if f.lost {
			f.c.log(Info, "the bucket holds everything again", "bucket", f.b.String())
			f.c.seal(f.b)
		}
	}
}

// next tells whether there is one more to write; one at rest is woken for it.
func (f *filling) next() bool {
	for len(f.subs) == 0 && len(f.rest) > 0 {
		id := f.rest[0]
		f.rest = f.rest[1:]
		if f.c.resting[id] != nil {
			f.subs = append(f.subs, f.c.sub(id))
		}
	}
	return len(f.subs) > 0
}

// await goes on when what is wanted under the key is confirmed.
func (f *filling) await(key string) {
	k := f.c.keys[key]
	if k == nil {
		return
	}
	f.out++
	k.then = append(k.then, effect{what: isFilled, filling: f})
}

func (f *filling) confirmed() {
	f.out--
	f.more()
}

// rewriteStatus: one that is being applied writes its status at the end, after
// its mark (R12).
func (s *sub) rewriteStatus(f *filling) {
	key := writerKey(BucketStatus, s.id)
	switch k := f.c.keys[key]; {
	case k != nil:
		k.onceMore()
	case s.busy():
		f.out++
		f.c.after(f.c.Tick, timer{what: dueStatus, filling: f})
		f.late = append(f.late, s)
	case s.applied > 0:
		f.c.put(BucketStatus, s.id, s.statusEntry(s.applied, s.bucket))
	}
	f.await(key)
}

// later asks again for the status of one that was being changed.
func (f *filling) later() {
	f.out--
	f.subs = append(f.subs, f.late[0])
	f.late = f.late[1:]
	f.more()
}

// onceMore: a write that is on its way while its bucket is filled again may have
// been stored before the bucket lost it. Then a repeat of it is called a duplicate,
// which tells nothing any more: only a write that began after counts.
func (k *keyWriter) onceMore() {
	if !k.busy || k.wanted {
		return // what is wanted next is a new write
	}
	k.wanted, k.want = true, k.sent
	k.then = append(k.after, k.then...)
	k.after = nil
}

func (s *sub) rewriteDebts(f *filling) {
	c := f.c
	switch k := c.keys[s.id]; {
	case k != nil:
		k.onceMore()
	case s.mode == going: // its mark goes too
	case s.reader != nil:
		s.writeMark()
	case s.liveMark > 0:
		c.put(BucketOwed, s.id, &Mark{Generation: s.gen, Live: s.liveMark})
	}
	f.await(s.id)
	for _, token := range sorted(s.lanes) {
		ln := s.lanes[token]
		if ln == nil || !ln.held {
			continue
		}
		key := ln.ledgerKey()
		switch k := c.keys[key]; {
		case k != nil:
			k.onceMore()
		case len(ln.q) == 0:
			c.put(BucketOwed, key, &LaneEntry{Generation: s.gen, Key: ln.key, UpTo: s.loadedMax[token]})
		default:
			ln.write()
		}
		f.await(key)
	}
}

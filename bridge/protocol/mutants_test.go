package protocol

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "break each rule of the protocol once and see the simulation reject it (minutes)")

// TestMutants breaks the core, one rule at a time, and demands that the
// simulation finds it. It holds the simulation itself: `make mutants`.
func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("minutes long: make mutants")
	}
	for _, m := range []struct{ rule, file, old, broken string }{
		{"R2 a gap is taken for granted", "intake.go", "consumerSeq != in.consumed+1", "false"},
		{"R2 what was taken in is taken again", "intake.go", "if streamSeq <= in.taken {", "if false {"},
		{"R4 an unknown outcome counts as done", "ledger.go", "case err == nil:", "case !errors.Is(err, ErrDeposed) && !errors.Is(err, ErrRefused):"},
		{"R5 nothing is parked", "parking.go", "if c.stopping || len(c.win) == 0", "if true || len(c.win) == 0"},
		{"R6 from leaves out what is not expanded yet", "sub.go", "return w.unexpanded(s.id) && w.seq() >= s.liveFrom && !(w.seq() == s.core.cursor.Seq && s.id < s.core.cursor.ID)", "return false"},
		{"R6 the mark forgets what is done", "sub.go", "if w.seq() >= from && !s.owes(w) {", "if false {"},
		{"R6 inherited intervals are not done", "sub.go", "if s.fromLoad {", "if false {"},
		{"R6 debts are settled before the mark is confirmed", "sub.go", "	s.writeMark(func() {\n\t\tif s.mode == going {", "	s.enterReading()\n	s.writeMark(func() {\n\t\tif s.mode == going {"},
		{"R6 what is older than a held lane is queued behind it", "lane.go", "if ln.held && it.seq <= ln.maxSeq || it.seq <= s.loadedMax[ln.token] && !s.rereads(it.seq) {", "if false {"},
		{"R6 a lane opens before its removal is confirmed", "lane.go", "c.put(BucketOwed, ln.ledgerKey(), nil, func(confirmed any) {", "ln.release()\n\t\tc.put(BucketOwed, ln.ledgerKey(), nil, func(confirmed any) {"},
		{"R7 back to live inside what is inherited", "sub.go", "r.at < c.position() ||", "r.at < c.taken ||"},
		{"R7 back to live before what is done", "sub.go", " || r.done.max() > r.at", ""},
		{"R7 leftovers are forgotten", "sub.go", "if r.from > r.at {\n\t\ts.endReading()\n\t\ts.writeLive()\n\t\treturn true", "if true {\n\t\ts.endReading()\n\t\ts.writeLive()\n\t\treturn true"},
		{"R7 leftovers of a predecessor: the mark is not confirmed before the feed opens", "core.go", "s.writeMark(func() {\n\t\t\t\t\t\ts.done()", "func(f func()) { f() }(func() {\n\t\t\t\t\t\ts.done()"},
		{"R9 state is read before the fences stand", "core.go", "		c.fence()\n\t})", "		c.load()\n\t})"},
		{"R9 the cursor is ignored", "window.go", "if w.seq() == c.cursor.Seq && m.ID < c.cursor.ID {", "if false {"},
		{"R10 what waits is not parked at a stop", "handover.go", "		c.parkAll()\n", ""},
		{"R10b what was cut is tried at once", "handover.go", "a.lane.nextWall = c.out.wall().Add(max(rest, 0))", "a.lane.nextWall = c.out.wall().Add(min(rest, 0))"},
		{"R10b what was cut is not parked", "handover.go", "		c.parkCut()\n", ""},
		{"R10b the lease goes before all is confirmed", "handover.go", "if c.writing() || c.renewing {", "if false {"},
		{"R10b positions are not flushed", "handover.go", "if s.reader.advance(); s.reader.moved {", "if false {"},
		{"R10b the cursor is missing", "core.go", "e.Cursor = &Cursor{w.seq(), id}", ""},
		{"R10 expansion goes on at a stop", "window.go", "for !c.stopping {", "for {"},
		{"R12 only the newest revision is applied", "revisions.go", "	r := s.revs[0]\n", "	s.revs = s.revs[len(s.revs)-1:]\n	r := s.revs[0]\n"},
		{"R12 attempts go on while a revision is applied", "attempt.go", "if s.busy() || len(s.revs) > 0 || s.dead", "if s.dead"},
		{"R12 any put continues a deleted record", "revisions.go", "return s.rec != nil && r.rec != nil && s.rec.Tenant == r.rec.Tenant && s.rec.Origin() == r.rec.Origin()", "return true"},
		{"R12 what was published while deactivated is delivered", "revisions.go", "rd.done.add(rd.until+1, max(seq, 1)-1)", ""},
		{"R13 anchored when seen, not when put", "revisions.go", "	s.ask(at, func(anchor, last uint64) {", "	s.ask(at, func(anchor, last uint64) {\n\t\tanchor = last + 1"},
		{"R14 the entry goes before the dead letter is stored", "attempt.go", "	ln.run = a\n	if ev == nil || ev.Seq != it.seq {", "	ln.run = nil\n	ln.remove(it)\n	_ = a\n	if ev == nil || ev.Seq != it.seq {"},
		{"R14 a breaker with nothing to probe stays open", "sub.go", "if s.failing() && r.empty && r.at", "if false && r.empty && r.at"},
		{"R16 a record without status is a new one", "history.go", "if c.caughtUp || c.old.Applied.until(r.Key, r.Bucket) < r.Revision {", "if true {"},
		{"R16 what is not applied is told as applied", "history.go", "a.But[s.id] = only", "_ = only"},
		{"R16 entries of records without status stay", "history.go", "		c.put(BucketOwed, id, nil, nil)\n		delete(l.marks, id)", "		delete(l.marks, id)"},
		{"R16 a bucket that was deleted is not filled again", "bucket.go", "	f.subs = c.which(", "	f.subs = nil\n	_ = c.which("},
		{"R16 what a bucket that is gone has confirmed counts", "ledger.go", "case err == nil && round != c.buckets[k.bucket].round:", "case err == nil && round < 0:"},
		{"R16 deactivated without a mark is live", "bucket.go", "if s.mode != live || s.active && s.valid {", "if true {"},
		{"R16 a record that vanished is not waited for", "vanish.go", "	s.goReading(reasonNotInBucket, nil)\n}", "	s.core.directory.Remove(s.id)\n}"},
		{"R15 what was looked up counts at once", "identity.go", "func (c *Machine) lookBack(then func()) {\n", "func (c *core) lookBack(then func()) {\n\tif true {\n\t\tthen()\n\t\treturn\n\t}\n"},
		{"R15 a changed stream is taken for the same", "place.go", "if p.Changed = e.changedIn(s); p.Changed != \"\"", "if p.Changed = \"\"; p.Changed != \"\""},
		{"R15 only the floor is compared", "place.go", "case e.Top.Seq > last:", "case e.FloorRef().known() && s.Floor != Other:\n\t\treturn \"\"\n\tcase e.Top.Seq > last:"},
		{"R15 nothing is moved", "moving.go", "if len(claims) == 0 && c.placed.changed == \"\" {", "if true {"},
		{"R15 what is moved is not written", "moving.go", "c.put(BucketOwed, cl.id, &mark, func(any) { m.confirmed() })", "m.confirmed()"},
		{"R15 the highest of a loaded lane may have vanished", "moving.go", "e.UpTo = min(e.UpTo, cl.valid)", "e.UpTo = max(e.UpTo, cl.highest)"},
		{"R15 a durable's floor counts above top", "place.go", "p.common, durable = e.Top.Seq, min(durable, e.Top.Seq)", "p.common = e.Top.Seq"},
		{"R15 former floors of the former stream stay", "core.go", "return x.Ref.Seq > p.common })", "return false })"},
		{"R15 settled intervals of the former stream stay", "core.go", "			c.inherited.top(p.common)\n", ""},
		{"R15 anchors of the former stream stay", "moving.go", "if s := l.status[id]; s.Anchor > p.at.Seq+1 {", "if s := l.status[id]; false {"},
		{"R15 a vanished event of a lane is sent by its number", "moving.go", "return q > cl.valid })\n\tif kept", "return false })\n\tif kept"},
		{"R12 what waited with a deleted record is forgotten", "collapse.go", "		r.done.remove(x.From, x.To)\n", ""},
		{"R12 lanes of a deleted record go before its mark is there", "collapse.go", "	s.writeMark(func() {\n\t\tfor _, ln := range lanes {", "	for _, ln := range lanes {\n\t\tif ln.run == nil {\n\t\t\tln.forgetAll()\n\t\t}\n\t}\n	s.writeMark(func() {\n\t\tfor _, ln := range lanes[:0] {"},
		{"R12 what comes once more counts as settled by a predecessor", "lane.go", " && !s.rereads(it.seq)", ""},
		{"shares: first come, first served", "shares.go", "return left > 0 && p.room(tenant+left, tenant, subscription, 1) > 0", "return p.used < p.size || left < 0"},
		{"shares: nothing is kept free", "shares.go", "free := size - used\n", "free := size\n\tif used < 0 {\n\t\treturn 0\n\t}\n"},
		{"shares: what hangs does not count", "sharing.go", "	c.shares.take(o, slots, 1)\n", ""},
		{"shares: who waits is forgotten", "turns.go", "	of.waiting = append(of.waiting, s)\n", ""},
		{"shares: who goes on has the next turn as well", "attempt.go", "if len(s.share().of.waiting) > 0 {", "if false {"},
		{"shares: a cut attempt keeps its slot", "attempt.go", "	c.discharge(a)\n", ""},
		{"a probe that was filtered is the last", "attempt.go", "if a.probe && s.failing() {", "if false {"},
	} {
		t.Run(m.rule, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			files, err := filepath.Glob("*")
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, name := range files {
				text, err := os.ReadFile(name)
				if err != nil || strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "sim") {
					continue
				}
				if name == m.file {
					found = strings.Contains(string(text), m.old)
					text = []byte(strings.Replace(string(text), m.old, m.broken, 1))
				}
				if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if !found {
				t.Fatalf("%s no longer holds %q: the mutant must follow the code", m.file, m.old)
			}
			overlay := mutantOverlay(t, dir)
			cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", overlay, "-run", "TestSimulation$", ".", "-sim.seeds", "6000")
			out, err := cmd.CombinedOutput()
			switch {
			case err == nil:
				t.Errorf("6000 seeds, and no promise was broken")
			case !strings.Contains(string(out), "seed ") && !strings.Contains(string(out), "panic:"):
				t.Errorf("the mutant does not build:\n%s", out)
			default:
				for line := range strings.Lines(string(out)) {
					if strings.Contains(line, "seed ") || strings.Contains(line, "panic:") {
						t.Log(strings.TrimSpace(line))
						break
					}
				}
			}
		})
	}
}

// mutantOverlay lets the build take the package's files from dir.
func mutantOverlay(t *testing.T, dir string) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`{"Replace":{`)
	for i, f := range files {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`"` + filepath.Join(here, filepath.Base(f)) + `":"` + f + `"`)
	}
	b.WriteString(`}}`)
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

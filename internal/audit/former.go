package audit

import (
	"container/list"

	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// former keeps the records that were changed last, so that the next change of
// one of them need not ask for what was there before. One goroutine uses it.
type former struct {
	bytes int
	order *list.List // the latest in front; *store.Written
	byKey map[string]*list.Element
}

func newFormer() *former { return &former{order: list.New(), byKey: map[string]*list.Element{}} }

func weight(w *store.Written) int { return len(w.Key) + len(w.Value) + 256 }

func (f *former) get(key string, bucket int64) (store.Written, bool) {
	e := f.byKey[key]
	if e == nil {
		return store.Written{}, false
	}
	w := e.Value.(*store.Written)
	return *w, w.Bucket == bucket
}

func (f *former) put(w store.Written) {
	if e := f.byKey[w.Key]; e != nil {
		f.remove(e)
	}
	w.Header = nil
	f.byKey[w.Key] = f.order.PushFront(&w)
	f.bytes += weight(&w)
	for f.bytes > limits.AuditFormerBytes {
		f.remove(f.order.Back())
	}
}

func (f *former) remove(e *list.Element) {
	w := f.order.Remove(e).(*store.Written)
	delete(f.byKey, w.Key)
	f.bytes -= weight(w)
}

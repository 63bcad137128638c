package filter

import "sync"

// recent is a bounded memory: at least the last `most` entries that were asked
// for are kept, at most twice as many.
type recent[K comparable, V any] struct {
	most int

	mu          sync.Mutex
	young, aged map[K]V
}

func (r *recent[K, V]) get(key K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.young[key]
	if ok {
		return v, true
	}
	if v, ok = r.aged[key]; ok {
		r.add(key, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(key K, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(key, value)
}

func (r *recent[K, V]) add(key K, value V) {
	if r.young == nil || len(r.young) >= r.most {
		r.aged, r.young = r.young, map[K]V{}
	}
	r.young[key] = value
}

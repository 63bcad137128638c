package bridge

// R16, records. The lease says up to which revision all records are applied. So
// a record without a status is not taken for a new one: its status was lost, and
// it is what its history tells of it at that revision; what came later is applied
// as usual. What a lost status told is not repeated, and what the ledger holds of
// such a record stays.

// Applied says how far the revisions of the records are applied, confirmed.
type Applied struct {
	Bucket   int64             `json:"bucket"`        // creation of the records' bucket, Unix nanoseconds
	Revision uint64            `json:"revision"`      // every revision up to here
	But      map[string]uint64 `json:"but,omitempty"` // except for these records: only up to here
}

// until is the revision up to which a record is applied.
func (a *Applied) until(id string, bucket int64) uint64 {
	if a == nil || a.Bucket != bucket {
		return 0
	}
	if only, ok := a.But[id]; ok {
		return min(only, a.Revision)
	}
	return a.Revision
}

// maxBehind is how many records the lease names that are behind the others: more
// than that hold the common revision back.
const maxBehind = 32

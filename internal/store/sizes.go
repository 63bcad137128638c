package store

// sizes of what is reserved when it is made, bytes.
type sizes struct{ owed, deadLetters, alerts int64 }

// sizesFor gives each its part of what all streams together may take, so that
// most of it is left for the events; 0: they get what they are meant to have,
// 1.15 GiB together.
func sizesFor(storage, owed int64) sizes {
	if owed <= 0 {
		owed = defaultOwedBytes
	}
	s := sizes{owed, deadLetterBytes, alertBytes}
	if storage <= 0 {
		return s
	}
	const least = 1 << 20
	return sizes{
		owed:        max(least, min(s.owed, storage/8)),
		deadLetters: max(least, min(s.deadLetters, storage/4)),
		alerts:      max(least, min(s.alerts, storage/16)),
	}
}

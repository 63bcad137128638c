// Soak runs the built orderbridge with its embedded server for an hour beside
// endpoints that fail, and shows its memory: what the process has resident,
// each minute, and what of it the Go runtime knows. A second part of the time
// publishes nothing, so that what is kept can be told from what is in use.
//
//	go run ./bench/soak -duration 60m -rate 75
//
// Four endpoints are healthy, one always answers 503, one hangs, one refuses
// connections and one fails at random one time in five. It needs Linux, and is
// not part of CI. The exit code is 1 if the healthy endpoints miss an event or
// if the memory of the second half is not bounded by -most.
package main

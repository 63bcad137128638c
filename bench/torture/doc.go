// Torture proves the promises of docs/design.md on the built program: three
// NATS servers (R3) and three bridges, each a process of its own, some twenty
// subscriptions, and receivers that keep a journal. While numbered changes of
// 200 orders are published, a seeded nemesis kills, stops, partitions and
// restarts servers and bridges, moves the leaders of streams, fills the quota of
// the ledger; the bridges share 1 to 5 shards, whose number changes all the while;
// endpoints fail; an operator changes, deactivates and deletes records. At the end all is mended, what is owed must arrive, and the checker
// (package journal, which knows nothing of the bridge's code) holds what was
// seen against the promises.
//
//	go run ./bench/torture -duration 60s -seed 1
//
// The exit code is 1 if a promise was broken. -journal keeps the journal, -check
// checks one again.
package main

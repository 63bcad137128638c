package limits

import "time"

// The audit: who changed what.
const (
	AuditBytes       = 128 << 20
	AuditAge         = 365 * 24 * time.Hour
	AuditPerSubject  = 4096
	AuditEntryBytes  = 16 << 10
	AuditValueBytes  = 256
	AuditMembers     = 64
	AuditBackfill    = 1000
	AuditQueue       = 256
	AuditQueueWait   = time.Minute
	AuditWitnessed   = 4096
	AuditToldBytes   = 64 << 10
	AuditFormerBytes = 8 << 20
	AuditPage        = 1000
	AuditScan        = 100_000
	AuditTold        = 10
	AuditMuteTime    = time.Minute
)

func audits() []Limit {
	return part("Audit",
		row("AuditBytes", size(AuditBytes), stream, "entries in AUDIT; a small account or disk gets less", "the oldest go", "TestAuditAsset"),
		row("AuditAge", lasts(AuditAge), stream, "age of an entry", "it goes", "TestAuditAsset"),
		row("AuditPerSubject", count(AuditPerSubject), subscription, "entries of one kind of change", "the oldest of them go: no tenant pushes out another's", "TestAuditAsset"),
		row("AuditEntryBytes", size(AuditEntryBytes), stream, "an entry", "it says that members changed, and not which", "TestEntryIsBounded"),
		row("AuditValueBytes", size(AuditValueBytes), recordScope, "a member before or after a change", "it is cut", "TestChanges"),
		row("AuditMembers", count(AuditMembers), recordScope, "changed members that an entry names", "it says how many more there are", "TestChanges"),
		row("AuditBackfill", count(AuditBackfill), process, "revisions that are there when the audit begins and get entries", "it begins at the newest revision"),
		row("AuditQueue", count(AuditQueue), process, "entries of commands that wait for the bus (those of records wait in their bucket)", "dropped, counted and told in the log", "TestJournalDrops"),
		row("AuditQueueWait", lasts(AuditQueueWait), process, "time for which such an entry is tried", "dropped, counted and told in the log"),
		row("AuditWitnessed", count(AuditWitnessed), process, "changes whose NATS user is remembered until their revision comes", "the oldest are forgotten: their entries name no user"),
		row("AuditToldBytes", size(AuditToldBytes), process, "what the server tells of a NATS user", "the entry names no user"),
		row("AuditFormerBytes", size(AuditFormerBytes), process, "records kept to tell a change by", "the former revision is read from the bucket"),
		row("AuditPage", count(AuditPage), command, "entries that `orderbridge audit` shows", "the newest; --limit"),
		row("AuditScan", count(AuditScan), command, "entries that are looked through for it", "it says where it stopped"),
		row("AuditTold", count(AuditTold, "a second"), process, "entries that commands ask for", "refused"),
		row("AuditMuteTime", lasts(AuditMuteTime), process, "time for which ALERTS or AUDIT is not asked for where no answer comes (a permission is missing)", "it is asked for again"),
	)
}

// What is told of changes in the stream AUDIT.
const (
	AuditCheck       = 500 * time.Millisecond // whether this bridge leads
	AuditPublishTime = 5 * time.Second
	AuditFresh       = 5 * time.Second
	AuditWitnessTime = 300 * time.Millisecond
	ActorBytes       = 1 << 10
	ActorKeyAge      = 10 * time.Second
	SeedBytes        = 4096
)

func trail() []Limit {
	return part("The audit trail",
		row("AuditCheck", lasts(AuditCheck), process, "time between two looks at whether this bridge leads", "-"),
		row("AuditPublishTime", lasts(AuditPublishTime), process, "wait for the confirmation of an entry", "it is tried again"),
		row("AuditFresh", lasts(AuditFresh), recordScope, "age of a change of which the bus may still tell who made it", "the entry says that nobody is known"),
		row("AuditWitnessTime", lasts(AuditWitnessTime), recordScope, "wait for what the bus tells of a change", "likewise"),
		row("ActorBytes", size(ActorBytes), recordScope, "what a header says of who changed it", "it is cut"),
		row("ActorKeyAge", lasts(ActorKeyAge), process, "age of the key by which the API is believed, until it is read again", "it is read again"),
		row("SeedBytes", size(SeedBytes), file, "the seed of the embedded server", "refused"),
	)
}

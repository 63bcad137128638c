package limits

import "time"

// Files that are read, and what commands wait for.
const (
	AutomationFileBytes  = 1 << 20
	AutomationCheck      = time.Second
	AutomationTime       = 5 * time.Second
	ContextFileBytes     = 1 << 20
	DiskRoom             = 8 << 20
	DiskCheck            = time.Second
	DiskRestartFirst     = 2 * time.Second // between two restarts; doubled while they do not help
	DiskRestartMost      = 2 * time.Minute
	EmbeddedStartTime    = 20 * time.Second
	CertificateFileBytes = 4 << 20
	// A shorter token could be guessed.
	TokenLeast        = 16
	CommandCallTime   = 10 * time.Second
	CommandEndTime    = 5 * time.Second
	CommandInputBytes = 256 << 20
	ApplyRecords      = 100_000
	ApplyAtOnce       = 32
	CompletionTime    = time.Second // a shell waits for it
	CompletionIDs     = 1000
	WatchPause        = 2 * time.Second
	WatchRows         = 1000
	HearingCheck      = 2 * time.Second
	// Shorter than the lease: a leader may keep it.
	DeafAfter      = 7 * time.Second
	DeafAgain      = 20 * time.Second // another server is not tried more often
	FitCheck       = 2 * time.Second  // well below the lease's length
	FitTime        = 5 * time.Second
	FitSayAgain    = time.Minute // how often the same trouble is worth an error
	AssetsCheck    = 2 * time.Second
	AssetsSayAgain = time.Minute
	AssetsTime     = 10 * time.Second // questions about streams; a busy or electing server may need some time
	MemoryFloor    = 80 << 20         // bytes: below it the collector makes no effort
	MemoryTries    = 10               // seconds of hard work until it is spared
	HeapFloor      = 64 << 20
	HeapRoom       = 256 << 20
	HeapLook       = 15 * time.Second
	VerdictTime    = 2 * time.Second
	VerdictCheck   = 20 * time.Millisecond
	DemoTime       = 2 * time.Minute
)

func host() []Limit {
	return part("Files and commands",
		row("AutomationFileBytes", size(AutomationFileBytes), file, "WEBHOOK_FILE", "it is refused, and what was read before stays", "TestFileIsBounded"),
		row("AutomationCheck", lasts(AutomationCheck), file, "time between two looks at WEBHOOK_FILE", "-"),
		row("AutomationTime", lasts(AutomationTime), process, "one request to the bus for it", "it is tried again"),
		row("ContextFileBytes", size(ContextFileBytes), file, "a context of the program nats", "it is refused"),
		row("DiskRoom", size(DiskRoom), process, "free room for which a server that had none is started again", "it waits", "TestFullDiskIsWaitedOut"),
		row("DiskCheck", lasts(DiskCheck), process, "time between two looks at the room", "-"),
		row("DiskRestartFirst", lasts(DiskRestartFirst), process, "pause between two restarts for want of room", "doubled while they do not help"),
		row("DiskRestartMost", lasts(DiskRestartMost), process, "the longest such pause", "-"),
		row("EmbeddedStartTime", lasts(EmbeddedStartTime), process, "start of the embedded server", "the program ends"),
		row("CertificateFileBytes", size(CertificateFileBytes), file, "a file of certificates, keys or tokens that a setting names", "it is refused"),
		row("TokenLeast", count(TokenLeast, "characters"), caller, "least length of a token", "the program does not start", "TestBadTokensAreRefusedUnseen"),
		row("CommandCallTime", lasts(CommandCallTime), command, "one request to the bus", "an error"),
		row("CommandEndTime", lasts(CommandEndTime), command, "its end after Ctrl-C or SIGTERM, `serve` and `demo` apart", "the process is ended"),
		row("CommandInputBytes", size(CommandInputBytes), command, "a file, or what comes by stdin", "an error: split it"),
		row("ApplyRecords", count(ApplyRecords), command, "records that are applied, compared or validated together", "an error: split them"),
		row("ApplyAtOnce", count(ApplyAtOnce), command, "of them that are read, judged or written at the same time", "the rest comes next"),
		row("CompletionTime", lasts(CompletionTime), command, "completion of an id", "none is offered"),
		row("CompletionIDs", count(CompletionIDs), command, "ids that completion offers", "further ones are not offered"),
		row("WatchPause", lasts(WatchPause), command, "time between two looks of --watch", "-"),
		row("WatchRows", count(WatchRows), command, "rows that --watch follows", "an error: say more exactly which are wanted"),
		row("HearingCheck", lasts(HearingCheck), process, "time between two looks at whether the server hears the others", "-"),
		row("DeafAfter", lasts(DeafAfter), process, "time for which it does not", "another server is tried"),
		row("DeafAgain", lasts(DeafAgain), process, "pause until the next one is tried", "-"),
		row("FitCheck", lasts(FitCheck), process, "time between two looks at whether servers and streams fit", "-"),
		row("FitTime", lasts(FitTime), process, "such a look", "it is tried again"),
		row("FitSayAgain", lasts(FitSayAgain), process, "how often what does not fit is logged as an error", "at debug"),
		row("AssetsCheck", lasts(AssetsCheck), process, "time between two looks at streams and buckets", "-"),
		row("AssetsSayAgain", lasts(AssetsSayAgain), process, "how often what is wrong with them is logged", "not logged"),
		row("AssetsTime", lasts(AssetsTime), process, "questions about streams", "not ready, with the reason"),
		row("MemoryFloor", size(MemoryFloor), process, "memory below which the collector makes no effort", "-", "TestMemoryBoundGivesWayToWhatIsInUse"),
		row("MemoryTries", count(MemoryTries, "seconds"), process, "hard work of the collector", "the bound gives way to what is in use"),
		row("HeapFloor", size(HeapFloor), process, "heap that is not collected", "-"),
		row("HeapRoom", size(HeapRoom), process, "growth of the heap until it is collected", "a quarter of what it holds"),
		row("HeapLook", lasts(HeapLook), process, "time between two looks at whether unused memory is given back", "-"),
		row("VerdictTime", lasts(VerdictTime), command, "wait for what a bridge says of a record", "it says that none has answered"),
		row("VerdictCheck", lasts(VerdictCheck), command, "time between two looks for it", "-"),
		row("DemoTime", lasts(DemoTime), command, "the demo", "it fails"),
	)
}

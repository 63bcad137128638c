package limits

import "time"

// A subscription record; lengths are in characters, as in the schema.
const (
	RecordBytes          = 64 << 10 // bytes
	RecordList           = 64       // subjects, event types, headers, labels, waits
	RecordProblems       = 50
	RecordDepth          = 256 // of a file
	RecordURL            = 2048
	RecordSubject        = 256
	RecordText           = 1024 // description, header values, secrets, user names
	RecordName           = 128  // event types, header names, labels
	RecordInFlight       = 1000
	RecordRate           = 10000 // requests of a rate limit
	RecordRateTime       = time.Hour
	RecordSigningSecrets = 8                   // signing.secrets
	RecordFilter         = 4096                // filter
	RecordAttemptTime    = 10 * time.Minute    // connectionTimeout, timeout
	RecordWait           = 30 * 24 * time.Hour // one wait of retry.schedule
	RecordLeastWait      = time.Second
	RecordLeastWaitDev   = 100 * time.Millisecond // with ORDERBRIDGE_DEV
	RecordLeastTimeout   = 10 * time.Millisecond  // connectionTimeout, timeout
)

func records() []Limit {
	const invalid = "the record is invalid; its status names the member and the bound"
	const raised = "a shorter one is raised to it; the status says so"
	return part("Subscription records",
		row("RecordBytes", size(RecordBytes), recordScope, "the whole record", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordList", count(RecordList), recordScope, "entries of subjects, eventTypes, headers, labels, retry.schedule", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordProblems", count(RecordProblems), recordScope, "problems that are told", "the rest is not told", "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordDepth", count(RecordDepth), file, "levels of what stands in a file of records", "an error"),
		row("RecordURL", count(RecordURL, "characters"), recordScope, "a URL", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordSubject", count(RecordSubject, "characters"), recordScope, "a subject filter", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordText", count(RecordText, "characters"), recordScope, "a description, header value, secret or user name", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordName", count(RecordName, "characters"), recordScope, "an event type, header name or label", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordInFlight", count(RecordInFlight), recordScope, "maxInFlight", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordRate", count(RecordRate, "requests"), recordScope, "requests of a rateLimit", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordRateTime", lasts(RecordRateTime), recordScope, "the time of a rateLimit", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordSigningSecrets", count(RecordSigningSecrets), recordScope, "signing.secrets", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordFilter", count(RecordFilter, "characters"), recordScope, "the filter", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordAttemptTime", lasts(RecordAttemptTime), recordScope, "connectionTimeout and timeout", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordWait", lasts(RecordWait), recordScope, "one wait of retry.schedule", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordLeastWait", lasts(RecordLeastWait), recordScope, "least wait of retry.schedule", raised, "TestAttackHastySchedule"),
		row("RecordLeastWaitDev", lasts(RecordLeastWaitDev), recordScope, "the same with ORDERBRIDGE_DEV", raised, "TestLeastWaits"),
		row("RecordLeastTimeout", lasts(RecordLeastTimeout), recordScope, "least connectionTimeout and timeout", raised, "TestLeastWaits"),
	)
}

// Secrets that records refer to.
const (
	ReferenceLength     = 8192 // a sealed value is the longest
	SecretFileNameBytes = 255
	SecretBytes         = 16 << 10
	SecretFileBytes     = 1 << 20
	SecretHostsBytes    = 8 << 10
	SecretHosts         = 256
	KeyIterations       = 10_000_000 // of key derivations
	KeyMemoryBytes      = 256 << 20  // of scrypt
	KeyScryptPasses     = 64
	ForeignTextBytes    = 8 << 10
	ForeignTextDecodes  = 3
	ReasonBytes         = 1 << 10
	SecretRecheck       = 2 * time.Second
)

func secrets() []Limit {
	const unread = "it is not read: the record cannot be used"
	return part("Secrets",
		row("ReferenceLength", count(ReferenceLength, "characters"), recordScope, "a reference to a secret, or a sealed value", "the record is invalid"),
		row("SecretFileNameBytes", size(SecretFileNameBytes), recordScope, "name of a file in the secrets directory", "the record is invalid", "TestFiles"),
		row("SecretBytes", size(SecretBytes), file, "a secret in the secrets directory", unread, "TestFiles"),
		row("SecretFileBytes", size(SecretFileBytes), file, "a certificate or key in the secrets directory", unread, "TestFiles"),
		row("SecretHostsBytes", size(SecretHostsBytes), file, "what says where a secret may go", "the secret goes nowhere", "TestHostsFile"),
		row("SecretHosts", count(SecretHosts), file, "hosts to which a secret may go", "the secret goes nowhere", "TestHostPatterns"),
		row("KeyIterations", count(KeyIterations, "iterations"), file, "key derivation of an encrypted private key, of all of a PKCS#12 file", "the key is not opened", "TestCostlyKeyIsNotOpenedInPKCS12"),
		row("KeyMemoryBytes", size(KeyMemoryBytes), file, "memory of scrypt of an encrypted private key", "the key is not opened", "TestCostlyKeyIsNotOpened"),
		row("KeyScryptPasses", count(KeyScryptPasses), file, "passes of scrypt of an encrypted private key", "the key is not opened", "TestCostlyKeyIsNotOpened"),
		row("ForeignTextBytes", size(ForeignTextBytes), attempt, "what an endpoint or token server says, in which secrets are looked for", "the rest is not told", "TestForeignTextHoldsNoSecret"),
		row("ForeignTextDecodes", count(ForeignTextDecodes, "times"), attempt, "how often its escapes are decoded to find secrets", "what only shows then is told", "TestSecretsInEscapes"),
		row("ReasonBytes", size(ReasonBytes), attempt, "the reason of a failure", "the rest is not told", "TestForeignTextHoldsNoSecret"),
		row("SecretRecheck", lasts(SecretRecheck), process, "time after which a record whose secret was refused is looked at again", "it comes into force when the secret may go there by then", "TestAttackSecretsOfTheHost"),
	)
}

// The filters of records (CEL).
const (
	FilterNodes         = 2000
	FilterNesting       = 64
	FilterRegexSize     = 500
	FilterRegexBytes    = 1024
	FilterCost          = 100_000
	FilterTime          = 2 * time.Second
	FilterValues        = 1 << 20
	FilterDepth         = 512
	FilterNumberDigits  = 512
	FilterHeaders       = 4096
	FilterEventBytes    = 8 << 20
	FilterDocumentBytes = 24 << 20
	FilterBytes         = 96 << 20
	FilterWorkBytes     = 6 << 20
	FilterIdleBytes     = 16 << 20
	FilterEvaluations   = 8
	FilterTextsKept     = 1 << 16
	FilterProgramsKept  = 1 << 12
	FilterPatternsKept  = 1 << 8
)

func filters() []Limit {
	const letter, waits, forgotten = "a dead letter with the reason", "the others wait, tenants and subscriptions in turn", "some are forgotten, and made again"
	const invalid = "the record is invalid; the problem tells line and column"
	return part("Filters",
		row("FilterNodes", count(FilterNodes), recordScope, "nodes of the expression, macros expanded", invalid, "TestCheck"),
		row("FilterNesting", count(FilterNesting), recordScope, "depth of the expression", invalid, "TestCheck"),
		row("FilterRegexSize", count(FilterRegexSize), recordScope, "instructions of a regular expression", invalid+"; one that the event makes: "+letter, "TestCheck"),
		row("FilterRegexBytes", size(FilterRegexBytes), delivery, "regular expression that the event makes", letter, "TestHostileExpressionsAreBounded"),
		row("FilterCost", count(FilterCost), delivery, "units of CEL, by what is looked through and made", letter, "TestHostileExpressionsAreBounded"),
		row("FilterTime", lasts(FilterTime), delivery, "time of an evaluation, waiting left out", "the attempt failed"),
		row("FilterValues", count(FilterValues), event, "values in its JSON", letter, "TestBoundsOfADocument"),
		row("FilterDepth", count(FilterDepth), event, "levels of its JSON", letter, "TestBoundsOfADocument"),
		row("FilterNumberDigits", count(FilterNumberDigits), event, "characters of a number that a filter asks for", letter, "TestBoundsOfADocument"),
		row("FilterHeaders", count(FilterHeaders), event, "headers, where a filter asks for them", letter, "TestBoundsOfADocument"),
		row("FilterEventBytes", size(FilterEventBytes), event, "its body, decompressed", letter, "TestBoundsOfADocument"),
		row("FilterDocumentBytes", size(FilterDocumentBytes), event, "memory for what is found in its JSON", letter, "TestBoundsOfADocument"),
		row("FilterBytes", size(FilterBytes), process, "memory for all evaluations", waits, "TestEvaluationsShareTheirMemory"),
		row("FilterWorkBytes", size(FilterWorkBytes), delivery, "of that, for what an expression makes", "its cost ends it before", "TestHostileExpressionsAreBounded"),
		row("FilterIdleBytes", size(FilterIdleBytes), process, "of that, for events that nobody asks about at present", forgotten),
		row("FilterEvaluations", count(FilterEvaluations), process, "evaluations at once; no more than half the cores", waits, "TestTurns"),
		row("FilterTextsKept", count(FilterTextsKept), process, "expressions that are known to be good; up to twice as many", forgotten),
		row("FilterProgramsKept", count(FilterProgramsKept), process, "expressions that are kept compiled; up to twice as many", forgotten, "TestProgramsAreShared"),
		row("FilterPatternsKept", count(FilterPatternsKept), process, "regular expressions that are kept compiled; up to twice as many", forgotten),
	)
}

// What is read from an event.
const (
	ValueBytes      = 512
	InflatedBytes   = 1 << 20
	InflatedAtLeast = 64 << 10
	InflatedTimes   = 50
	LargeLetter     = 64 << 10
	LargeLetters    = 4
)

func events() []Limit {
	const unread = "its body is not read: ids come from headers and subject only"
	return part("Events",
		row("ValueBytes", size(ValueBytes), event, "event type, order id, legacy order id, tenant, the publisher's id", "it counts as not told: a record that needs it gets a dead letter with the reason; the lane of an order and the publisher's id go by a hash; counted in `orderbridge_events_overlong_total`", "TestLongValues"),
		row("InflatedBytes", size(InflatedBytes), event, "compressed body, decompressed", unread, "TestDecode"),
		row("InflatedAtLeast", size(InflatedAtLeast), event, "what a compressed body may hold however small it is", unread, "TestInflateIsBounded"),
		row("InflatedTimes", count(InflatedTimes, "times its size"), event, "what a compressed body may hold beyond that", unread, "TestInflateIsBounded"),
		row("LargeLetter", size(LargeLetter), event, "its data, where a dead letter of it waits for one of LargeLetters places", "it waits"),
		row("LargeLetters", count(LargeLetters), process, "dead letters of large events that are stored at the same time", "the others wait; nothing is settled before", "TestAttackFiltersFillTheMemory"),
	)
}

// What an event is matched against.
const (
	PatternStars   = 8
	PatternsWithin = 16
	SubjectTokens  = 16
	SubjectStars   = 4
)

func patterns() []Limit {
	const refused = "the record is invalid; the problem names the field"
	return part("Patterns of records",
		row("PatternStars", count(PatternStars), recordScope, "stars in one of its `eventTypes`", refused, "TestPatternsAreBounded"),
		row("PatternsWithin", count(PatternsWithin), recordScope, "`eventTypes` with text between two stars", refused, "TestPatternsAreBounded"),
		row("SubjectTokens", count(SubjectTokens), recordScope, "tokens in one of its `subjects`", refused, "TestPatternsAreBounded"),
		row("SubjectStars", count(SubjectStars), recordScope, "tokens `*` in one of its `subjects`", refused, "TestPatternsAreBounded"),
	)
}

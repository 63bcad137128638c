#!/bin/sh
# The accounts of accounts.conf for a server in operator mode: prints the commands of
# nsc that make them, with activation tokens for every export, so that no other
# account of the operator can import anything. `nsc.sh | sh` runs them; it needs an
# operator (`nsc add operator NAME --sys`) and accounts that are not there yet.
# DIR (default .) is where the tokens are kept meanwhile.
set -eu
conf=$(dirname "$0")/accounts.conf
dir=${DIR:-.}
echo "set -eu"
sed 's/^ *#.*//' "$conf" | awk -v dir="$dir" '
# pick KEY: the string that follows it in the line.
function pick(key,   s) {
	s = $0
	if (!sub(".*[{ ,]" key ": *\"", "", s)) return ""
	sub("\".*", "", s)
	return s
}
function quoted(s) { return "\047" s "\047" }
# strings of a line, separated by commas
function strings(s,   list) {
	list = ""
	while (match(s, /"[^"]*"/)) {
		list = list (list == "" ? "" : ",") substr(s, RSTART + 1, RLENGTH - 2)
		s = substr(s, RSTART + RLENGTH)
	}
	return list
}
function token(account, subject) { return quoted(dir "/" account "." ++tokens[account]) }
/^  [A-Z]+ \{/ { account = $1; accounts[++n] = account; print "nsc add account " account }
/jetstream: enabled/ { print "nsc edit account " account " --js-disk-storage -1 --js-mem-storage -1 --js-streams -1 --js-consumer -1" }
/^      \{ (service|stream): "/ {
	kind = $2 == "service:" ? " --service" : ""
	subject = pick($2 == "service:" ? "service" : "stream")
	print "nsc add export --account " account " --private" kind " --name " quoted(subject) " --subject " quoted(subject) ($0 ~ /response: "stream"/ ? " --response-type Stream" : "")
}
/^      \{ (service|stream): \{ account:/ {
	subject = pick("subject"); to = pick("to"); if (to == "") to = subject
	from = $5; sub(",", "", from)
	file = token(account)
	later[++m] = "nsc generate activation --account " from " --target-account " account " --subject " quoted(subject) " --output-file " file
	later[++m] = "nsc add import --account " account " --token " file " --name " quoted(subject) " --local-subject " quoted(to) ($0 ~ /share: true/ ? " --share" : "")
}
/\{ user: "/ { user = pick("user"); publish = subscribe = "" }
/publish: \[/ { inside = 1 }
inside { s = strings($0); if (s != "") publish = publish (publish == "" ? "" : ",") s; if ($0 ~ /\]/) inside = 0; next }
/subscribe: \[/ { subscribe = strings($0) }
/allow_responses:/ { responses = " --allow-pub-response=1 --response-ttl 1m" }
/^      \} \}/ {
	later[++m] = "nsc add user --account " account " --name " user " --allow-pub " quoted(publish) " --allow-sub " quoted(subscribe) responses
	responses = ""
}
END { for (i = 1; i <= m; i++) print later[i] }
'

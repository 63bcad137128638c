package http1

import "strings"

// What comes after the bytes of a row.
const (
	stays   = "" // the connection stays open, and the server reads on
	fin     = "fin"
	rst     = "rst"
	lateRST = "rst 20 ms later"
	late    = "a second answer 30 ms later"
)

// row is a measured answer: how it ends and what is to come of it. The numbers
// are those of the specification; several rows of one number are its variants.
type row struct {
	n      string
	answer string
	status int    // 0: no answer
	reuse  bool   // the connection is kept
	after  string // what comes after the bytes
}

const injected = "HTTP/1.1 277 X\r\nContent-Length: 0\r\n\r\n"

func ok200(fields, body string) string { return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body }

var (
	cl2     = "Content-Length: 2\r\n"
	chunked = "Transfer-Encoding: chunked\r\n"
	good    = "2\r\nok\r\n0\r\n\r\n"
)

var rows = []row{
	{"1", ok200(cl2, "ok"), 200, true, stays},
	{"2 no SP", "HTTP/1.1 200\r\n" + cl2 + "\r\nok", 200, true, stays},
	{"2 SP", "HTTP/1.1 200 \r\n" + cl2 + "\r\nok", 200, true, stays},
	{"3", "HTTP/1.1  200 OK\r\n" + cl2 + "\r\nok", 200, false, stays},
	{"4 TAB", "HTTP/1.1\t200 OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"4 two", "HTTP/1.1 20 OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"4 four", "HTTP/1.1 2000 OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"5", "HTTP/1.1 +20 OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"6", "HTTP/1.1 600 X\r\n" + cl2 + "\r\nok", 600, false, stays},
	{"6 999", "HTTP/1.1 999 X\r\n" + cl2 + "\r\nok", 999, false, stays},
	{"7", "HTTP/1.1 099 X\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"8", "http/1.1 200 OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"9", "HTTP/1.2 200 OK\r\n" + cl2 + "\r\nok", 200, false, stays},
	{"10", "HTTP/2.0 200 OK\r\n" + cl2 + "\r\nok", 200, false, stays},
	{"11 0.9", "<html>ok</html>\n", 0, false, fin},
	{"11 01.1", "HTTP/01.1 200 OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"11 ICY", "ICY 200 OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"11 200OK", "HTTP/1.1 200OK\r\n" + cl2 + "\r\nok", 0, false, stays},
	{"12", "\r\n" + ok200(cl2, "ok"), 200, false, stays},
	{"12 two", "\r\n\r\n" + ok200(cl2, "ok"), 0, false, stays},
	{"13 NUL", "HTTP/1.1 200 O\x00K\r\n" + cl2 + "\r\nok", 200, false, stays},
	{"13 CR", "HTTP/1.1 200 O\rK\r\n" + cl2 + "\r\nok", 200, false, stays},
	{"14", "HTTP/1.1 200 \xc3\xbc\xff\r\nX: \x80\xff\r\n" + cl2 + "\r\nok", 200, true, stays},
	{"15", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, false, stays},
	{"16", ok200("X: 1\rContent-Length: 2\r\n", "ok"), 200, false, stays},
	{"17", ok200("X: 1\r\n folded\r\n"+cl2, "ok"), 200, false, stays},
	{"17 CL", ok200("Content-Length:\r\n 2\r\n", "ok"), 200, false, stays},
	{"18", ok200("Content-Length : 2\r\n", "ok"), 200, false, stays},
	{"19", ok200(" X: 1\r\n"+cl2, "ok"), 200, false, stays},
	{"20 no colon", ok200("X\r\n"+cl2, "ok"), 200, false, stays},
	{"20 no name", ok200(": x\r\n"+cl2, "ok"), 200, false, stays},
	{"20 no token", ok200("X(y): x\r\n"+cl2, "ok"), 200, false, stays},
	{"20 UTF-8", ok200("Xü: x\r\n"+cl2, "ok"), 200, false, stays},
	{"21 NUL", ok200("X: \x00\r\n"+cl2, "ok"), 200, false, stays},
	{"21 01", ok200("X: \x01\r\n"+cl2, "ok"), 200, false, stays},
	{"22", ok200(strings.Repeat("X: "+strings.Repeat("x", 995)+"\r\n", 80)+cl2, "ok"), 200, false, stays},
	{"22 one", ok200("X: "+strings.Repeat("x", 80<<10)+"\r\n"+cl2, "ok"), 200, false, stays},
	{"23", ok200(strings.Repeat("X: y\r\n", 2000)+cl2, "ok"), 200, false, stays},
	{"24", "HTTP/1.1 200 OK\r\nContent-Le", 200, false, fin},
	{"24 silent", "HTTP/1.1 200 OK\r\nContent-Le", 200, false, stays},
	{"25", "HTTP/1.1 200 OK", 0, false, fin},
	{"26", "HTTP/1.1 200 OK\r\r\nContent-Length: 2\r\r\n\r\r\nok", 200, false, stays},
	{"27", ok200(cl2+cl2, "ok"), 200, false, stays},
	{"28", ok200("Content-Length: 2, 2\r\n", "ok"), 200, false, stays},
	{"29", ok200(cl2+"Content-Length: 3\r\n", "ok"), 200, false, stays},
	{"30 +2", ok200("Content-Length: +2\r\n", "ok"), 200, false, stays},
	{"30 0x2", ok200("Content-Length: 0x2\r\n", "ok"), 200, false, stays},
	{"30 2 3", ok200("Content-Length: 2 3\r\n", "ok"), 200, false, stays},
	{"31 -1", ok200("Content-Length: -1\r\n", "ok"), 200, false, stays},
	{"31 empty", ok200("Content-Length:\r\n", "ok"), 200, false, stays},
	{"32 2^63", ok200("Content-Length: 9223372036854775808\r\n", "ok"), 200, false, stays},
	{"32 2^64+2", ok200("Content-Length: 18446744073709551618\r\n", "ok"), 200, false, stays},
	{"33", ok200("Content-Length: 002\r\n", "ok"), 200, true, stays},
	{"33 TAB", ok200("Content-Length:\t2\t\r\n", "ok"), 200, true, stays},
	{"34", ok200("Content-Length: 1_0\r\n", "0123456789"), 200, false, stays},
	{"35 CL", ok200("Content-Length: 9\r\n", "ok"), 200, false, fin},
	{"35 chunks", ok200(chunked, "9\r\nok"), 200, false, fin},
	{"36 answer", ok200(cl2, "ok") + injected, 200, false, stays},
	{"36 CRLF", ok200(cl2, "ok") + "\r\n", 200, false, stays},
	{"37", ok200(cl2, "ok"), 200, false, late},
	{"38", ok200("", "ok"), 200, false, fin},
	{"39", ok200("", ""), 200, false, stays},
	{"39 keep-alive", ok200("Connection: keep-alive\r\n", "ok"), 200, false, stays},
	{"39 1.0", "HTTP/1.0 200 OK\r\n\r\nok", 200, false, stays},
	{"40", ok200(chunked, good), 200, true, stays},
	{"40 blanks", ok200("Transfer-Encoding:  CHUNKED \r\n", good), 200, true, stays},
	{"41", ok200(chunked+"Content-Length: 5\r\n", good), 200, false, stays},
	{"42 gzip", ok200("Transfer-Encoding: gzip, chunked\r\n", good), 200, false, stays},
	{"42 xchunked", ok200("Transfer-Encoding: xchunked\r\n"+cl2, "ok"), 200, false, stays},
	{"43", ok200("Transfer-Encoding: identity\r\n", "ok"), 200, false, stays},
	{"43 empty", ok200("Transfer-Encoding:\r\n", "ok"), 200, false, stays},
	{"43 CL", ok200("Transfer-Encoding: identity\r\n"+cl2, "ok"), 200, false, stays},
	{"44", ok200(chunked+chunked, good), 200, false, stays},
	{"45", ok200("Transfer-Encoding: chunked, identity\r\n", good), 200, false, stays},
	{"45 parameter", ok200("Transfer-Encoding: chunked;x=1\r\n", good), 200, false, stays},
	{"46", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + chunked + "Content-Length: 12\r\n\r\n" + good, 200, false, stays},
	{"47", ok200(chunked, "2;a=b\r\nok\r\n0;c=\"d\"\r\nX: y\r\n\r\n"), 200, true, stays},
	{"48", ok200(chunked, "2 \t \r\nok\r\n0  \r\n\r\n"), 200, true, stays},
	{"49", ok200(chunked, "2 erf\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"50", ok200(chunked, "2\nok\n0\n\n"), 200, false, stays},
	{"50 extension", ok200(chunked, "2;a\nb\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"51 0x2", ok200(chunked, "0x2\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"51 +2", ok200(chunked, "+2\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"51 empty", ok200(chunked, "\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"52 17", ok200(chunked, "10000000000000002\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"52 F", ok200(chunked, "FFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"52 zeros", ok200(chunked, "00000000000000000002\r\nok\r\n0\r\n\r\n"), 200, false, stays},
	{"53", ok200(chunked, "2\r\nok0\r\n\r\n"), 200, false, stays},
	{"54", ok200(chunked, "2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n"), 200, false, stays},
	{"55 8 KiB", ok200(chunked, "2\r\nok\r\n0\r\nX: "+strings.Repeat("x", 8<<10)+"\r\n\r\n"), 200, false, stays},
	{"55 no colon", ok200(chunked, "2\r\nok\r\n0\r\nX\r\n\r\n"), 200, false, stays},
	{"56", ok200(chunked, "2\r\nok\r\n0\r\n"), 200, false, stays},
	{"57", ok200(chunked, good) + injected, 200, false, stays},
	{"58", "HTTP/1.1 204 No Content\r\n\r\n", 204, true, stays},
	{"58 CL 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, true, stays},
	{"59", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, false, stays},
	{"60 CL", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, false, stays},
	{"60 chunked", "HTTP/1.1 204 No Content\r\n" + chunked + "\r\n" + good, 204, false, stays},
	{"60 answer", "HTTP/1.1 204 No Content\r\n\r\n" + injected, 204, false, stays},
	{"61", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, true, stays},
	{"61 TE", "HTTP/1.1 304 Not Modified\r\n" + chunked + "\r\n", 304, false, stays},
	{"62", "HTTP/1.1 304 Not Modified\r\n\r\nhello", 304, false, stays},
	{"63", "HTTP/1.1 205 Reset Content\r\n\r\n", 205, false, stays},
	{"63 CL 0", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205, true, stays},
	{"64 100", "HTTP/1.1 100 Continue\r\n\r\n" + ok200(cl2, "ok"), 200, true, stays},
	{"64 103", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok200(cl2, "ok"), 200, true, stays},
	{"64 150", "HTTP/1.1 150 X\r\n\r\n" + ok200(cl2, "ok"), 200, true, stays},
	{"65", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + ok200(cl2, "ok"), 200, false, stays},
	{"66", "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + ok200(cl2, "ok"), 200, false, stays},
	{"67", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5000) + ok200(cl2, "ok"), 0, false, stays},
	{"68", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 101, false, stays},
	{"68 bare", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, false, stays},
	{"69", "HTTP/1.1 100 Continue\r\n\r\n", 0, false, fin},
	{"70", ok200(cl2, "ok") + "HTTP/1.1 100 Continue\r\n\r\n", 200, false, stays},
	{"71 Upgrade", ok200("Upgrade: h2c\r\n"+cl2, "ok"), 200, true, stays},
	{"71 gzip", ok200("Content-Encoding: gzip\r\n"+cl2, "ok"), 200, true, stays},
	{"72", ok200("Connection: close\r\n"+cl2, "ok"), 200, false, stays},
	{"72 list", ok200("Connection: x, CLOSE ,y\r\n"+cl2, "ok"), 200, false, stays},
	{"72 second", ok200("Connection: keep-alive\r\nconnection: close\r\n"+cl2, "ok"), 200, false, stays},
	{"72 1.0", "HTTP/1.0 200 OK\r\n" + cl2 + "\r\nok", 200, false, stays},
	{"73", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + cl2 + "\r\nok", 200, true, stays},
	{"74", ok200("Proxy-Connection: close\r\n"+cl2, "ok"), 200, true, stays},
	{"75", ok200(cl2, "ok"), 200, false, fin},
	{"76", ok200(cl2, "ok"), 200, false, lateRST},
	{"77 FIN", "", 0, false, fin},
	{"77 RST", "", 0, false, rst},
	{"78 CL", ok200("Content-Length: 9\r\n", "ok"), 200, false, rst},
	{"78 until close", ok200("", "ok"), 200, false, rst},
	{"79", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 408, false, fin},
	{"80", ok200("Keep-Alive: timeout=1\r\n"+cl2, "ok"), 200, false, stays},
	{"81", ok200("Keep-Alive: timeout=5, max=0\r\n"+cl2, "ok"), 200, false, stays},
	{"82", "HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\nok", 500, false, fin},
	{"83", ok200("Content-Length: 204800\r\n", strings.Repeat("x", 200<<10)), 200, false, stays},
	{"84", "HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 301, true, stays},
	{"89", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", 0, false, stays},
	{"89 GOAWAY", "\x00\x00\x0a\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01ab", 0, false, stays},
}

import XCTest

@testable import WebSocketEngine

final class RequestHeadTests: XCTestCase {
    // MARK: Requests of real clients

    /// A browser that opens `new WebSocket("ws://localhost:8000/ws/rooms/lobby?token=a%20b")`.
    private let browser = message(
        "GET /ws/rooms/lobby?token=a%20b HTTP/1.1", "Host: localhost:8000", "Connection: Upgrade",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
        "Upgrade: websocket", "Origin: http://localhost:8000", "Sec-WebSocket-Version: 13",
        "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-US,en;q=0.9",
        "Cookie: theme=dark; id=42",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")

    func testABrowsersHandshake() throws {
        let (head, length) = try parsed(browser)
        XCTAssertEqual(length, browser.utf8.count)
        XCTAssertEqual(head.method, "GET")
        XCTAssertEqual(head.target, "/ws/rooms/lobby?token=a%20b")
        XCTAssertEqual(head.path, "/ws/rooms/lobby")
        XCTAssertEqual(head.query, "token=a%20b")
        XCTAssertEqual(head.minorVersion, 1)
        XCTAssertEqual(head.headers.map(\.name).count, 13)
        XCTAssertEqual(head.headers["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==")
        XCTAssertTrue(head.headers.hasToken("upgrade", in: "Connection"))
        XCTAssertNil(head.contentLength)
    }

    func testAPostOfCurl() throws {
        let text =
            message(
                "POST /publish/news HTTP/1.1", "Host: localhost:8000", "User-Agent: curl/8.5.0",
                "Accept: */*",
                "Content-Type: application/json", "Content-Length: 15")
        let (head, length) = try parsed(text + #"{"data": "new"}"#)
        XCTAssertEqual(length, text.utf8.count, "the body is not part of the head")
        XCTAssertEqual(head.method, "POST")
        XCTAssertEqual(head.path, "/publish/news")
        XCTAssertEqual(head.query, "")
        XCTAssertEqual(head.contentLength, 15)
    }

    func testAHandshakeOfPythonsWebsockets() throws {
        let (head, _) = try parsed(
            message(
                "GET / HTTP/1.1", "Host: 127.0.0.1:8000", "Upgrade: websocket", "Connection: Upgrade",
                "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==", "Sec-WebSocket-Version: 13",
                "User-Agent: Python/3.12 websockets/13.1"))
        XCTAssertEqual(head.path, "/")
        XCTAssertEqual(head.headers["Upgrade"], "websocket")
    }

    // MARK: Pieces

    func testOneByteAtATime() throws {
        let bytes = Array((browser + "body").utf8)
        var parser = HTTPHeadParser(limits: Limits())
        for count in 0..<browser.utf8.count {
            XCTAssertNil(try parse(bytes[..<count], with: &parser), "\(count)")
        }
        let parsed = try XCTUnwrap(parse(bytes[..<browser.utf8.count], with: &parser))
        XCTAssertEqual(parsed.length, browser.utf8.count)
        XCTAssertEqual(parsed.head, try self.parsed(browser).head)
    }

    func testEverySplitPoint() throws {
        let text = message("GET /a?b HTTP/1.1", "Host: x", "Cookie: ", "Content-Length: 3") + "abc"
        let bytes = Array(text.utf8)
        for split in 0..<(bytes.count - 3) {
            var parser = HTTPHeadParser(limits: Limits())
            XCTAssertNil(try parse(bytes[..<split], with: &parser), "\(split)")
            let parsed = try XCTUnwrap(parse(bytes[...], with: &parser), "\(split)")
            XCTAssertEqual(parsed.length, bytes.count - 3, "\(split)")
            XCTAssertEqual(parsed.head.query, "b", "\(split)")
            XCTAssertEqual(
                parsed.head.headers, ["Host": "x", "Cookie": "", "Content-Length": "3"], "\(split)")
        }
    }

    func testBytesThatTrickleInAreLookedAtOnce() throws {
        // 32 KiB one at a time: a parser that began anew with each byte would look at 500 million.
        let bytes = Array(message("GET / HTTP/1.1", "Host: x", "X: \(filler(30_000))").utf8)
        var parser = HTTPHeadParser(limits: Limits())
        let start = ContinuousClock.now
        for count in 0..<bytes.count { XCTAssertNil(try parse(bytes[..<count], with: &parser)) }
        XCTAssertNotNil(try parse(bytes[...], with: &parser))
        XCTAssertLessThan(ContinuousClock.now - start, .seconds(2))
    }

    func testAFaultIsReportedBeforeTheHeadIsWhole() {
        assertRefused("GET / HTTP/2.0\r\n", 505)
        assertRefused("GET / HTTP/1.1\r\nHost : x\r\n", 400)
        assertRefused("GET / HTTP/1.1\n", 400)
    }

    func testEveryFaultIsTheSameInPieces() throws {
        for text in [
            message("GET / HTTP/2.0", "Bad Name: x"), message("GET / HTTP/1.1", "Bad Name: x"),
            message("GET / HTTP/1.1", "Host: x", "X: \(filler(40_000))"),
            message("GET /\(filler(9_000)) HTTP/1.1"),
            message("GET / HTTP/1.1", "Host: x", "Host: x"), "\r\n\r\n", "\r\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\n",
        ] {
            let whole = refusal(text)
            XCTAssertNotNil(whole)
            var parser = HTTPHeadParser(limits: Limits())
            let bytes = Array(text.utf8)
            var piecewise: HTTPError?
            for count in 1...bytes.count where piecewise == nil {
                do { _ = try parse(bytes[..<count], with: &parser) } catch { piecewise = error as? HTTPError }
            }
            XCTAssertEqual(piecewise, whole)
        }
    }

    // MARK: The request line

    func testOneEmptyLineBeforeTheRequestIsIgnored() throws {
        let request = "\r\n" + message("GET / HTTP/1.1", "Host: x")
        XCTAssertEqual(try parsed(request).length, request.utf8.count)
        assertRefused("\r\n" + request, 400)
        assertRefused("\n" + request, 400)
    }

    func testAMethodIsAToken() throws {
        XCTAssertEqual(try parsed(message("M-SEARCH! / HTTP/1.1", "Host: x")).head.method, "M-SEARCH!")
        for method in ["", "G(T", "G\tT", "GÉT", "G\0T", "G:T"] {
            assertRefused(message("\(method) / HTTP/1.1", "Host: x"), 400)
        }
    }

    func testTheRequestLineHasThreeParts() {
        for line in [
            "GET", "GET ", "GET /", "GET HTTP/1.1", "GET  HTTP/1.1", "GET  / HTTP/1.1", "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET\t/\tHTTP/1.1", "GET /a b HTTP/1.1",
        ] {
            assertRefused(message(line, "Host: x"), 400)
        }
    }

    func testVersions() throws {
        XCTAssertEqual(try parsed(message("GET / HTTP/1.0")).head.minorVersion, 0)
        for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/1.10", "HTTP/1", "HTTP/3"] {
            assertRefused(message("GET / \(version)", "Host: x"), 505)
        }
        assertRefused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
        for version in ["http/1.1", "HTTPS/1.1", "FTP/1.1", "1.1"] {
            assertRefused(message("GET / \(version)", "Host: x"), 400)
        }
    }

    func testTargetsThatAreNeitherPathNorURL() {
        for target in [
            "*", "ws", "localhost:8000", "?a=b", "ftp://x/", "file:///etc/passwd", "http:/x", "http://",
            "http:///x",
            "http://?q", "http://user@x/", "ws://x@y", "/é", "/a\u{7F}", "/a\tb", "/a\0",
        ] {
            assertRefused(message("GET \(target) HTTP/1.1", "Host: x"), 400)
        }
    }

    func testAnAbsoluteTargetIsReducedToItsPath() throws {
        for (target, path, query) in [
            ("http://example.com/ws?a=b", "/ws", "a=b"), ("https://example.com/", "/", ""),
            ("ws://example.com", "/", ""), ("WSS://example.com?a=/x?y", "/", "a=/x?y"),
        ] {
            let (head, _) = try parsed(message("GET \(target) HTTP/1.1", "Host: evil.example"))
            XCTAssertEqual(head.target, target)
            XCTAssertEqual(head.path, path, target)
            XCTAssertEqual(head.query, query, target)
            XCTAssertEqual(head.headers.values(for: "host"), ["example.com"], target)
        }
    }

    func testPathAndQueryStayEncoded() throws {
        for (target, path, query) in [
            ("/a%20b/%2F?x=%26", "/a%20b/%2F", "x=%26"), ("/?", "/", ""), ("/a?b?c", "/a", "b?c"),
            ("//x", "//x", ""),
        ] {
            let (head, _) = try parsed(message("GET \(target) HTTP/1.1", "Host: x"))
            XCTAssertEqual(head.path, path, target)
            XCTAssertEqual(head.query, query, target)
        }
    }

    func testTLSOnAPlainPortIsNamed() {
        let error = refusal("\u{16}\u{3}\u{1}")
        XCTAssertEqual(error?.status, 400)
        XCTAssertEqual(error?.reason.contains("TLS"), true)
    }

    // MARK: Fields

    func testWhitespaceAroundAValueIsNotPartOfIt() throws {
        let (head, _) = try parsed(message("GET / HTTP/1.1", "Host:x", "A: \t b \t c \t ", "B:", "C: \t "))
        XCTAssertEqual(head.headers, ["Host": "x", "A": "b \t c", "B": "", "C": ""])
    }

    func testAValueMayHoldColonsQuotesAndBytesAboveASCII() throws {
        let (head, _) = try parsed(message("GET / HTTP/1.1", "Host: [::1]:8000", "X: \"é\" 日本"))
        XCTAssertEqual(head.headers["Host"], "[::1]:8000")
        XCTAssertEqual(head.headers["X"], "\"é\" 日本")
    }

    func testBytesThatAreNotUTF8DoNotEndTheRequest() throws {
        let bytes = Array("GET / HTTP/1.1\r\nHost: x\r\nX: caf".utf8) + [0xE9] + Array("\r\n\r\n".utf8)
        var parser = HTTPHeadParser(limits: Limits())
        XCTAssertEqual(try parse(bytes[...], with: &parser)?.head.headers["X"], "caf\u{FFFD}")
    }

    func testMalformedFields() {
        for field in [
            "Host : x", "Host\t: x", ": x", ":", "Host", "Ho st: x", "H@st: x", "Höst: x", "H\0st: x",
            "Host; x",
            " Host: x", "\tHost: x",
        ] {
            assertRefused(message("GET / HTTP/1.1", field), 400)
            assertRefused(message("GET / HTTP/1.1", "Host: x", field), 400)
        }
    }

    func testLineFolding() {
        assertRefused(message("GET / HTTP/1.1", "Host: x", "A: b", " c"), 400)
        assertRefused(message("GET / HTTP/1.1", "Host: x", "A: b", "\tc"), 400)
        // It would be refused as a field without a name as well, but with a sentence that helps nobody.
        let reason = refusal(message("GET / HTTP/1.1", "Host: x", "A: b", " c"))?.reason
        XCTAssertEqual(reason?.contains("folding"), true)
    }

    func testControlCharactersInAValue() {
        for byte in Array(UInt8(0)...0x1F) + [0x7F] where byte != UInt8(ascii: "\t") {
            assertRefused(message("GET / HTTP/1.1", "Host: x", "A: b\(Character(UnicodeScalar(byte)))c"), 400)
        }
    }

    func testALineFeedAloneEndsNoLine() {
        assertRefused("GET / HTTP/1.1\nHost: x\r\n\r\n", 400)
        assertRefused("GET / HTTP/1.1\r\nHost: x\n\r\n", 400)
        assertRefused("GET / HTTP/1.1\r\nHost: x\r\n\n", 400)
        assertRefused("GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", 400)
    }

    func testACarriageReturnAloneEndsNoLine() {
        assertRefused("GET / HTTP/1.1\rHost: x\r\n\r\n", 400)
        assertRefused("GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400)
        assertRefused("GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400)
    }

    func testHostIsThereOnce() throws {
        assertRefused(message("GET / HTTP/1.1"), 400)
        assertRefused(message("GET http://x/ HTTP/1.1"), 400)
        XCTAssertEqual(try parsed(message("GET / HTTP/1.1", "Host:")).head.headers["Host"], "")
    }

    func testFieldsThatMustNotBeRepeated() {
        for name in ["Host", "Content-Length", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
            let first = name == "Host" ? "A: b" : "Host: x"
            assertRefused(message("GET / HTTP/1.1", first, "\(name): 13", "\(name.lowercased()): 13"), 400)
        }
    }

    func testContentLengthIsAPlainDecimal() throws {
        for value in ["0", "007", "9223372036854775807"] {
            let (head, _) = try parsed(message("POST / HTTP/1.1", "Host: x", "Content-Length: \(value)"))
            XCTAssertEqual(head.contentLength, Int(value))
        }
        for value in [
            "", "+5", "-1", "5, 5", "0x10", "1e3", "5.0", "5 5", "٣", "9223372036854775808", filler(30, "9"),
        ] {
            assertRefused(message("POST / HTTP/1.1", "Host: x", "Content-Length: \(value)"), 400)
        }
    }

    func testTransferEncodingIsNotSpoken() {
        assertRefused(message("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"), 501)
        assertRefused(message("POST / HTTP/1.1", "Host: x", "Transfer-Encoding:"), 501)
        for order in [
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            ["transfer-encoding: x", "content-length: 5"],
        ] {
            assertRefused(message("POST / HTTP/1.1", "Host: x", order[0], order[1]), 400)
        }
    }

    // MARK: Limits

    func testTheLengthOfTheRequestLine() throws {
        let longest = "GET /\(filler(8 * 1024 - 14)) HTTP/1.1"
        XCTAssertEqual(longest.utf8.count, 8 * 1024)
        XCTAssertEqual(try parsed(message(longest, "Host: x")).head.target.utf8.count, 8 * 1024 - 13)
        assertRefused(message("GET /\(filler(8 * 1024 - 13)) HTTP/1.1", "Host: x"), 414)
        // With no end of the line in sight.
        assertRefused(filler(8 * 1024 + 2), 414)
        XCTAssertNil(refusal(filler(8 * 1024 + 1)))
    }

    func testTheNumberOfFields() throws {
        let fields = ["Host: x"] + (1..<100).map { "X-\($0): y" }
        XCTAssertEqual(try parsed(message(["GET / HTTP/1.1"] + fields)).head.headers.map(\.name).count, 100)
        assertRefused(message(["GET / HTTP/1.1"] + fields + ["One-More: y"]), 431)
    }

    func testTheLengthOfAllFields() throws {
        // "Host: x", CRLF, "X: …", CRLF, CRLF
        let longest = filler(32 * 1024 - 9 - 3 - 2 - 2)
        XCTAssertEqual(
            try parsed(message("GET / HTTP/1.1", "Host: x", "X: \(longest)")).head.headers["X"], longest)
        assertRefused(message("GET / HTTP/1.1", "Host: x", "X: \(longest)a"), 431)
        // With no end of the head in sight, in one line or in many.
        assertRefused("GET / HTTP/1.1\r\nX: \(longest)\(filler(13))", 431)
        assertRefused("GET / HTTP/1.1\r\n" + (0..<40).map { "X\($0): \(filler(1_000))\r\n" }.joined(), 431)
        XCTAssertNil(refusal("GET / HTTP/1.1\r\nX: \(longest)\(filler(12))"))
    }

    func testABodyDoesNotCountAsFields() throws {
        let head = message("POST / HTTP/1.1", "Host: x", "Content-Length: 100000")
        XCTAssertEqual(try parsed(head + filler(100_000)).length, head.utf8.count)
    }

    func testLimitsCanBeChanged() {
        var limits = Limits()
        limits.requestLine = 20
        limits.headerCount = 1
        limits.headerBytes = 20
        XCTAssertEqual(refusal(message("GET /1234567 HTTP/1.1"), limits)?.status, 414)
        XCTAssertNil(refusal(message("GET /123456 HTTP/1.1", "Host: x"), limits))
        XCTAssertEqual(refusal(message("GET / HTTP/1.1", "A: b", "B: c"), limits)?.status, 431)
        XCTAssertEqual(refusal(message("GET / HTTP/1.1", "A: \(filler(20))"), limits)?.status, 431)
    }

    // MARK: Helpers

    private func parsed(_ text: String) throws -> (head: RequestHead, length: Int) {
        var parser = HTTPHeadParser(limits: Limits())
        return try XCTUnwrap(parse(Array(text.utf8)[...], with: &parser))
    }

    private func parse(
        _ bytes: ArraySlice<UInt8>, with parser: inout HTTPHeadParser
    ) throws -> (head: RequestHead, length: Int)? {
        try bytes.withUnsafeBytes { try parser.parseRequest($0) }
    }

    /// Why the text is refused; `nil` if it is a head or the beginning of one.
    private func refusal(_ text: String, _ limits: Limits = Limits()) -> HTTPError? {
        var parser = HTTPHeadParser(limits: limits)
        do {
            _ = try parse(Array(text.utf8)[...], with: &parser)
            return nil
        } catch {
            return error as? HTTPError
        }
    }

    private func assertRefused(
        _ text: String, _ status: Int, file: StaticString = #filePath, line: UInt = #line
    ) {
        let error = refusal(text)
        XCTAssertEqual(error?.status, status, text.prefix(200).debugDescription, file: file, line: line)
        XCTAssertEqual(error?.reason.hasSuffix("."), true, "not a sentence", file: file, line: line)
    }
}

final class ResponseHeadTests: XCTestCase {
    func testTheResponseOfRFC6455() throws {
        let text = message(
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: chat")
        let (head, length) = try XCTUnwrap(parse(text + "\u{1}\u{0}"))
        XCTAssertEqual(length, text.utf8.count)
        XCTAssertEqual(head.status, 101)
        XCTAssertEqual(head.reason, "Switching Protocols")
        XCTAssertEqual(head.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    func testTheReasonMayBeMissing() throws {
        for line in ["HTTP/1.1 404 ", "HTTP/1.1 404", "HTTP/1.0 404"] {
            let head = try XCTUnwrap(parse(message(line, "Content-Length: 9"))).head
            XCTAssertEqual(head.status, 404)
            XCTAssertEqual(head.reason, "")
            XCTAssertEqual(head.contentLength, 9)
        }
    }

    func testAResponseMayUseTransferEncoding() throws {
        let head = try XCTUnwrap(parse(message("HTTP/1.1 403 Forbidden", "Transfer-Encoding: chunked"))).head
        XCTAssertEqual(head.status, 403)
        XCTAssertNil(head.contentLength)
    }

    func testMalformedStatusLines() {
        for line in [
            "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 2x0 OK",
            "HTTP/1.1 +20 OK",
            "HTTP/1.1 099 No", "HTTP/1.1  200 OK", "HTTP/1.1 200 O\0K", "ICY 200 OK", "GET / HTTP/1.1",
            "SSH-2.0-x",
        ] {
            XCTAssertEqual(refusal(message(line)), 400, line)
        }
        XCTAssertEqual(refusal(message("HTTP/2.0 200 OK")), 400)
    }

    func testMalformedFields() {
        for field in ["A : b", " A: b", ": b", "A", "A: \0", "Content-Length: -1"] {
            XCTAssertEqual(refusal(message("HTTP/1.1 200 OK", field)), 400, field)
        }
        XCTAssertEqual(refusal("HTTP/1.1 200 OK\n\n"), 400)
    }

    func testEverySplitPoint() throws {
        let bytes = Array(message("HTTP/1.1 426 Upgrade Required", "Sec-WebSocket-Version: 13").utf8)
        for split in 0..<bytes.count {
            var parser = HTTPHeadParser(limits: Limits())
            XCTAssertNil(try bytes[..<split].withUnsafeBytes { try parser.parseResponse($0)?.length })
            let head = try bytes.withUnsafeBytes { try parser.parseResponse($0)?.head }
            XCTAssertEqual(head?.status, 426)
            XCTAssertEqual(head?.headers["Sec-WebSocket-Version"], "13")
        }
    }

    private func parse(_ text: String) throws -> (head: ResponseHead, length: Int)? {
        var parser = HTTPHeadParser(limits: Limits())
        return try Array(text.utf8).withUnsafeBytes { try parser.parseResponse($0) }
    }

    private func refusal(_ text: String) -> Int? {
        do {
            _ = try parse(text)
            return nil
        } catch {
            return (error as? HTTPError)?.status
        }
    }
}

/// The lines of a head, with the empty line that ends it.
private func message(_ lines: String...) -> String { message(lines) }

private func message(_ lines: [String]) -> String {
    lines.map { "\($0)\r\n" }.joined() + "\r\n"
}

private func filler(_ count: Int, _ character: Character = "a") -> String {
    String(repeating: character, count: count)
}

import XCTest

@testable import WebSocketEngine

final class HandshakeTests: XCTestCase {
    // MARK: The server's side (§4.2)

    private let valid: Headers = [
        "Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
    ]

    /// The status that refuses a request, nil if it is accepted.
    private func status(
        _ line: String = "GET / HTTP/1.1", _ changes: [String: String?] = [:]
    ) throws -> Int? {
        var headers = valid
        for (name, value) in changes { headers[name] = value }
        let text = "\(line)\r\n" + headers.map { "\($0): \($1)\r\n" }.joined() + "\r\n"
        var parser = HTTPHeadParser(limits: Limits())
        do {
            // Bound before they are asserted: an assertion would keep the error to itself.
            let parsed = try Array(text.utf8).withUnsafeBytes { try parser.parseRequest($0)?.head }
            let head = try XCTUnwrap(parsed)
            guard Handshake.isRequested(by: head) else { return 0 }
            let key = try Handshake.key(of: head)
            XCTAssertEqual(key, head.headers["Sec-WebSocket-Key"])
            return nil
        } catch let error as HTTPError {
            return error.status
        }
    }

    func testWhatIsAccepted() throws {
        XCTAssertNil(try status())
        XCTAssertNil(try status("GET /ws?a=b HTTP/1.1"))
        XCTAssertNil(try status("GET http://localhost/ws HTTP/1.1"))
        for (name, value) in [
            ("Upgrade", "WebSocket"), ("Upgrade", "h2c, websocket"), ("Connection", "keep-alive, upgrade"),
            ("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ] { XCTAssertNil(try status("GET / HTTP/1.1", [name: value]), "\(name): \(value)") }
    }

    func testEachRuleHasItsStatus() throws {
        XCTAssertEqual(try status("POST / HTTP/1.1"), 405, "1. a GET request")
        XCTAssertEqual(try status("GET / HTTP/1.0"), 400, "1. of HTTP/1.1 or later")
        XCTAssertEqual(try status("GET / HTTP/2.0"), 505)
        let cases: [(rule: String, name: String, value: String?, status: Int)] = [
            ("2. Host", "Host", nil, 400),
            ("3. Upgrade", "Upgrade", nil, 0), ("3. Upgrade", "Upgrade", "websockets", 0),
            ("4. Connection", "Connection", nil, 400), ("4. Connection", "Connection", "close", 400),
            ("5. Key", "Sec-WebSocket-Key", nil, 400), ("5. Key", "Sec-WebSocket-Key", "", 400),
            ("5. fifteen bytes", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA", 400),
            ("5. seventeen bytes", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAA=", 400),
            ("5. no padding", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ", 400),
            ("5. no base64", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j!Q==", 400),
            ("6. Version", "Sec-WebSocket-Version", nil, 426),
            ("6. Version", "Sec-WebSocket-Version", "12", 426),
            ("6. Version", "Sec-WebSocket-Version", "13, 8", 426),
        ]
        for (rule, name, value, status) in cases {
            XCTAssertEqual(
                try self.status("GET / HTTP/1.1", [name: value]), status, "\(rule) \(value ?? "missing")")
        }
    }

    func testTheResponse() {
        XCTAssertEqual(
            String(
                decoding: Handshake.response(
                    key: "dGhlIHNhbXBsZSBub25jZQ==", subprotocol: "chat", headers: ["X-A": "b"]),
                as: UTF8.self),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n"
                + "X-A: b\r\n\r\n")
    }

    // MARK: The client's side (§4.1)

    func testKeysAreSixteenRandomBytes() {
        let keys = Set((0..<100).map { _ in Handshake.makeKey() })
        XCTAssertEqual(keys.count, 100)
        for key in keys { XCTAssertEqual(Data(base64Encoded: key)?.count, 16) }
    }

    func testTheClientsRequestIsAValidHandshake() throws {
        let bytes = Handshake.request(
            target: "/a?b", host: "h:1", key: Handshake.makeKey(), subprotocols: ["x", "y"],
            headers: ["X-A": "b"])
        var parser = HTTPHeadParser(limits: Limits())
        let (head, length) = try XCTUnwrap(bytes.withUnsafeBytes { try parser.parseRequest($0) })
        XCTAssertEqual(length, bytes.count)
        XCTAssertNoThrow(try Handshake.key(of: head))
        XCTAssertEqual(head.target, "/a?b")
        XCTAssertEqual(head.headers["Host"], "h:1")
        XCTAssertEqual(head.headers["Sec-WebSocket-Protocol"], "x, y")
        XCTAssertEqual(head.headers["X-A"], "b")
    }

    func testFaultsOfAServersResponse() throws {
        let key = "dGhlIHNhbXBsZSBub25jZQ=="
        func fault(
            _ line: String = "HTTP/1.1 101 Switching Protocols", _ changes: [String: String?] = [:],
            offered: [String] = []
        ) throws -> String? {
            var headers: Headers = [
                "Upgrade": "websocket", "Connection": "Upgrade",
                "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            ]
            for (name, value) in changes { headers[name] = value }
            let text = "\(line)\r\n" + headers.map { "\($0): \($1)\r\n" }.joined() + "\r\n"
            var parser = HTTPHeadParser(limits: Limits())
            let head = try XCTUnwrap(Array(text.utf8).withUnsafeBytes { try parser.parseResponse($0)?.head })
            return Handshake.fault(in: head, key: key, subprotocols: offered)
        }
        let line = "HTTP/1.1 101 Switching Protocols"
        XCTAssertNil(try fault())
        XCTAssertNil(try fault(line, ["Upgrade": "WebSocket", "Connection": "upgrade"]))
        XCTAssertNil(try fault(line, ["Sec-WebSocket-Protocol": "b"], offered: ["a", "b"]))
        for line in ["HTTP/1.1 200 OK", "HTTP/1.1 401 Unauthorized", "HTTP/1.1 302 Found"] {
            XCTAssertNotNil(try fault(line), line)
        }
        let changes: [[String: String?]] = [
            ["Upgrade": nil], ["Upgrade": "h2c"], ["Connection": nil], ["Connection": "close"],
            ["Sec-WebSocket-Accept": nil], ["Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="],
            ["Sec-WebSocket-Accept": "S3PPLMBITXAQ9KYGZZHZRBK+XOO="], ["Sec-WebSocket-Protocol": "c"],
            ["Sec-WebSocket-Protocol": "A"], ["Sec-WebSocket-Extensions": "permessage-deflate"],
        ]
        for change in changes { XCTAssertNotNil(try fault(line, change, offered: ["a", "b"]), "\(change)") }
        XCTAssertNotNil(try fault(line, ["Sec-WebSocket-Protocol": "a"]), "none was offered")
    }
}

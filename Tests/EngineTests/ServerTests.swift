import Foundation
import Synchronization
import XCTest

@testable import GraderKit
@testable import WebSocketEngine

/// A server as its clients and handlers see it: real sockets on the loopback interface.
final class ServerTests: XCTestCase {
    // MARK: Messages

    func testEcho() throws {
        try serve(echo) { server in
            let peer = try server.connect()
            peer.send("Hello", "", "Grüße 👋")
            peer.expect("Hello", "", "Grüße 👋")
            for size in [0, 1, 125, 126, 65535, 65536, 1 << 20] {
                let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                peer.send(bytes)
                XCTAssertTrue(try peer.message() == .binary(bytes), "\(size)")
            }
            peer.close(1000, "bye")
            peer.expect(.close(1000, ""))
            peer.expect(.end)
            XCTAssertEqual(server.reported.waiting, [])
        }
    }

    func testMessagesThatComeWithTheHandshakeWait() throws {
        try serve(echo) { server in
            let frames = (0..<40).flatMap { EncodedFrame(.text, "\($0)".utf8, maskingKey: 7).bytes }
            let peer = try server.connect(together: frames)
            for i in 0..<40 { peer.expect("\(i)") }
        }
    }

    func testMessagesBeforeACloseAreAnsweredBeforeIt() throws {
        try serve(echo) { server in
            let peer = try server.connect()
            let texts = (0..<10).flatMap { EncodedFrame(.text, "\($0)".utf8, maskingKey: 7).bytes }
            peer.send(raw: texts + EncodedFrame(.close, [0x03, 0xE8], maskingKey: 7).bytes)
            for i in 0..<10 { peer.expect("\(i)") }
            peer.expect(.close(1000, ""))
            peer.expect(.end)
        }
    }

    func testMessagesBeforeAViolationAreAnsweredBeforeIt() throws {
        try serve(echo) { server in
            let peer = try server.connect()
            peer.send(raw: EncodedFrame(.text, "a".utf8, maskingKey: 7).bytes + [0xF1])
            peer.expect("a")
            peer.expectViolation(1002)
        }
    }

    func testJSON() throws {
        struct Point: Codable, Equatable { var x: Int, y: Int }
        let errors = Mailbox<String>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                let point = try await socket.receiveJSON(as: Point.self)
                try await socket.sendJSON(Point(x: point.y, y: point.x))
                do { _ = try await socket.receiveJSON(as: Point.self) } catch is DecodingError {
                    errors.put("decoding")
                }
                do { _ = try await socket.receiveText() } catch WebSocketError.unexpectedMessage {
                    errors.put("text")
                }
                do { _ = try await socket.receiveBytes() } catch WebSocketError.unexpectedMessage {
                    errors.put("bytes")
                }
            }
        } test: { server in
            let peer = try server.connect()
            peer.send(#"{"y": 2, "x": 1}"#)
            peer.expect(#"{"x":2,"y":1}"#)
            peer.send("{")
            peer.send([1])
            peer.send("a")
            XCTAssertEqual(try errors.take(3), ["decoding", "text", "bytes"])
            peer.expectClose(1000)
        }
    }

    // MARK: The handshake

    func testAcceptWithASubprotocolAndHeaders() throws {
        try serve { app in
            app.webSocket("/{room}") { socket in
                XCTAssertEqual(socket.offeredSubprotocols, ["chat.v1", "chat.v2"])
                XCTAssertEqual(socket.state, .connecting)
                try await socket.accept(
                    subprotocol: "chat.v2", headers: ["X-Room": socket.parameters["room"] ?? ""])
                XCTAssertEqual(socket.subprotocol, "chat.v2")
                XCTAssertEqual(socket.state, .open)
                try await socket.send(
                    "\(socket.query["q"] ?? "") \(socket.headers["X-Me"] ?? "") \(socket.client.host)")
            }
        } test: { server in
            let peer = try server.connect(
                "/a%20b?q=1", headers: ["X-Me": "me"], subprotocols: ["chat.v1", "chat.v2"])
            XCTAssertEqual(peer.response["Sec-WebSocket-Protocol"], "chat.v2")
            XCTAssertEqual(peer.response["X-Room"], "a b")
            peer.expect("1 me 127.0.0.1")
            peer.expectClose(1000)
        }
    }

    func testAnswersThatCannotBeGiven() throws {
        let errors = Mailbox<WebSocketError>()
        try serve { app in
            app.webSocket("/") { socket in
                func note(_ body: () async throws -> Void) async {
                    do { try await body() } catch {
                        if let error = error as? WebSocketError { errors.put(error) }
                    }
                }
                await note { try await socket.accept(headers: ["X": "a\r\nSet-Cookie: b"]) }
                await note { try await socket.accept(headers: ["X\n": "a"]) }
                await note { try await socket.accept(subprotocol: "chat") }
                await note { _ = try await socket.receive() }
                await note { try await socket.send("early") }
                await note { try await socket.ping() }
                await note { try await socket.close(code: 1006) }
                await note { try await socket.close(reason: String(repeating: "é", count: 62)) }
                try await socket.accept()
                await note { try await socket.accept() }
                await note { try await socket.reject() }
                await note { try await socket.ping(.init(repeating: 0, count: 126)) }
            }
        } test: { server in
            let peer = try server.connect()
            XCTAssertEqual(
                try errors.take(11),
                [
                    .invalidHandshake("header X"), .invalidHandshake("header X\n"),
                    .invalidHandshake("the client does not offer the subprotocol chat"),
                    .notAccepted, .notAccepted, .notAccepted, .reservedCloseCode(1006),
                    .controlFrameTooLong(124),
                    .alreadyAnswered, .alreadyAnswered, .controlFrameTooLong(126),
                ])
            XCTAssertNil(peer.response["Set-Cookie"])
            peer.expectClose(1000)
        }
    }

    func testReject() throws {
        try serve { app in
            app.webSocket("/") { try await $0.reject(status: 401, "who are you?") }
        } test: { server in
            let peer = Peer(try server.dial())
            peer.send(raw: server.handshake("/"))
            let answer = try peer.readAnswer()
            XCTAssertEqual(answer.status, 401)
            XCTAssertEqual(answer.body, "who are you?")
            XCTAssertEqual(server.reported.waiting, [])
        }
    }

    func testCloseBeforeAcceptCompletesTheHandshakeFirst() throws {
        try serve { app in
            app.webSocket("/") { try await $0.close(code: 4001, reason: "no token") }
        } test: { server in
            try server.connect().expectClose(4001, "no token")
        }
    }

    func testAHandlerThatForgetsToAccept() throws {
        try serve { app in
            app.webSocket("/") { _ in }
        } test: { server in
            XCTAssertEqual(try server.refusal(), 500)
            XCTAssertEqual(try server.reported.take(), "/: \(WebSocketError.notAnswered)")
        }
    }

    func testAHandlerThatTakesTooLongToAccept() throws {
        let ends = Mailbox<WebSocketDisconnect>()
        let gate = Gate()
        try serve(manualTime: true) { app in
            app.webSocket("/") { socket in
                ends.put(WebSocketDisconnect(code: 1))
                await gate.wait()
                do { try await socket.accept() } catch let disconnect as WebSocketDisconnect {
                    ends.put(disconnect)
                }
            }
        } test: { server in
            let peer = Peer(try server.dial())
            peer.send(raw: server.handshake("/"))
            _ = try ends.take()
            server.clock.advance(by: .seconds(10))
            peer.expect(.end)
            gate.open()
            XCTAssertEqual(try ends.take().code, 1006)
        }
    }

    func testRefusedHandshakes() throws {
        try serve(echo) { server in
            let own = "127.0.0.1:\(server.port)"
            let cases: [([String: String?], Int)] = [
                (["Connection": "keep-alive"], 400), (["Connection": nil], 400),
                (["Sec-WebSocket-Version": "8"], 426), (["Sec-WebSocket-Version": nil], 426),
                (["Sec-WebSocket-Key": nil], 400), (["Sec-WebSocket-Key": "c2hvcnQ="], 400),
                (["Sec-WebSocket-Key": "?"], 400), (["Host": nil], 400),
                (["Upgrade": nil], 426), (["Upgrade": "h2c"], 426),
                (["Origin": "http://elsewhere.example"], 403), (["Origin": "null"], 403),
                (["Origin": "http://\(own)0"], 403), (["Origin": "http://\(own)"], 101),
                (["Origin": "HTTPS://\(own)"], 101), (["Connection": "keep-alive, upgrade"], 101),
                (["Upgrade": "WebSocket"], 101),
            ]
            for (changes, status) in cases {
                XCTAssertEqual(try server.refusal(changes), status, "\(changes)")
            }
            XCTAssertEqual(try server.refusal(at: "/nowhere"), 404)
            let answer = try server.request("GET / HTTP/1.1\nHost: x")
            XCTAssertEqual(answer.status, 426)
            XCTAssertEqual(answer.headers["Sec-WebSocket-Version"], "13")
        }
    }

    func testOriginsThatAreAllowed() throws {
        try serve { app in
            app.origins = .allow(["https://example.com"])
            echo(app)
        } test: { server in
            XCTAssertEqual(try server.refusal(["Origin": "https://example.com"]), 101)
            XCTAssertEqual(try server.refusal(["Origin": "https://example.com.evil"]), 403)
        }
        try serve { app in
            app.origins = .any
            echo(app)
        } test: { server in
            XCTAssertEqual(try server.refusal(["Origin": "https://anyone.example"]), 101)
        }
    }

    // MARK: How handlers end

    func testHowHandlersEnd() throws {
        struct Broken: Error {}
        try serve { app in
            app.webSocket("/{how}") { socket in
                try await socket.accept()
                switch socket.parameters["how"] {
                case "exception": throw WebSocketException(code: 4000, reason: "because")
                case "reserved": throw WebSocketException(code: 1006)
                case "long": throw WebSocketException(code: 4000, reason: String(repeating: "x", count: 124))
                case "error": throw Broken()
                case "disconnect": throw WebSocketDisconnect(code: 1006)
                case "cancellation": throw CancellationError()
                case "close":
                    try await socket.close(code: 4005, reason: "enough")
                    try await socket.close(code: 4006)
                    do { try await socket.send("late") } catch let end as WebSocketDisconnect {
                        XCTAssertEqual(end, WebSocketDisconnect(code: 4005, reason: "enough"))
                    }
                default: return
                }
            }
        } test: { server in
            try server.connect("/return").expectClose(1000)
            try server.connect("/exception").expectClose(4000, "because")
            try server.connect("/disconnect").expectClose(1000)
            try server.connect("/cancellation").expectClose(1000)
            try server.connect("/close").expectClose(4005, "enough")
            XCTAssertEqual(server.reported.waiting, [])
            for how in ["reserved", "long", "error"] {
                try server.connect("/" + how).expectClose(1011, "Internal error")
                XCTAssertTrue(try server.reported.take().hasPrefix("/\(how): "))
            }
        }
    }

    func testErrorsBeforeAccept() throws {
        try serve { app in
            app.webSocket("/exception") { _ in throw WebSocketException(code: 4003, reason: "not you") }
            app.webSocket("/error") { _ in throw TimedOut(what: "x") }
        } test: { server in
            try server.connect("/exception").expectClose(4003, "not you")
            XCTAssertEqual(try server.refusal(at: "/error"), 500)
            XCTAssertEqual(try server.reported.take(), "/error: nothing came in time: x")
        }
    }

    func testHandlersSeeHowAConnectionEnded() throws {
        let ends = Mailbox<WebSocketDisconnect>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                do { _ = try await socket.receive() } catch let disconnect as WebSocketDisconnect {
                    XCTAssertEqual(socket.disconnect, disconnect)
                    ends.put(disconnect)
                    do { try await socket.send("late") } catch let again as WebSocketDisconnect {
                        XCTAssertEqual(again, disconnect)
                    }
                }
            }
        } test: { server in
            let polite = try server.connect()
            polite.close(4321, "bye")
            XCTAssertEqual(try ends.take(), WebSocketDisconnect(code: 4321, reason: "bye"))
            polite.expect(.close(4321, ""))
            polite.expect(.end)

            let silent = try server.connect()
            silent.close(.noStatusReceived)
            XCTAssertEqual(try ends.take().code, 1005)
            silent.expect(.close(1005, ""))
            silent.expect(.end)

            try server.connect().wire.end()
            XCTAssertEqual(try ends.take().code, 1006)
            try server.connect().wire.end(reset: true)
            XCTAssertEqual(try ends.take().code, 1006)
            try server.connect().wire.endSending()
            XCTAssertEqual(try ends.take().code, 1006)
            let rude = try server.connect()
            rude.send(raw: [0x83, 0x80])
            XCTAssertEqual(try ends.take().code, 1002)
            rude.expectViolation(1002)
            XCTAssertEqual(server.reported.waiting, [])
        }
    }

    func testWhatWasReceivedBeforeTheEndIsStillHandedOut() throws {
        let gate = Gate()
        let got = Mailbox<String>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                await gate.wait()
                do { while true { got.put(try await socket.receiveText()) } } catch { got.put("\(error)") }
            }
        } test: { server in
            let peer = try server.connect()
            peer.send("a", "b", "c")
            peer.close(4000)
            peer.expect(.close(4000, ""))
            gate.open()
            XCTAssertEqual(try got.take(4), ["a", "b", "c", "disconnected with code 4000"])
        }
    }

    // MARK: Plain HTTP

    func testPlainRequests() throws {
        try serve(limits: { $0.bodyBytes = 100 }) { app in
            app.get("/hello/{name}") { .text("Hello \($0.parameters["name"] ?? "") \($0.query["q"] ?? "")") }
            app.post("/sum") { request in
                try .json(["sum": try request.json(as: [Int].self).reduce(0, +)], status: 201)
            }
            app.get("/broken") { _ in throw TimedOut(what: "x") }
            app.get("/teapot") { _ in throw HTTPError(status: 409, reason: "short and stout") }
            app.get("/split") { _ in Response(headers: ["X": "a\r\nY: b"]) }
            app.webSocket("/ws") { _ in }
        } test: { server in
            let hello = try server.get("/hello/Ann%20Lee?q=1")
            XCTAssertEqual(hello.status, 200)
            XCTAssertEqual(hello.body, "Hello Ann Lee 1")
            XCTAssertEqual(hello.headers["Connection"], "close")
            let sum = try server.request("POST /sum HTTP/1.1\nHost: x\nContent-Length: 7", body: "[1,2,3]")
            XCTAssertEqual(sum.status, 201)
            XCTAssertEqual(sum.body, #"{"sum":6}"#)
            let statuses = [
                ("GET /nowhere", 404), ("POST /hello/x", 405), ("PUT /hello/x", 405), ("GET /sum", 405),
                ("GET /ws", 426), ("GET /broken", 500), ("GET /teapot", 409), ("GET /split", 500),
                ("GET /hello/%zz", 404),
            ]
            for (line, status) in statuses {
                let answer = try server.request("\(line) HTTP/1.1\nHost: x")
                XCTAssertEqual(answer.status, status, line)
                XCTAssertNil(answer.headers["Y"])
            }
            XCTAssertEqual(
                try server.reported.take(2).map { String($0.prefix(7)) }, ["/broken", "/split:"])
            XCTAssertEqual(try server.request("POST /sum HTTP/1.1\nHost: x\nContent-Length: 101").status, 413)
            XCTAssertEqual(try server.request("GET / HTTP/1.1").status, 400)
            XCTAssertEqual(try server.request("nonsense").status, 400)
        }
    }

    func testAWrongMethodIsToldTheRightOnes() throws {
        try serve { app in
            app.get("/a") { _ in .text("a") }
            app.post("/a") { _ in .text("a") }
            app.post("/b") { _ in .text("b") }
            self.echo(app)
        } test: { server in
            for (request, allowed) in [
                ("DELETE /a", "GET, POST, HEAD"), ("GET /b", "POST"),
                ("POST / HTTP/1.1\nUpgrade: websocket\nX:", "GET"),
            ] {
                let version = request.contains("HTTP/1.1") ? "" : " HTTP/1.1"
                let answer = try server.request("\(request)\(version)\nHost: x\nContent-Length: 0")
                XCTAssertEqual(answer.status, 405, request)
                XCTAssertEqual(answer.headers["Allow"], allowed, request)
            }
        }
    }

    func testSomeStatusesHaveNoBody() throws {
        try serve { app in
            app.get("/{status}") { request in
                .text("a body", status: Int(request.parameters["status"] ?? "") ?? 500)
            }
        } test: { server in
            for status in [204, 304, 200] {
                let peer = Peer(try server.dial())
                peer.send(raw: Array("GET /\(status) HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
                peer.wire.endSending()
                let text = try peer.untilEnd()
                XCTAssertEqual(text.contains("Content-Length: 6"), status == 200, text)
                XCTAssertEqual(text.hasSuffix("\r\n\r\na body"), status == 200, text)
            }
        }
    }

    /// Two of them would let two programs read one answer differently.
    func testFieldsOfTheEngineAreNotSentTwice() throws {
        let errors = Mailbox<String>()
        try serve { app in
            app.get("/{name}") { request in
                Response(headers: [request.parameters["name"] ?? "": "1"], body: [1])
            }
            app.webSocket("/ws/{name}") { socket in
                do {
                    try await socket.accept(headers: [socket.parameters["name"] ?? "": "1"])
                } catch {
                    errors.put("\(error)")
                    throw error
                }
            }
        } test: { server in
            for name in ["content-length", "Connection", "Transfer-Encoding"] {
                XCTAssertEqual(try server.get("/\(name)").status, 500, name)
            }
            for name in [
                "Connection", "upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Content-Length",
            ] {
                XCTAssertEqual(try server.refusal(at: "/ws/\(name)"), 500, name)
                XCTAssertEqual(try errors.take(), "the handshake cannot be answered so: header \(name)")
            }
            XCTAssertEqual(try server.get("/X-Mine").status, 200)
        }
    }

    func testHeadHasNoBody() throws {
        try serve { app in
            app.get("/") { _ in .text("twelve bytes") }
        } test: { server in
            for (path, status) in [("/", 200), ("/nowhere", 404)] {
                let wire = try server.dial()
                wire.send(Array("HEAD \(path) HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
                wire.endSending()
                let text = try Peer(wire).untilEnd()
                XCTAssertTrue(text.hasPrefix("HTTP/1.1 \(status) "), text)
                XCTAssertTrue(text.hasSuffix("\r\n\r\n"), "a body after HEAD: \(text)")
            }
        }
    }

    func testABodyInPiecesAndContinue() throws {
        try serve { app in
            app.post("/") { .text(String(decoding: $0.body, as: UTF8.self)) }
        } test: { server in
            let peer = Peer(try server.dial())
            peer.send(
                raw: Array(
                    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n".utf8))
            XCTAssertEqual(try peer.readAnswer().status, 100)
            for byte in "Hello".utf8 { peer.send(raw: [byte]) }
            XCTAssertEqual(try peer.readAnswer().body, "Hello")
        }
    }

    func testARequestThatTakesTooLong() throws {
        try serve(manualTime: true) { app in
            app.get("/") { _ in .text("fence") }
        } test: { server in
            let slow = Peer(try server.dial())
            slow.send(raw: Array("GET / HTT".utf8))
            XCTAssertEqual(try server.get("/").body, "fence")
            server.clock.advance(by: .seconds(10))
            XCTAssertEqual(try slow.readAnswer().status, 408)
        }
    }

    func testAnAnswerToAClientThatHasFinishedSending() throws {
        let gate = Gate()
        let began = Mailbox<Void>()
        try serve { app in
            app.get("/") { _ in
                began.put(())
                await gate.wait()
                return .text("late")
            }
        } test: { server in
            let peer = Peer(try server.dial())
            peer.send(raw: Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
            peer.wire.endSending()
            try began.take()
            gate.open()
            XCTAssertEqual(try peer.readAnswer().body, "late")
            peer.expect(.end)
        }
    }

    func testAClientThatResetsDuringItsRequestCostsNoTime() throws {
        let gate = Gate()
        let began = Mailbox<Void>()
        try serve { app in
            app.get("/") { _ in
                began.put(())
                await gate.wait()
                return .text("late")
            }
            app.get("/fence") { _ in .text("") }
        } test: { server in
            let before = openDescriptors()
            let peer = Peer(try server.dial())
            peer.send(raw: Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
            try began.take()
            peer.wire.end(reset: true)
            // A connection that is kept although it is broken would be reported as ready without end.
            eventually("the connection is closed") { openDescriptors() <= before }
            gate.open()
        }
    }
}

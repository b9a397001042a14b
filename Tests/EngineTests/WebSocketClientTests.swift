import XCTest

@testable import GraderKit
@testable import WebSocketEngine

/// The client against this engine's own server.
final class WebSocketClientTests: XCTestCase {
    func testAConversation() throws {
        try serve { app in
            app.webSocket("/{room}") { socket in
                try await socket.accept(subprotocol: "b", headers: ["X-Me": "server"])
                try await socket.send("\(socket.parameters["room"] ?? "") \(socket.query["q"] ?? "")")
                for try await message in socket { try await socket.send(message) }
                XCTAssertEqual(socket.disconnect, WebSocketDisconnect(code: 4000, reason: "bye"))
            }
        } test: { server in
            let url = "ws://localhost:\(server.port)/a%20b?q=1"
            try blocking {
                let socket = try await WebSocketClient.connect(to: url, subprotocols: ["a", "b"])
                XCTAssertEqual(socket.subprotocol, "b")
                var text = try await socket.receiveText()
                XCTAssertEqual(text, "a b 1")
                for size in [0, 125, 126, 65536, 1 << 20] {
                    let bytes = [UInt8](repeating: 5, count: size)
                    try await socket.send(bytes)
                    let got = try await socket.receiveBytes()
                    XCTAssertTrue(got == bytes, "\(size)")
                }
                try await socket.send("last")
                text = try await socket.receiveText()
                XCTAssertEqual(text, "last")
                try await socket.close(code: 4000, reason: "bye")
                do {
                    _ = try await socket.receive()
                    XCTFail("the connection is over")
                } catch let end as WebSocketDisconnect { XCTAssertEqual(end.code, 4000) }
            }
        }
    }

    func testTheServerCloses() throws {
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                try await socket.send("early")
                throw WebSocketException(code: 4001, reason: "enough")
            }
        } test: { server in
            let url = "ws://127.0.0.1:\(server.port)"
            try blocking {
                let socket = try await WebSocketClient.connect(to: url)
                var texts: [Message] = []
                for try await message in socket { texts.append(message) }
                XCTAssertEqual(texts, [.text("early")])
                XCTAssertEqual(socket.disconnect, WebSocketDisconnect(code: 4001, reason: "enough"))
            }
        }
    }

    func testWaitsUntilTheSocketIsClosed() throws {
        try serve { app in
            self.echo(app)
        } test: { server in
            let url = "ws://127.0.0.1:\(server.port)/"
            try blocking {
                let socket = try await WebSocketClient.connect(to: url)
                try await socket.close(code: 4000, reason: "bye")
                await socket.waitUntilClosed()
                XCTAssertEqual(socket.state, .closed)
                await socket.waitUntilClosed()
            }
        }
    }

    func testConnectingCanBeCancelled() throws {
        let entered = Mailbox<Void>()
        let gate = Gate()
        try serve { app in
            app.webSocket("/") { socket in
                entered.put(())
                await gate.wait()
                try await socket.reject()
            }
        } test: { server in
            let url = "ws://127.0.0.1:\(server.port)"
            let ended = Mailbox<Bool>()
            let connecting = Task.detached {
                do { _ = try await WebSocketClient.connect(to: url) } catch {
                    ended.put(error is CancellationError)
                }
            }
            try entered.take()
            connecting.cancel()
            XCTAssertTrue(try ended.take("the end of connect"))
            let early = Task.detached {
                withUnsafeCurrentTask { $0?.cancel() }
                do { _ = try await WebSocketClient.connect(to: url) } catch {
                    ended.put(error is CancellationError)
                }
            }
            XCTAssertTrue(try ended.take("the end of a connect that was cancelled before"))
            _ = early
            gate.open()
        }
    }

    func testAForgottenSocketIsClosed() throws {
        let ends = Mailbox<WebSocketDisconnect?>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                for try await _ in socket {}
                ends.put(socket.disconnect)
            }
        } test: { server in
            let url = "ws://127.0.0.1:\(server.port)"
            try blocking {
                let socket = try await WebSocketClient.connect(to: url)
                try await socket.send("the last that anyone says")
            }
            XCTAssertEqual(try ends.take("the end of the connection"), WebSocketDisconnect(code: 1001))
        }
    }

    func testFieldsOfTheHandshakeAreTheEngines() throws {
        for name in ["Host", "Sec-WebSocket-Key", "connection", "Content-Length"] {
            XCTAssertThrowsError(
                try blocking {
                    try await WebSocketClient.connect(to: "ws://127.0.0.1:1", headers: [name: "x"])
                }
            ) { XCTAssertEqual($0 as? WebSocketError, .invalidHandshake("header \(name)")) }
        }
    }

    /// What a program passes on from its users must not become header fields, nor a request of its own.
    func testNothingCanBePutIntoTheRequest() throws {
        let line = Mailbox<String>()
        try serve { app in
            app.webSocket("/") { socket in
                line.put("\(socket.headers["Evil"] ?? "clean") \(socket.offeredSubprotocols)")
                try await socket.accept()
            }
        } test: { server in
            let local = "ws://127.0.0.1:\(server.port)"
            for text in ["chat", "a\r\nEvil: 1", "a\n", "a, b", "a b", "", "é", "a\u{0}"] {
                XCTAssertThrowsError(
                    try blocking {
                        try await WebSocketClient.connect(to: local, subprotocols: ["chat", text])
                    }, text
                ) { XCTAssertEqual($0 as? WebSocketError, .invalidHandshake("subprotocol \(text)")) }
            }
            for host in ["a%0d%0aEvil:%201", "a%0aEvil", "a%20b", "a%00", "a%2fb"] {
                XCTAssertThrowsError(
                    try blocking { try await WebSocketClient.connect(to: "ws://\(host)/") }, host
                ) {
                    guard case WebSocketError.invalidURL = $0 else { return XCTFail("\(host): \($0)") }
                }
            }
            XCTAssertEqual(line.waiting, [])
            // In the path it is encoded, and stays so.
            XCTAssertThrowsError(
                try blocking { try await WebSocketClient.connect(to: "\(local)/a%0d%0aEvil:%201") }
            ) { XCTAssertEqual($0 as? WebSocketError, .refused(status: 404, "Not Found")) }
            _ = try blocking { try await WebSocketClient.connect(to: local, subprotocols: ["chat", "b"]) }
            XCTAssertEqual(try line.take(), #"clean ["chat", "b"]"#)
        }
    }

    func testWhatCannotBeConnectedTo() throws {
        try serve { app in
            self.echo(app)
            app.webSocket("/no") { try await $0.reject(status: 401) }
        } test: { server in
            let local = "ws://127.0.0.1:\(server.port)"
            func failure(_ url: String) throws -> WebSocketError? {
                try blocking {
                    do {
                        _ = try await WebSocketClient.connect(to: url)
                        return nil
                    } catch let error as WebSocketError { return error }
                }
            }
            // Three kinds: whoever tries again needs to know which.
            XCTAssertEqual(try failure("\(local)/no"), .refused(status: 401, "Unauthorized"))
            XCTAssertEqual(try failure("\(local)/nowhere"), .refused(status: 404, "Not Found"))
            for url in ["wss://localhost/", "http://localhost/", "nonsense", ""] {
                guard case .invalidURL? = try failure(url) else { return XCTFail(url) }
            }
            for url in ["ws://no.such.host.invalid/", "ws://127.0.0.1:1/"] {
                guard case .cannotConnect? = try failure(url) else { return XCTFail(url) }
            }
            XCTAssertThrowsError(
                try blocking { _ = try await WebSocketClient.connect(to: local, headers: ["A": "b\r\nC: d"]) }
            )
        }
    }
}

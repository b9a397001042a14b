import Foundation
import Synchronization
import XCTest

@testable import GraderKit
@testable import WebSocketEngine

/// Peers that mean harm or make no sense: no trap, no hang, no growth, and nobody else is disturbed.
final class HostileTests: XCTestCase {
    private func frame(_ opcode: Opcode, _ payload: some Collection<UInt8>, isFinal: Bool = true) -> [UInt8] {
        EncodedFrame(opcode, payload, maskingKey: 0x0403_0201, isFinal: isFinal).bytes
    }

    // MARK: Handshakes

    func testASlowHandshakeEndsOnTimeWhateverArrives() throws {
        try serve(manualTime: true, echo) { server in
            let slow = Peer(try server.dial())
            let other = try server.connect()
            // A byte now and then buys no time.
            for byte in server.handshake("/").prefix(9) {
                slow.send(raw: [byte])
                server.clock.advance(by: .seconds(1))
            }
            server.clock.advance(by: .seconds(1))
            XCTAssertEqual(try slow.readAnswer().status, 408)
            other.send("undisturbed")
            other.expect("undisturbed")
        }
    }

    /// In every stage of a handshake at once, and with a body that does not end.
    func testManySlowHandshakesEndTogetherAndHoldNobodyUp() throws {
        try serve(manualTime: true) { app in
            echo(app)
            app.post("/") { _ in .text("") }
        } test: { server in
            let other = try server.connect()
            let request = server.handshake("/")
            let body = Array("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".utf8)
            let slow = try (0..<request.count).map { count in
                let peer = Peer(try server.dial())
                peer.send(raw: Array(request[..<count]))
                return peer
            }
            let posting = Peer(try server.dial())
            posting.send(raw: body)
            for _ in 0..<9 {
                posting.send(raw: [0x61])
                other.send("undisturbed")
                other.expect("undisturbed")
                server.clock.advance(by: .seconds(1))
            }
            // Whoever comes later has a time of their own.
            let late = Peer(try server.dial())
            late.send(raw: Array(request.dropLast()))
            other.send("fence")
            other.expect("fence")
            server.clock.advance(by: .seconds(1))
            for peer in slow + [posting] {
                // Outside of the assertion: the first that waits in vain ends the test.
                let status = try peer.readAnswer().status
                XCTAssertEqual(status, 408)
            }
            late.send(raw: Array(request.suffix(1)))
            XCTAssertEqual(try late.readAnswer().status, 101)
        }
    }

    func testAHandshakeByteByByte() throws {
        try serve(echo) { server in
            let other = try server.connect()
            let peer = Peer(try server.dial())
            func sendByteByByte(_ bytes: [UInt8]) {
                for byte in bytes {
                    peer.send(raw: [byte])
                    // An answer on the same loop: it has read that one byte.
                    other.send("fence")
                    other.expect("fence")
                }
            }
            sendByteByByte(server.handshake("/"))
            XCTAssertEqual(try peer.readAnswer().status, 101)
            sendByteByByte(frame(.text, "Hello".utf8) + frame(.close, [0x03, 0xE8]))
            peer.expect("Hello")
            peer.expect(.close(1000, ""))
            peer.expect(.end)
        }
    }

    func testAPeerThatReadsByteByByteGetsEverything() throws {
        let message = [UInt8](0...249)
        let frames = Array(repeating: EncodedFrame(.binary, message).bytes, count: 800).flatMap { $0 }
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                for _ in 0..<800 { try await socket.send(message) }
                _ = try await socket.receive()
            }
        } test: { server in
            let wire = try server.dial(receiveBuffer: 4096)
            wire.send(server.handshake("/"))
            let head = Handshake.response(
                key: "dGhlIHNhbXBsZSBub25jZQ==", subprotocol: nil, headers: Headers())
            var received: [UInt8] = []
            var byte: UInt8 = 0
            while received.count < head.count + frames.count, recv(wire.descriptor, &byte, 1, 0) == 1 {
                received.append(byte)
            }
            XCTAssertTrue(received == head + frames)
        }
    }

    func testPeersThatResetAsSoonAsTheyAreThere() throws {
        try serve(loops: 2, echo) { server in
            let other = try server.connect()
            let before = openDescriptors()
            for round in 0..<300 {
                let peer = Peer(try server.dial())
                if round % 3 == 1 { peer.send(raw: server.handshake("/")) }
                if round % 3 == 2 { peer.send(raw: server.handshake("/") + frame(.text, "a".utf8)) }
                peer.wire.end(reset: true)
            }
            other.send("undisturbed")
            other.expect("undisturbed")
            eventually("all of them are gone") { openDescriptors() <= before }
        }
    }

    func testHeadsWithoutEnd() throws {
        try serve(echo) { server in
            for (start, piece, status) in [
                ("GET /", "a", 414), ("GET / HTTP/1.1\r\nHost: x\r\nA: ", "a", 431),
                ("GET / HTTP/1.1\r\n", "A: b\r\n", 431),
            ] {
                let peer = Peer(try server.dial())
                peer.send(raw: Array(start.utf8))
                peer.send(raw: Array(String(repeating: piece, count: 100_000 / piece.count).utf8))
                XCTAssertEqual(try peer.readAnswer().status, status, start)
            }
        }
    }

    func testGarbageInsteadOfARequest() throws {
        try serve(echo) { server in
            var random = SplitMix64(seed: 3)
            for round in 0..<50 {
                let peer = Peer(try server.dial())
                let bytes = (0..<200).map { _ in UInt8.random(in: .min ... .max, using: &random) }
                peer.send(raw: bytes + Array("\r\n\r\n".utf8))
                XCTAssertTrue((400...505).contains(try peer.readAnswer().status), "\(round)")
                peer.wire.end(reset: round % 2 == 0)
            }
            let peer = try server.connect()
            peer.send("fine")
            peer.expect("fine")
        }
    }

    func testPipelinedRequestsAreAnsweredOnce() throws {
        try serve { app in
            app.get("/") { _ in .text("one") }
        } test: { server in
            let peer = Peer(try server.dial())
            peer.send(raw: Array(String(repeating: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", count: 100).utf8))
            peer.wire.endSending()
            let text = try peer.untilEnd()
            XCTAssertEqual(text.components(separatedBy: "HTTP/1.1 200").count, 2)
        }
    }

    func testGarbageBehindAHandshake() throws {
        try serve(echo) { server in
            let peer = try server.connect(together: Array("GET / HTTP/1.1\r\n\r\n".utf8))
            peer.expectViolation(1002)
        }
    }

    /// Forms on which two programs could disagree where a request ends, and so read a second one out of its body.
    func testSmugglingFormsAreRefusedAndNothingBehindThemIsRead() throws {
        let reached = Mailbox<String>()
        try serve { app in
            app.post("/") { request in
                reached.put("\(request.body.count)")
                return .text("taken")
            }
            app.get("/hidden") { _ in
                reached.put("hidden")
                return .text("hidden")
            }
        } test: { server in
            let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
            for (fields, status) in [
                ("Content-Length: 4\r\nTransfer-Encoding: chunked", 400),
                ("Transfer-Encoding: chunked\r\nContent-Length: 4", 400),
                ("Transfer-Encoding: chunked", 501), ("Transfer-Encoding: identity, chunked", 501),
                ("Transfer-Encoding : chunked", 400), ("Transfer-Encoding:\u{B}chunked", 400),
                ("Content-Length: 4\r\nContent-Length: 4", 400), ("Content-Length: 4, 4", 400),
                ("Content-Length: +4", 400), ("Content-Length: -4", 400), ("Content-Length: 0x4", 400),
                ("Content-Length: 4\r\n Transfer-Encoding: chunked", 400),
                ("Content-Length: 4\nTransfer-Encoding: chunked", 400),
                ("X: y\rContent-Length: 4", 400), ("X: y\u{0}", 400), ("Host: y", 400),
                ("Content-Length: 99999999999999999999", 400),
            ] {
                let peer = Peer(try server.dial())
                peer.send(
                    raw: Array("POST / HTTP/1.1\r\nHost: x\r\n\(fields)\r\n\r\n0\r\n\r\n\(hidden)".utf8))
                peer.wire.endSending()
                let answers = try peer.untilEnd()
                XCTAssertTrue(answers.hasPrefix("HTTP/1.1 \(status) "), "\(fields): \(answers)")
                XCTAssertEqual(answers.components(separatedBy: "HTTP/1.1 ").count, 2, fields)
            }
            XCTAssertEqual(reached.waiting, [])
        }
    }

    /// A page of another site makes a visitor's browser connect here (RFC 6455 §10.2).
    func testAForeignPageIsRefusedBeforeAnyHandlerRuns() throws {
        let reached = Mailbox<Void>()
        try serve { app in
            app.webSocket("/") { socket in
                reached.put(())
                try await socket.accept()
            }
        } test: { server in
            for origin in [
                "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:\(server.port).evil.example",
                "null",
                "file://", "http://evil.example, http://127.0.0.1:\(server.port)",
            ] {
                XCTAssertEqual(try server.refusal(["Origin": origin]), 403, origin)
            }
            XCTAssertEqual(reached.waiting.count, 0)
            XCTAssertEqual(try server.refusal(["Origin": "http://127.0.0.1:\(server.port)"]), 101)
        }
    }

    // MARK: Frames

    func testBrokenFrames() throws {
        let reached = Mailbox<Message>()
        try serve { app in
            echo(app)
            app.webSocket("/broken") { socket in
                try await socket.accept()
                for try await message in socket { reached.put(message) }
            }
        } test: { server in
            let other = try server.connect()
            let cases: [([UInt8], CloseCode)] = [
                // §5.1: a client's frame without a mask; §5.2: reserved bits and opcodes.
                ([0x81, 0x01, 0x61], 1002), ([0x88, 0x02, 0x03, 0xE8], 1002),
                ([0xC1, 0x80, 0, 0, 0, 0], 1002), ([0xA1, 0x80, 0, 0, 0, 0], 1002),
                ([0x91, 0x80, 0, 0, 0, 0], 1002), ([0x83, 0x80, 0, 0, 0, 0], 1002),
                ([0x87, 0x80, 0, 0, 0, 0], 1002), ([0x8B, 0x80, 0, 0, 0, 0], 1002),
                ([0x8F, 0x80, 0, 0, 0, 0], 1002),
                // §5.5: control frames are whole and short.
                ([0x09, 0x80, 0, 0, 0, 0], 1002), ([0x89, 0xFE, 0, 126, 0, 0, 0, 0], 1002),
                // §7.4: codes that nobody may send, and one byte of a code.
                (frame(.close, [0, 0]), 1002), (frame(.close, [0x03, 0xE7]), 1002),
                (frame(.close, [0x03, 0xED]), 1002), (frame(.close, [0x13, 0x88]), 1002),
                (frame(.close, [0xFF, 0xFF]), 1002), (frame(.close, [0x03]), 1002),
                (frame(.close, [0x03, 0xE8, 0xFF]), 1007),
                // §5.2: lengths of 64 bits, and those that are not the shortest.
                ([0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], 1002),
                ([0x82, 0xFE, 0, 1, 0, 0, 0, 0, 1], 1002),
                ([0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], 1009),
                ([0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], 1002),
                ([0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0], 1009),
                (frame(.text, [0xFF]), 1007), ([0x80, 0x80, 0, 0, 0, 0], 1002),
            ]
            for (bytes, code) in cases {
                let peer = try server.connect("/broken")
                peer.send(raw: bytes)
                peer.expectViolation(code)
                other.send("undisturbed")
                other.expect("undisturbed")
            }
            XCTAssertEqual(reached.waiting, [], "nothing of it came to the handler")
        }
    }

    func testAFloodOfFragments() throws {
        try serve(echo) { server in
            let peer = try server.connect()
            let fragment = frame(.continuation, [], isFinal: false)
            peer.send(raw: frame(.text, [], isFinal: false))
            peer.send(raw: Array(repeating: fragment, count: 5000).flatMap { $0 })
            peer.expectViolation(1009)
        }
    }

    func testAFloodOfPingsIsAnsweredWithinBounds() throws {
        try serve(echo) { server in
            let peer = try server.connect(receiveBuffer: 4096)
            let pings = Array(repeating: frame(.ping, [UInt8](repeating: 1, count: 125)), count: 1000).flatMap
            { $0 }
            // Nothing is read meanwhile, and yet the server goes on reading: what it owes does not grow.
            for _ in 0..<100 { XCTAssertTrue(peer.wire.send(pings)) }
            peer.send("still there?")
            var pongs = 0
            while true {
                let event = try peer.next()
                if event == .message(.text("still there?")) { break }
                guard case .pong = event else { return XCTFail("\(event)") }
                pongs += 1
            }
            XCTAssertLessThan(pongs, 100_000)
            XCTAssertGreaterThan(pongs, 0)
        }
    }

    /// One member of a busy room never reads: it costs the room no more than `broadcastHighWater`, the others get
    /// everything in order, and the one is dropped.
    func testAReaderThatNeverReadsInABusyRoom() throws {
        let members = Mutex<Set<WebSocket>>([])
        let dropped = Mailbox<CloseCode?>()
        let limit = 256 * 1024
        try serve {
            $0.broadcastHighWater = limit
            // On a slow machine a ping would come between the messages.
            $0.pingInterval = nil
        } _: { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                members.withLock { _ = $0.insert(socket) }
                defer { members.withLock { _ = $0.remove(socket) } }
                for try await message in socket { members.withLock { $0.broadcast(message) } }
                if socket.query["name"] == "deaf" { dropped.put(socket.disconnect?.code) }
            }
        } test: { server in
            let deaf = try server.connect("/?name=deaf", receiveBuffer: 4096)
            let listeners = try (0..<3).map { _ in try server.connect() }
            eventually("all are members") { members.withLock(\.count) == 4 }
            let padding = String(repeating: ".", count: 16_000)
            var most = 0
            // Far more than the limit and the buffers of the kernel hold.
            for number in 0..<500 {
                listeners[0].send("\(number)\(padding)")
                for listener in listeners { listener.expect("\(number)\(padding)") }
                if number % 10 == 0, let one = members.withLock({ $0.first { $0.query["name"] == "deaf" } }) {
                    most = max(most, try blocking { try await one.session.onLoop { $0.wire.output.count } })
                }
            }
            XCTAssertEqual(try dropped.take("the end of the one that does not read"), 1006)
            XCTAssertGreaterThan(most, 0, "it did fall behind")
            XCTAssertLessThanOrEqual(most, limit + 16_100)
            XCTAssertEqual(members.withLock(\.count), 3)
            deaf.wire.end()
        }
    }

    func testWhatCameBeforeAHalfCloseIsAnswered() throws {
        try serve(echo) { server in
            let peer = try server.connect()
            for _ in 0..<10 { peer.send("a", "b") }
            peer.wire.endSending()
            for _ in 0..<10 { peer.expect("a", "b") }
            peer.expect(.end)
        }
    }

    func testHalfAFrameAndThenTheEnd() throws {
        let ends = Mailbox<CloseCode?>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                for try await _ in socket {}
                ends.put(socket.disconnect?.code)
            }
        } test: { server in
            let whole = frame(.binary, [UInt8](repeating: 1, count: 50_000))
            for count in [1, 3, 8, 100, 49_000] {
                for isReset in [false, true] {
                    let peer = try server.connect()
                    peer.send(raw: Array(whole[..<count]))
                    if isReset { peer.wire.end(reset: true) } else { peer.wire.endSending() }
                    XCTAssertEqual(try ends.take(), 1006)
                    if !isReset { peer.expect(.end) }
                }
            }
        }
    }

    func testRandomFramesOverSockets() throws {
        try serve(loops: 2, echo) { server in
            var random = SplitMix64(seed: 4)
            for round in 0..<60 {
                let peer = try server.connect()
                var bytes: [UInt8] = []
                for _ in 0..<20 { bytes += Self.randomFrame(&random) }
                peer.send(raw: bytes)
                peer.wire.endSending()
                if round % 3 == 0 { peer.wire.end(reset: true) } else { while try peer.next() != .end {} }
            }
            let peer = try server.connect()
            peer.send("fine")
            peer.expect("fine")
        }
    }

    // MARK: Random input for the protocol

    /// A frame that is valid in most respects, so that random input gets past the first byte.
    private static func randomFrame(_ random: inout SplitMix64) -> [UInt8] {
        let dice = random.next()
        var bytes: [UInt8] = []
        let opcodes: [UInt8] = [0, 1, 2, 8, 9, 10, 1, 2]
        bytes.append((dice & 0x30 == 0 ? 0 : 0x80) | opcodes[Int(dice & 7)])
        let length = Int(truncatingIfNeeded: dice >> 8 & 0x0F)
        bytes.append(0x80 | UInt8(length))
        var noise = random.next()
        for _ in 0..<4 + length {
            // Mostly letters once unmasked with a key of zeros, so that text is often valid.
            bytes.append(bytes.count < 6 && dice & 0xC0 != 0 ? 0 : UInt8(truncatingIfNeeded: noise) & 0x7F)
            noise = noise >> 7 | noise << 57
        }
        // And now and then one byte of anything.
        if dice >> 16 & 0x0F == 0 {
            bytes[Int(dice >> 32) % bytes.count] = UInt8(truncatingIfNeeded: dice >> 24)
        }
        return bytes
    }

    func testRandomInputToTheProtocol() {
        var random = SplitMix64(seed: 5)
        var limits = Limits()
        limits.messageBytes = 100
        limits.messageFragments = 4
        limits.sendHighWater = 64
        var counts = (messages: 0, controls: 0, closes: 0, violations: 0)
        let rounds = 200_000
        var server = WebSocketProtocol(role: .server, limits: limits)
        for round in 0..<rounds {
            let role: WebSocketProtocol.Role = round % 4 == 0 ? .client : .server
            // A connection lives for up to eight inputs, some of which end inside a frame.
            if server.state != .open || round % 8 == 0 || server.role != role {
                server = WebSocketProtocol(role: role, limits: limits)
            }
            var input = Self.randomFrame(&random)
            if role == .client {
                input[1] &= 0x7F
                input.removeSubrange(2..<6)
            }
            if round % 5 == 0 { input.removeLast(min(input.count, Int(random.next() % 4))) }
            let isOver = input.withUnsafeMutableBytes { bytes in
                var rest = bytes
                while let event = server.next(&rest) {
                    switch event {
                    case .message: counts.messages += 1
                    case .ping, .pong: counts.controls += 1
                    case .close: counts.closes += 1
                    case .violation: counts.violations += 1
                    }
                    switch event {
                    case .close, .violation: return true
                    default: continue
                    }
                }
                XCTAssertTrue(rest.isEmpty, "everything is taken")
                return false
            }
            if isOver {
                server.finish()
                if server.state != .closed { XCTFail("finish() closes") }
            }
            if server.output.count > 64 + 127 + 131 { XCTFail("the output grows") }
        }
        // The input is worth its time only if it reaches everything.
        XCTAssertGreaterThan(counts.messages, rounds / 20)
        XCTAssertGreaterThan(counts.controls, rounds / 20)
        XCTAssertGreaterThan(counts.closes, 100)
        XCTAssertGreaterThan(counts.violations, rounds / 20)
    }

    func testRandomBytesInTwoPiecesGiveTheSame() {
        var random = SplitMix64(seed: 6)
        for _ in 0..<5000 {
            var stream: [UInt8] = []
            for _ in 0..<4 { stream += Self.randomFrame(&random) }
            var whole = WebSocketProtocol(role: .server, limits: Limits())
            var parts = whole
            let split = Int(random.next() % UInt64(stream.count + 1))
            let expected = whole.receive(stream)
            let got = parts.receive(Array(stream[..<split])) + parts.receive(Array(stream[split...]))
            whole.finish()
            parts.finish()
            if got != expected || parts.output.drain() != whole.output.drain() {
                return XCTFail("\(stream) split at \(split): \(got), not \(expected)")
            }
        }
    }
}

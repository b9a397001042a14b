import XCTest

@testable import WebSocketEngine

/// The protocol without sockets: bytes in, events and bytes out.
final class WebSocketProtocolTests: XCTestCase {
    private typealias Event = WebSocketProtocol.Event

    private func server(_ change: (inout Limits) -> Void = { _ in }) -> WebSocketProtocol {
        var limits = Limits()
        change(&limits)
        return WebSocketProtocol(role: .server, limits: limits)
    }

    private func client() -> WebSocketProtocol { WebSocketProtocol(role: .client, limits: Limits()) }

    /// A client's frame; its key is that of the RFC's examples.
    private func frame(_ opcode: Opcode, _ payload: some Collection<UInt8>, isFinal: Bool = true) -> [UInt8] {
        EncodedFrame(opcode, payload, maskingKey: Self.key, isFinal: isFinal).bytes
    }
    private static let key = UInt32(littleEndian: 0x3D21_FA37)

    private func frame(_ opcode: Opcode, _ text: String, isFinal: Bool = true) -> [UInt8] {
        frame(opcode, text.utf8, isFinal: isFinal)
    }

    /// The bytes fail the connection with this code, once; what follows is ignored and the peer is told.
    private func assertViolation(
        _ code: CloseCode, _ bytes: [UInt8], by role: WebSocketProtocol.Role = .server,
        limits change: (inout Limits) -> Void = { _ in }, _ message: String = "",
        file: StaticString = #filePath,
        line: UInt = #line
    ) {
        var limits = Limits()
        change(&limits)
        var wire = WebSocketProtocol(role: role, limits: limits)
        let events = wire.receive(bytes + [0x81, 0x80, 0, 0, 0, 0])
        guard case .violation(let got, let reason)? = events.last else {
            return XCTFail("no violation but \(events). \(message)", file: file, line: line)
        }
        XCTAssertEqual(got, code, "\(reason) \(message)", file: file, line: line)
        XCTAssertEqual(wire.receive(frame(.text, "x")), [], "after a violation", file: file, line: line)
        XCTAssertTrue(wire.output.isEmpty, "finish() speaks, nothing else", file: file, line: line)
        wire.finish()
        wire.finish()
        XCTAssertEqual(wire.state, .closed, file: file, line: line)
        let said = wire.output.drain()
        var peer = WebSocketProtocol(role: role == .server ? .client : .server, limits: Limits())
        XCTAssertEqual(peer.receive(said), [.close(code, reason)], message, file: file, line: line)
        XCTAssertEqual(wire.receive([0x81]), [], file: file, line: line)
    }

    // MARK: §5.7, the examples

    func testExamplesOfTheRFC() {
        var client = client()
        var server = server()
        let hello: [UInt8] = [0x48, 0x65, 0x6C, 0x6C, 0x6F]
        XCTAssertEqual(client.receive([0x81, 0x05] + hello), [.message(.text("Hello"))])
        XCTAssertEqual(
            server.receive([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]),
            [.message(.text("Hello"))])
        XCTAssertEqual(client.receive([0x01, 0x03, 0x48, 0x65, 0x6C]), [])
        XCTAssertEqual(client.receive([0x80, 0x02, 0x6C, 0x6F]), [.message(.text("Hello"))])
        XCTAssertEqual(client.receive([0x89, 0x05] + hello), [.ping(hello)])
        XCTAssertEqual(
            server.receive([0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]), [.pong(hello)]
        )
        let bytes256 = [UInt8](repeating: 7, count: 256)
        XCTAssertEqual(client.receive([0x82, 0x7E, 0x01, 0x00] + bytes256), [.message(.binary(bytes256))])
        let bytes64K = [UInt8](repeating: 7, count: 65536)
        XCTAssertTrue(
            client.receive([0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0] + bytes64K) == [.message(.binary(bytes64K))])

        server.send(.text("Hello"))
        server.ping(hello)
        server.send(.binary(bytes256))
        server.send(.binary(bytes64K))
        XCTAssertTrue(
            server.output.drain() == [0x81, 5] + hello + [0x89, 5] + hello + [0x82, 0x7E, 1, 0] + bytes256
                + [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0] + bytes64K)
    }

    // MARK: §5.1 and §5.3, masks

    func testWhoMasks() {
        assertViolation(1002, [0x81, 0x00], by: .server, "unmasked from a client")
        assertViolation(1002, [0x81, 0x80], by: .client, "masked from a server")
        assertViolation(1002, [0x88, 0x00], by: .server)
        assertViolation(1002, [0x89, 0xFF], by: .client)
    }

    func testAClientMasksEveryFrameWithAFreshKey() throws {
        var client = client()
        var keys: Set<[UInt8]> = []
        for _ in 0..<50 {
            client.send(.text("Hello"))
            let bytes = client.output.drain()
            XCTAssertEqual(Array(bytes[..<2]), [0x81, 0x85])
            keys.insert(Array(bytes[2..<6]))
            var server = server()
            XCTAssertEqual(server.receive(bytes), [.message(.text("Hello"))])
        }
        XCTAssertGreaterThan(keys.count, 45)
        for message in [
            Message.binary(.init(repeating: 1, count: 100_000)), .text(.init(repeating: "a", count: 70_000)),
        ] {
            client.send(message)
            var server = server()
            XCTAssertTrue(server.receive(client.output.drain()) == [.message(message)])
        }
        client.ping([1, 2])
        client.close(1000, "bye")
        var server = server()
        XCTAssertEqual(server.receive(client.output.drain()), [.ping([1, 2]), .close(1000, "bye")])
    }

    // MARK: §5.2, the header

    func testReservedBitsAndOpcodes() {
        for first in UInt8.min ... .max {
            let opcode = Opcode(rawValue: first & 0x0F)
            if first & 0x70 != 0 || opcode == nil {
                assertViolation(1002, [first], "\(first): refused by the first byte alone")
            } else if first & 0x88 == 0x08 {
                assertViolation(1002, [first], "\(first): a fragmented control frame")
            }
        }
    }

    func testLengthsAtTheirBoundaries() {
        for size in [0, 1, 125, 126, 127, 65535, 65536, 65537] {
            let payload = [UInt8](repeating: 9, count: size)
            let bytes = frame(.binary, payload)
            XCTAssertEqual(bytes.count - size, size < 126 ? 6 : size < 65536 ? 8 : 14)
            var server = server()
            XCTAssertTrue(server.receive(bytes) == [.message(.binary(payload))], "\(size)")
            server.send(.binary(payload))
            var client = client()
            XCTAssertTrue(client.receive(server.output.drain()) == [.message(.binary(payload))], "\(size)")
        }
    }

    func testLengthsThatAreNotMinimal() {
        for length in [0, 1, 125] { assertViolation(1002, [0x82, 0xFE, 0, UInt8(length)]) }
        for length in [0, 125, 126, 65535] {
            let wide = withUnsafeBytes(of: UInt64(length).bigEndian, Array.init)
            assertViolation(1002, [0x82, 0xFF] + wide)
        }
        assertViolation(1002, [0x82, 0xFF, 0x80, 0, 0, 0, 0, 1, 0, 0], "the top bit")
        assertViolation(1002, [0x82, 0xFF] + .init(repeating: 0xFF, count: 8), "the top bit")
    }

    func testControlFramesAreShort() {
        for first in [0x88, 0x89, 0x8A] as [UInt8] {
            assertViolation(1002, [first, 0xFE])
            assertViolation(1002, [first, 0xFF])
        }
        var server = server()
        let payload = [UInt8](repeating: 1, count: 125)
        XCTAssertEqual(server.receive(frame(.ping, payload)), [.ping(payload)])
        XCTAssertEqual(server.output.drain(), [0x8A, 125] + payload)
    }

    // MARK: §5.4, fragments

    func testFragmentsWithControlFramesBetween() {
        var server = server()
        let bytes =
            frame(.text, "Gr", isFinal: false) + frame(.ping, "1")
            + frame(.continuation, [0xC3], isFinal: false)
            + frame(.pong, "2") + frame(.continuation, "", isFinal: false) + frame(.continuation, [0xBC])
            + frame(.binary, [1], isFinal: false) + frame(.continuation, [2])
        XCTAssertEqual(
            server.receive(bytes),
            [.ping([0x31]), .pong([0x32]), .message(.text("Grü")), .message(.binary([1, 2]))])
        XCTAssertEqual(server.output.drain(), [0x8A, 1, 0x31])
    }

    func testFragmentsOutOfOrder() {
        assertViolation(1002, frame(.continuation, "a"))
        assertViolation(1002, frame(.continuation, "a", isFinal: false))
        assertViolation(1002, frame(.text, "a", isFinal: false) + frame(.text, "b"))
        assertViolation(1002, frame(.text, "a", isFinal: false) + frame(.binary, "b", isFinal: false))
        assertViolation(1002, frame(.text, "a") + frame(.continuation, "b"))
    }

    func testACloseBetweenFragments() {
        var server = server()
        XCTAssertEqual(
            server.receive(frame(.text, "a", isFinal: false) + frame(.close, [])),
            [.close(.noStatusReceived, "")])
        server.finish()
        XCTAssertEqual(server.output.drain(), [0x88, 0])
    }

    // MARK: §5.5.1 and §7, closing

    func testEveryCloseCode() {
        // Those that a code could be taken for by its low byte are among the larger ones.
        for number in Array(0...5000) + stride(from: 5001, to: .max, by: 83) + [UInt16.max] {
            let payload = [UInt8(number >> 8), UInt8(number & 0xFF)]
            let isValid: Bool =
                switch number {
                case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000...4999: true
                default: false
                }
            if isValid {
                var server = server()
                XCTAssertEqual(server.receive(frame(.close, payload)), [.close(.init(rawValue: number), "")])
                XCTAssertTrue(server.output.isEmpty)
                server.finish()
                XCTAssertEqual(server.output.drain(), [0x88, 2] + payload, "the answer echoes the code")
            } else {
                assertViolation(1002, frame(.close, payload), "\(number)")
            }
        }
    }

    func testClosePayloads() {
        assertViolation(1002, frame(.close, [3]), "one byte")
        assertViolation(1007, frame(.close, [0x03, 0xE8, 0xFF]), "a reason that is not UTF-8")
        assertViolation(1007, frame(.close, [0x03, 0xE8, 0xC3]), "an unfinished character")
        var server = server()
        let reason = String(repeating: "é", count: 61) + "x"
        XCTAssertEqual(server.receive(frame(.close, [0x0F, 0xA0] + reason.utf8)), [.close(4000, reason)])
    }

    func testNothingAfterTheirClose() {
        var server = server()
        XCTAssertEqual(
            server.receive(frame(.close, [0x03, 0xE8]) + frame(.text, "a") + frame(.ping, "") + [0xFF]),
            [.close(1000, "")])
        // What came before is still answered, and before our Close.
        server.send(.text("late"))
        server.finish()
        XCTAssertEqual(server.state, .closed)
        server.finish()
        server.send(.text("too late"))
        server.ping([])
        XCTAssertFalse(server.close(1000, ""))
        XCTAssertEqual(server.output.drain(), [0x81, 4] + "late".utf8 + [0x88, 2, 0x03, 0xE8])
    }

    func testOurCloseFirst() {
        var server = server()
        XCTAssertEqual(server.receive(frame(.text, "a", isFinal: false)), [])
        XCTAssertTrue(server.close(4000, "bye"))
        XCTAssertFalse(server.close(4001, ""), "once")
        server.send(.text("late"))
        server.send(EncodedFrame(.text("late")))
        server.ping([])
        XCTAssertEqual(server.output.drain(), [0x88, 5, 0x0F, 0xA0] + "bye".utf8)
        XCTAssertEqual(server.state, .closing)
        // What is still under way is read, checked, and not handed out; a Ping needs no answer any more.
        XCTAssertEqual(
            server.receive(frame(.continuation, "b") + frame(.text, "c") + frame(.ping, [])), [.ping([])])
        XCTAssertEqual(server.receive(frame(.close, [0x0F, 0xA0])), [.close(4000, "")])
        server.finish()
        XCTAssertEqual(server.state, .closed)
        XCTAssertTrue(server.output.isEmpty, "one Close is enough")
    }

    func testAViolationAfterOurClose() {
        var server = server()
        server.close(1000, "")
        _ = server.output.drain()
        guard case .violation(1002, _)? = server.receive([0xFF]).first else { return XCTFail("no violation") }
        server.finish()
        XCTAssertEqual(server.state, .closed)
        XCTAssertTrue(server.output.isEmpty)
    }

    func testFinishWithoutAnEndDoesNothing() {
        var server = server()
        server.finish()
        XCTAssertEqual(server.state, .open)
        XCTAssertEqual(server.receive(frame(.text, "a")), [.message(.text("a"))])
    }

    // MARK: §5.5.2, pings

    func testAPingFloodKeepsOnePong() {
        var server = server { $0.sendHighWater = 1000 }
        for i in 0..<1000 { XCTAssertEqual(server.receive(frame(.ping, "\(i)")).count, 1) }
        XCTAssertLessThan(server.output.count, 1000 + 127 + 2)
        server.outputWasSent()
        let first = server.output.drain()
        server.outputWasSent()
        XCTAssertEqual(server.output.drain(), [0x8A, 3] + "999".utf8, "the newest")
        server.outputWasSent()
        XCTAssertTrue(server.output.isEmpty)
        var client = client()
        for (i, event) in client.receive(first).enumerated() {
            XCTAssertEqual(event, .pong(Array("\(i)".utf8)))
        }
    }

    func testAPongThatWaitsIsNotSentAfterAClose() {
        var server = server { $0.sendHighWater = 10 }
        server.send(.text("more than ten bytes"))
        _ = server.receive(frame(.ping, "1"))
        server.close(1000, "")
        _ = server.output.drain()
        server.outputWasSent()
        XCTAssertTrue(server.output.isEmpty)
    }

    // MARK: §8.1, UTF-8

    func testTextFailsFastInsideAFrame() {
        let bad = frame(.text, [0x61, 0xFF, 0x61, 0x61])
        var server = server()
        XCTAssertEqual(server.receive(Array(bad[..<7])), [])
        guard case .violation(1007, _)? = server.receive([bad[7]]).first else {
            return XCTFail("the rest of the frame is awaited in vain")
        }
        // The same in a large frame that is received in place.
        var large = self.server()
        XCTAssertEqual(large.receive(Array(frame(.text, .init(repeating: "a", count: 50_000))[..<100])), [])
        XCTAssertTrue(large.wantsPayloadInPlace)
        var event: Event?
        event = large.receivePayloadInPlace { place in
            for i in 0..<10 { place[i] = 0 }  // Unmasked, these are not ASCII.
            return 10
        }
        guard case .violation(1007, _)? = event else { return XCTFail("\(String(describing: event))") }
        large.finish()
        XCTAssertEqual(large.output.drain().prefix(4), [0x88, 37, 0x03, 0xEF])
    }

    func testBadUTF8AtEveryPosition() {
        for count in [1, 2, 16, 17, 40] {
            for position in 0..<count {
                var payload = [UInt8](repeating: 0x61, count: count)
                payload[position] = 0x80
                assertViolation(1007, frame(.text, payload))
                assertViolation(
                    1007,
                    frame(.text, payload[..<position], isFinal: false)
                        + frame(.continuation, payload[position...]))
            }
        }
        for unfinished in [[0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x91]] as [[UInt8]] {
            assertViolation(1007, frame(.text, unfinished))
            assertViolation(1007, frame(.text, unfinished, isFinal: false) + frame(.continuation, ""))
            assertViolation(1007, frame(.text, unfinished, isFinal: false) + frame(.continuation, "a"))
        }
        for bad in [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF8]] as [[UInt8]] {
            assertViolation(1007, frame(.text, bad))
        }
        var server = server()
        XCTAssertEqual(server.receive(frame(.binary, [0xFF])), [.message(.binary([0xFF]))])
    }

    // MARK: §10.4, limits

    func testMessagesAreRefusedByTheirAnnouncedLength() {
        assertViolation(
            1009, Array(frame(.binary, [UInt8](repeating: 0, count: 1001))[..<8]),
            limits: { $0.messageBytes = 1000 })
        assertViolation(1009, [0x82, 0xFF, 0x7F] + .init(repeating: 0xFF, count: 7) + [0, 0, 0, 0])
        assertViolation(
            1009, frame(.text, "12345", isFinal: false) + Array(frame(.continuation, "123456")[..<6]),
            limits: { $0.messageBytes = 10 })
        var server = server { $0.messageBytes = 10 }
        XCTAssertEqual(
            server.receive(
                frame(.text, "12345", isFinal: false) + frame(.continuation, "67890")
                    + frame(.text, "1234567890")),
            [.message(.text("1234567890")), .message(.text("1234567890"))])
    }

    func testTooManyFragments() {
        let empty = frame(.continuation, "", isFinal: false)
        let start = frame(.text, "", isFinal: false) + Array(repeating: empty, count: 1022).flatMap { $0 }
        var server = server()
        XCTAssertEqual(server.receive(start + frame(.continuation, "a")), [.message(.text("a"))])
        assertViolation(1009, start + empty + empty)
    }

    // MARK: Pieces

    /// Everything a stream makes: its events, and the answers to them.
    private func result(
        of pieces: [[UInt8]], role: WebSocketProtocol.Role = .server
    ) -> (events: [Event], output: [UInt8]) {
        var wire = WebSocketProtocol(role: role, limits: Limits())
        let events = pieces.flatMap { wire.receive($0) }
        wire.finish()
        return (events, wire.output.drain())
    }

    func testEverySplitPointGivesTheSame() {
        let streams: [[UInt8]] = [
            frame(.text, "Hello") + frame(.binary, [1, 2, 3]) + frame(.close, [0x03, 0xE8]),
            frame(.text, "Grüße 👋", isFinal: false) + frame(.ping, "p") + frame(.continuation, "€"),
            frame(.binary, [UInt8](repeating: 3, count: 130)) + frame(.pong, "") + frame(.text, ""),
            frame(.text, "a") + frame(.ping, "b") + frame(.close, []) + frame(.text, "ignored"),
            frame(.text, "a") + frame(.text, [0xFF, 0x61]) + frame(.text, "b"),
            frame(.binary, [UInt8](repeating: 3, count: 70)) + [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ]
        for stream in streams {
            let whole = result(of: [stream])
            XCTAssertGreaterThan(whole.events.count, 1)
            for split in 0...stream.count {
                let parts = result(of: [Array(stream[..<split]), Array(stream[split...])])
                XCTAssertEqual(parts.events, whole.events, "\(split)")
                XCTAssertEqual(parts.output, whole.output, "\(split)")
            }
            let bytewise = result(of: stream.map { [$0] })
            XCTAssertEqual(bytewise.events, whole.events)
            XCTAssertEqual(bytewise.output, whole.output)
        }
    }

    func testReceivingInPlaceEqualsReceivingCopies() {
        let text = String(repeating: "Grüße 👋 ", count: 4000)
        let binary = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let stream = frame(.text, text) + frame(.binary, binary) + frame(.ping, "p")
        for step in [997, 16_384, 20_001] {
            var wire = server()
            var events: [Event] = []
            var rest = stream[...]
            var inPlace = 0
            while !rest.isEmpty {
                if wire.wantsPayloadInPlace {
                    let event = wire.receivePayloadInPlace { place in
                        let piece = rest.prefix(min(step, place.count))
                        rest = rest.dropFirst(piece.count)
                        inPlace += piece.count
                        place.copyBytes(from: piece)
                        return piece.count
                    }
                    if let event { events.append(event) }
                } else {
                    events += wire.receive(Array(rest.prefix(step)))
                    rest = rest.dropFirst(step)
                }
            }
            XCTAssertGreaterThan(inPlace, 20_000)
            XCTAssertTrue(
                events == [.message(.text(text)), .message(.binary(binary)), .ping([0x70])], "\(step)")
        }
        // A read that brings nothing changes nothing.
        var wire = server()
        _ = wire.receive(Array(frame(.binary, binary)[..<20]))
        XCTAssertNil(wire.receivePayloadInPlace { _ in 0 })
        XCTAssertNil(wire.receivePayloadInPlace { _ in -1 })
        XCTAssertTrue(wire.receive(Array(frame(.binary, binary)[20...])) == [.message(.binary(binary))])
    }
}

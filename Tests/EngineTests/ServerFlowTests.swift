import Foundation
import Synchronization
import XCTest

@testable import GraderKit
@testable import WebSocketEngine

/// Who may send and receive when, and what happens when one side is faster than the other.
final class ServerFlowTests: XCTestCase {
    // MARK: Receiving

    func testACancelledReceiveLosesNothing() throws {
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                for _ in 0..<100 {
                    // The usual race of a receiver against something else.
                    await withTaskGroup(of: Void.self) { group in
                        group.addTask {
                            do {
                                _ = try await socket.receive()
                                XCTFail("nothing was sent")
                            } catch {
                                XCTAssertTrue(error is CancellationError, "\(error)")
                            }
                        }
                        group.addTask { await Task.yield() }
                        await group.next()
                        group.cancelAll()
                    }
                }
                // Nothing is remembered of the waits that were cancelled.
                while !socket.session.cancelledWaits.isEmpty { await Task.yield() }
                try await socket.send("ready")
                for try await message in socket { try await socket.send(message) }
            }
        } test: { server in
            let peer = try server.connect()
            peer.expect("ready")
            peer.send("a", "b")
            peer.expect("a", "b")
        }
    }

    func testAReceiveInATaskThatIsCancelledAlready() throws {
        let results = Mailbox<String>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                for isDetached in [false, true] {
                    let gate = Gate()
                    let body: @Sendable () async -> Void = {
                        await gate.wait()
                        do { _ = try await socket.receive() } catch {
                            results.put("\(error is CancellationError)")
                        }
                    }
                    let task = isDetached ? Task.detached(operation: body) : Task(operation: body)
                    task.cancel()
                    gate.open()
                    await task.value
                }
                try await socket.send(try await socket.receive())
            }
        } test: { server in
            let peer = try server.connect()
            XCTAssertEqual(try results.take(2), ["true", "true"])
            peer.send("still here")
            peer.expect("still here")
            peer.expectClose(1000)
        }
    }

    func testTwoReceiversAtOnce() throws {
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                // Either may be first; the other is refused.
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 {
                        group.addTask {
                            do {
                                try await socket.send("got \(try await socket.receiveText())")
                            } catch WebSocketError.alreadyReceiving {
                                try? await socket.send("refused")
                            } catch { XCTFail("\(error)") }
                        }
                    }
                }
            }
        } test: { server in
            let peer = try server.connect()
            peer.expect("refused")
            peer.send("a")
            peer.expect("got a")
            peer.expectClose(1000)
        }
    }

    // MARK: Sending from elsewhere

    func testTasksOutsideTheLoopSendInOrder() throws {
        actor Sender {
            func send(_ range: Range<Int>, to socket: WebSocket) async throws {
                for i in range { try await socket.send("\(i)") }
            }
        }
        try serve(loops: 2) { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                try await Task { for i in 0..<200 { try await socket.send("\(i)") } }.value
                try await Task.detached { for i in 200..<400 { try await socket.send("\(i)") } }.value
                try await Sender().send(400..<600, to: socket)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { for i in 600..<800 { try await socket.send("\(i)") } }
                    try await group.waitForAll()
                }
                for i in 800..<1000 { try await socket.send("\(i)") }
            }
        } test: { server in
            let peer = try server.connect()
            for i in 0..<1000 { XCTAssertEqual(try peer.text(), "\(i)") }
            peer.expectClose(1000)
        }
    }

    /// As an actor does that another thread runs while the loop is busy: what was said first must come first.
    func testWhatAnotherThreadSentBeforeComesBefore() throws {
        @Sendable func broadcastFromAThread(_ text: String, to socket: WebSocket) {
            let done = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                [socket].broadcast(text)
                done.signal()
            }
            done.wait()
        }
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                broadcastFromAThread("1", to: socket)
                [socket].broadcast("2")
                broadcastFromAThread("3", to: socket)
                try await socket.send("4")
                broadcastFromAThread("5", to: socket)
                try await socket.close(code: 4000)
            }
        } test: { server in
            let peer = try server.connect()
            peer.expect("1", "2", "3", "4", "5")
            peer.expectClose(4000)
        }
    }

    func testManyTasksSendAtOnceEachInOrder() throws {
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for sender in 0..<4 {
                        group.addTask(executorPreference: globalConcurrentExecutor) {
                            for i in 0..<200 { try await socket.send("\(sender) \(i)") }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        } test: { server in
            let peer = try server.connect()
            var next = [0, 0, 0, 0]
            for _ in 0..<800 {
                let parts = try peer.text().split(separator: " ").compactMap { Int($0) }
                XCTAssertEqual(parts[1], next[parts[0]])
                next[parts[0]] += 1
            }
            peer.expectClose(1000)
        }
    }

    func testAHandlerOfAnotherLoopReceivesAndCloses() throws {
        let sockets = Mailbox<WebSocket>()
        try serve(loops: 2) { app in
            app.webSocket("/lends") { socket in
                try await socket.accept()
                sockets.put(socket)
                while socket.state == .open { await Task.yield() }
            }
            app.webSocket("/uses") { socket in
                try await socket.accept()
                let other = try sockets.take()
                XCTAssertNotEqual(other, socket)
                try await other.send("from there")
                try await socket.send(try await other.receive())
                try await other.close(code: 4000)
            }
        } test: { server in
            let lender = try server.connect("/lends")
            let user = try server.connect("/uses")
            lender.expect("from there")
            lender.send("to there")
            user.expect("to there")
            lender.expectClose(4000)
            user.expectClose(1000)
        }
    }

    // MARK: Broadcast

    /// Everyone who is connected. A handler adds itself and says so to its client.
    private final class Room: Sendable {
        let sockets = Mutex<Set<WebSocket>>([])

        func serve(_ app: Application) {
            app.webSocket("/") { socket in
                try await socket.accept()
                self.sockets.withLock { _ = $0.insert(socket) }
                defer { self.sockets.withLock { _ = $0.remove(socket) } }
                try await socket.send("joined")
                for try await message in socket { self.sockets.withLock { $0 }.broadcast(message) }
            }
        }
    }

    func testABroadcastReachesBothLoops() throws {
        let room = Room()
        try serve(loops: 2) {
            room.serve($0)
        } test: { server in
            let peers = try (0..<6).map { _ in try server.connect() }
            for peer in peers { peer.expect("joined") }
            XCTAssertEqual(
                Set(room.sockets.withLock { $0 }.map { ObjectIdentifier($0.session.loop) }).count, 2)
            for i in 0..<100 { peers[0].send("\(i)") }
            for peer in peers { for i in 0..<100 { peer.expect("\(i)") } }
            // Sockets that are over are passed over, and from a thread that is no loop's it works too.
            let all = room.sockets.withLock { $0 }
            peers[5].close()
            peers[5].expect(.close(1000, ""))
            all.broadcast("bye")
            XCTAssertNoThrow(try all.broadcastJSON(["a": 1]))
            for peer in peers[..<5] { peer.expect("bye", #"{"a":1}"#) }
        }
    }

    /// Rooms whose members are on both loops, and all of them talk at once: to a room as a whole, or to each member.
    func testManySendersInRoomsAcrossBothLoops() throws {
        let rooms = Mutex<[String: Set<WebSocket>]>([:])
        try serve(loops: 2) { app in
            app.webSocket("/{room}") { socket in
                try await socket.accept()
                let room = socket.parameters["room"] ?? ""
                rooms.withLock { _ = $0[room, default: []].insert(socket) }
                try await socket.send("joined")
                for try await message in socket {
                    let members = rooms.withLock { $0[room] ?? [] }
                    if room == "broadcast" {
                        members.broadcast(message)
                    } else {
                        for member in members { try await member.send(message) }
                    }
                }
            }
        } test: { server in
            let senders = 8
            let messages = 50
            // Connections are shared out in turn: every room gets members of both loops.
            let names = (0..<2 * senders).map { $0 / 2 % 2 == 0 ? "broadcast" : "each" }
            let peers = try names.map { try server.connect("/\($0)") }
            for peer in peers { peer.expect("joined") }
            for room in rooms.withLock({ $0 }) {
                XCTAssertEqual(room.value.count, senders)
                XCTAssertEqual(Set(room.value.map { ObjectIdentifier($0.session.loop) }).count, 2, room.key)
            }
            // Each sends all at once, so that the loops are busy with one another at the same time.
            for (index, peer) in peers.enumerated() {
                let frames = (0..<messages).flatMap {
                    EncodedFrame(.text, "\(names[index]) \(index) \($0)".utf8, maskingKey: 7).bytes
                }
                peer.send(raw: frames)
            }
            for (index, peer) in peers.enumerated() {
                var next: [String: Int] = [:]
                for _ in 0..<senders * messages {
                    let words = try peer.text().split(separator: " ").map(String.init)
                    XCTAssertEqual(words[0], names[index], "of one's own room")
                    XCTAssertEqual(Int(words[2]), next[words[1], default: 0], "from \(words[1])")
                    next[words[1], default: 0] += 1
                }
                XCTAssertEqual(next.values.sorted(), .init(repeating: messages, count: senders))
            }
            // Nothing came twice: the next is the answer to this.
            for peer in peers {
                peer.close()
                peer.expect(.close(1000, ""))
            }
        }
    }

    func testABroadcastDropsASlowReaderAndDisturbsNobody() throws {
        let room = Room()
        try serve(limits: { $0.broadcastHighWater = 64 * 1024 }) {
            room.serve($0)
        } test: { server in
            let slow = try server.connect(receiveBuffer: 4096)
            let quick = try server.connect()
            slow.expect("joined")
            quick.expect("joined")
            let chunk = [UInt8](repeating: 7, count: 64 * 1024)
            var rounds = 0
            while room.sockets.withLock({ $0.count }) == 2 {
                quick.send(chunk)
                XCTAssertTrue(try quick.message() == .binary(chunk))
                rounds += 1
                XCTAssertLessThan(rounds, 1000, "the slow reader is never dropped")
                if rounds == 1000 { return }
            }
            quick.send("after")
            quick.expect("after")
        }
    }

    func testABurstOfBroadcastsInOneTurnDropsNobodyWhoReads() throws {
        try serve(limits: { $0.broadcastHighWater = 16 * 1024 }) { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                // More than the limit, but no more than the kernel takes at once.
                for i in 0..<100 { [socket].broadcast(.binary(.init(repeating: UInt8(i), count: 1000))) }
                _ = try await socket.receive()
            }
        } test: { server in
            let peer = try server.connect()
            for i in 0..<100 {
                XCTAssertTrue(try peer.message() == .binary(.init(repeating: UInt8(i), count: 1000)))
            }
            peer.send("done")
            peer.expectClose(1000)
        }
    }

    // MARK: Slow readers

    func testSendSuspendsForASlowReader() throws {
        let sent = Atomic(0)
        let sockets = Mailbox<WebSocket>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                sockets.put(socket)
                for i in 0..<400 {
                    try await socket.send(
                        .binary(.init(repeating: UInt8(truncatingIfNeeded: i), count: 64 * 1024)))
                    sent.add(1, ordering: .relaxed)
                }
            }
            app.get("/fence") { _ in .text("") }
        } test: { server in
            let peer = try server.connect(receiveBuffer: 4096)
            let session = try sockets.take().session
            // A request on the same loop is answered, so the handler has suspended: how far it got is all it does.
            var last = -1
            while last != sent.load(ordering: .relaxed) {
                last = sent.load(ordering: .relaxed)
                XCTAssertEqual(try server.get("/fence").status, 200)
            }
            XCTAssertLessThan(last, 400)
            let waiting = Mailbox<Int>()
            session.loop.execute { waiting.put(session.output.count) }
            XCTAssertLessThan(try waiting.take(), 32 * 1024 + 2 * 64 * 1024, "memory is bounded")
            for i in 0..<400 {
                guard case .binary(let bytes) = try peer.message() else { return XCTFail("a binary message") }
                XCTAssertEqual(bytes.count, 64 * 1024)
                XCTAssertEqual(bytes.last, UInt8(truncatingIfNeeded: i))
            }
            peer.expectClose(1000)
        }
    }

    func testASuspendedSenderHearsOfTheEnd() throws {
        let ends = Mailbox<String>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                // As many senders as the reader is slow: all of them must be woken.
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 {
                        group.addTask {
                            do {
                                while true { try await socket.send(.init(repeating: 0, count: 256 * 1024)) }
                            } catch { ends.put("\(type(of: error))") }
                        }
                    }
                }
            }
            app.get("/fence") { _ in .text("") }
        } test: { server in
            let peer = try server.connect(receiveBuffer: 4096)
            XCTAssertEqual(try server.get("/fence").status, 200)
            peer.wire.end(reset: true)
            XCTAssertEqual(try ends.take(3), .init(repeating: "WebSocketDisconnect", count: 3))
        }
    }

    func testASendThatFindsTheConnectionBrokenEnds() throws {
        let ends = Mailbox<String>()
        let isReset = DispatchSemaphore(value: 0)
        let accepted = Mailbox<Void>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                _ = try await socket.receive()
                accepted.put(())
                // Blocks the loop, which no handler should do, so that nobody but this sender can find it out.
                Self.wait(isReset)
                do {
                    for _ in 0..<3 { try await socket.send(.init(repeating: 0, count: 64 * 1024)) }
                    ends.put("sent")
                } catch { ends.put("\(type(of: error))") }
            }
        } test: { server in
            let peer = try server.connect()
            peer.send("go")
            try accepted.take()
            peer.wire.end(reset: true)
            isReset.signal()
            XCTAssertEqual(try ends.take("the end of the sender"), "WebSocketDisconnect")
        }
    }

    private static func wait(_ semaphore: DispatchSemaphore) { _ = semaphore.wait(timeout: .now() + 5) }

    func testACancelledSender() throws {
        let ends = Mailbox<String>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                let task = Task(executorPreference: socket.session.loop) {
                    do {
                        while true { try await socket.send(.init(repeating: 0, count: 256 * 1024)) }
                    } catch { ends.put("\(type(of: error))") }
                }
                while socket.session.senders.isEmpty { await Task.yield() }
                task.cancel()
                await task.value
            }
        } test: { server in
            let peer = try server.connect(receiveBuffer: 4096)
            XCTAssertEqual(try ends.take(), "CancellationError")
            while case .message = try peer.next() {}
        }
    }

    // MARK: Slow handlers

    func testAnInboxThatIsNeverEmptyDoesNotGrow() {
        var inbox = Inbox()
        for i in 0..<10 { inbox.append(.text("\(i)")) }
        for i in 0..<1000 {
            inbox.append(.text("\(i + 10)"))
            XCTAssertEqual(inbox.popFirst(), .text("\(i)"))
            XCTAssertEqual(inbox.count, 10)
            XCTAssertLessThan(inbox.places, 80)
        }
        for _ in 0..<10 { XCTAssertNotNil(inbox.popFirst()) }
        XCTAssertNil(inbox.popFirst())
        XCTAssertTrue(inbox.isEmpty)
        XCTAssertEqual(inbox.byteCount, 0)
    }

    private func flood(
        _ messages: [Message], loops: Int = 1, limits: @escaping (inout Limits) -> Void = { _ in }
    ) throws {
        let gate = Gate()
        let sockets = Mailbox<WebSocket>()
        let got = Mailbox<Bool>()
        try serve(loops: loops, limits: limits) { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                sockets.put(socket)
                await gate.wait()
                for expected in messages {
                    let message = try await socket.receive()
                    if message != expected { return got.put(false) }
                }
                got.put(true)
            }
        } test: { server in
            let peer = try server.connect()
            let socket = try sockets.take()
            let bytes = messages.flatMap { message in
                switch message {
                case .text(let text): EncodedFrame(.text, text.utf8, maskingKey: 0x0102_0304).bytes
                case .binary(let bytes): EncodedFrame(.binary, bytes, maskingKey: 0x0102_0304).bytes
                }
            }
            let finished = Mailbox<Void>()
            nonisolated(unsafe) let sender = peer.wire
            Thread.detachNewThread {
                sender.send(bytes)
                finished.put(())
            }
            eventually("reading stops") {
                let answer = Mailbox<Bool>()
                socket.session.loop.execute { answer.put(socket.session.isReadingPaused) }
                return (try? answer.take()) == true
            }
            gate.open()
            XCTAssertTrue(try got.take("all messages"), "lost or reordered")
            try finished.take()
            peer.expectClose(1000)
        }
    }

    func testReadingStopsForAHandlerThatDoesNotReadAndGoesOn() throws {
        try flood((0..<20000).map { .text("\($0)") })
    }

    func testReadingStopsAtTheByteLimitAndGoesOn() throws {
        try flood((0..<8).map { .binary(.init(repeating: $0, count: 700_000)) })
        try flood((0..<8).map { .binary(.init(repeating: $0, count: 1 << 20)) })
    }

    func testAnInboxOfNoMessagesTakesOneAllTheSame() throws {
        try serve(limits: { ($0.inboundMessages, $0.inboundBytes) = (0, 0) }, echo) { server in
            let peer = try server.connect()
            peer.send("a", "b")
            peer.expect("a", "b")
            peer.close()
            peer.expect(.close(1000, ""))
        }
    }

    func testAnInboxOfOneMessage() throws {
        try flood((0..<100).map { .text("\($0)") }, limits: { $0.inboundMessages = 1 })
    }

    func testReadingStopsAnywhereAndGoesOn() throws {
        for count in [2, 3, 7] {
            try flood((0..<100).map { .text("\($0)") }, limits: { $0.inboundMessages = count })
            let size = 1 << 18
            try flood(
                (0..<20).map { .binary(.init(repeating: $0, count: size)) },
                limits: { $0.inboundBytes = count * size })
        }
    }

    func testACloseBehindAFloodArrives() throws {
        let gate = Gate()
        let ends = Mailbox<Int>()
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                await gate.wait()
                var count = 0
                for try await _ in socket { count += 1 }
                XCTAssertEqual(socket.disconnect?.code, 4000)
                ends.put(count)
            }
        } test: { server in
            let peer = try server.connect()
            for i in 0..<1000 { peer.send("\(i)") }
            peer.close(4000)
            gate.open()
            XCTAssertEqual(try ends.take(), 1000)
            peer.expect(.close(4000, ""))
            peer.expect(.end)
        }
    }

    func testACloseOfOursInAFloodEndsIt() throws {
        try serve { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                _ = try await socket.receive()
                try await socket.close(code: 4000)
            }
        } test: { server in
            let peer = try server.connect()
            for i in 0..<1000 { peer.send("\(i)") }
            peer.expectClose(4000)
        }
    }
}

import Foundation
import Synchronization
import XCTest

@testable import GraderKit
@testable import WebSocketEngine

/// A server's life: hooks and middleware, timeouts by a manual clock, shutdown, and what it leaves behind.
final class ServerLifeTests: XCTestCase {
    private struct Broken: Error, Equatable { var number: Int }

    // MARK: Around the handlers

    func testMiddlewareStandsAroundInOrder() throws {
        let order = Mailbox<String>()
        try serve { app in
            for name in ["outer", "inner"] {
                app.use { socket, next in
                    order.put("\(name) before")
                    defer { order.put("\(name) after") }
                    try await next(socket)
                }
            }
            app.use { socket, next in
                if socket.query["stop"] != nil { return try await socket.reject(status: 401) }
                try await next(socket)
            }
            app.webSocket("/") { socket in
                order.put("handler")
                try await socket.accept()
                throw WebSocketException(code: 4000)
            }
        } test: { server in
            try server.connect().expectClose(4000)
            XCTAssertEqual(
                try order.take(5), ["outer before", "inner before", "handler", "inner after", "outer after"])
            XCTAssertEqual(try server.refusal(at: "/?stop"), 401)
            XCTAssertEqual(try order.take(4), ["outer before", "inner before", "inner after", "outer after"])
        }
    }

    func testHooksRunInOrder() throws {
        let order = Mailbox<String>()
        let server = try TestServer { app in
            app.onStartup { order.put("startup 1") }
            app.onStartup { order.put("startup 2") }
            app.onShutdown { order.put("shutdown 1") }
            app.onShutdown { order.put("shutdown 2") }
            app.webSocket("/") { socket in
                try await socket.accept()
                for try await _ in socket {}
                order.put("handler ended")
            }
        }
        XCTAssertEqual(try order.take(2), ["startup 1", "startup 2"])
        let peer = try server.connect()
        let running = server.server
        Task.detached { try await running.shutdown() }
        peer.expectClose(1001, "Server is shutting down")
        XCTAssertEqual(try order.take(3), ["handler ended", "shutdown 1", "shutdown 2"])
    }

    func testAStartupHookThatFails() throws {
        let app = Application()
        app.onStartup { throw Broken(number: 1) }
        app.onStartup { XCTFail("the next hook runs") }
        app.onShutdown { XCTFail("what did not start is not shut down") }
        let before = openDescriptors()
        XCTAssertThrowsError(try blocking { try await app.start() }) {
            XCTAssertEqual($0 as? Broken, Broken(number: 1))
        }
        // Fewer if another test's loop has just ended.
        XCTAssertLessThanOrEqual(openDescriptors(), before)
    }

    func testShutdownHooksThatFail() throws {
        let ran = Mailbox<Int>()
        let app = Application()
        for number in 1...3 {
            app.onShutdown {
                ran.put(number)
                if number < 3 { throw Broken(number: number) }
            }
        }
        let server = try blocking { try await app.start() }
        XCTAssertThrowsError(try blocking { try await server.shutdown() }) {
            XCTAssertEqual($0 as? Broken, Broken(number: 1))
        }
        XCTAssertEqual(ran.waiting, [1, 2, 3])
        XCTAssertNoThrow(try blocking { try await server.shutdown() }, "a second time does nothing")
    }

    func testAPortThatIsTaken() throws {
        try serve(echo) { server in
            let port = server.port
            XCTAssertThrowsError(try blocking { try await Application().start(port: port) }) {
                XCTAssertEqual(($0 as? SystemError)?.isAddressInUse, true)
            }
            XCTAssertThrowsError(try blocking { try await Application().start(host: "no.such.host.invalid") })
        }
    }

    // MARK: Time

    func testKeepAlive() throws {
        let ends = Mailbox<WebSocketDisconnect?>()
        try serve(manualTime: true) { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                for try await message in socket { try await socket.send(message) }
                ends.put(socket.disconnect)
            }
        } test: { server in
            let peer = try server.connect()
            // As long as something comes nobody is asked.
            server.clock.advance(by: .seconds(19))
            peer.send("a")
            peer.expect("a")
            server.clock.advance(by: .seconds(19))
            peer.send("b")
            peer.expect("b")
            server.clock.advance(by: .seconds(20))
            peer.expect(.ping([]))
            // A message behind the Pong shows that it has arrived.
            peer.send("c")
            peer.expect("c")
            server.clock.advance(by: .seconds(20))
            peer.expect(.ping([]))
            peer.send("d")
            peer.expect("d")

            // Now the client falls silent: it sees the Ping but its answer is lost.
            server.clock.advance(by: .seconds(20))
            guard case .bytes(let ping) = peer.wire.receive(milliseconds: 5000) else {
                return XCTFail("no Ping")
            }
            XCTAssertEqual(ping, [0x89, 0])
            server.clock.advance(by: .seconds(19))
            XCTAssertEqual(ends.waiting.count, 0)
            server.clock.advance(by: .seconds(1))
            XCTAssertEqual(try ends.take()?.code, 1006)
            XCTAssertEqual(try peer.untilEnd(), "")
        }
    }

    func testNoPingsIfNoneAreWanted() throws {
        try serve(manualTime: true, limits: { $0.pingInterval = nil }, echo) { server in
            let peer = try server.connect()
            server.clock.advance(by: .seconds(1_000_000))
            peer.send("a")
            peer.expect("a")
        }
    }

    func testTimeoutsThatMeanNever() throws {
        for isManual in [false, true] {
            try serve(
                manualTime: isManual,
                limits: {
                    $0.pingInterval = .seconds(Int64.max)
                    $0.handshakeTimeout = .seconds(Int64.max)
                    $0.closeTimeout = .seconds(Int64.max)
                }, echo
            ) { server in
                let peer = try server.connect()
                peer.send("a")
                peer.expect("a")
            }
        }
    }

    func testACloseThatIsNotAnswered() throws {
        let ends = Mailbox<WebSocket.State>()
        try serve(manualTime: true) { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                try await socket.close(code: 4000)
                ends.put(socket.state)
                XCTAssertEqual(socket.disconnect?.code, 4000)
            }
        } test: { server in
            let peer = try server.connect()
            // This client answers a Close only when it is told to.
            peer.expect(.close(4000, ""))
            XCTAssertEqual(try ends.take(), .closing)
            server.clock.advance(by: .seconds(10))
            XCTAssertEqual(try peer.untilEnd(), "")
        }
    }

    func testAViolatorThatDoesNotHangUp() throws {
        try serve(manualTime: true, echo) { server in
            let peer = try server.connect()
            peer.send(raw: [0xFF])
            guard case .close(1002, _) = try peer.next() else { return XCTFail("no Close") }
            // Our side is shut down; what still comes is thrown away, for ten seconds.
            XCTAssertEqual(try peer.next(), .end)
            peer.send(raw: .init(repeating: 0, count: 100_000))
            server.clock.advance(by: .seconds(10))
            eventually("the connection is closed") { !peer.wire.send([0]) }
        }
    }

    func testTheClocksSleepInAHandler() throws {
        try serve(manualTime: true) { app in
            app.webSocket("/") { [clock = app.clock] socket in
                try await socket.accept()
                try await clock.sleep(for: .seconds(3600))
                try await socket.send("an hour later")
            }
        } test: { server in
            let peer = try server.connect()
            eventually("the handler sleeps") { server.clock.sleeperCount == 1 }
            server.clock.advance(by: .seconds(3600))
            XCTAssertEqual(try peer.text(), "an hour later")
        }
    }

    // MARK: Shutdown

    func testShutdownEndsEveryoneInOrder() throws {
        let gate = Gate()
        let began = Mailbox<Void>()
        let server = try TestServer(loops: 2) { app in
            self.echo(app)
            app.get("/slow") { _ in
                began.put(())
                await gate.wait()
                return .text("done")
            }
            app.webSocket("/undecided") { socket in
                began.put(())
                await gate.wait()
                do { try await socket.accept() } catch is WebSocketDisconnect {}
            }
        }
        let peers = try (0..<10).map { _ in try server.connect() }
        let silent = Peer(try server.dial())
        let partial = Peer(try server.dial())
        partial.send(raw: Array("GET / HTTP/1.1\r\n".utf8))
        let slow = Peer(try server.dial())
        slow.send(raw: Array("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        let undecided = Peer(try server.dial())
        undecided.send(raw: server.handshake("/undecided"))
        _ = try began.take(2)
        // Both loops have accepted everyone before.
        for _ in 0..<2 { XCTAssertEqual(try server.get("/nowhere").status, 404) }

        let isDown = Mailbox<Void>()
        let running = server.server
        Task.detached {
            try await running.shutdown()
            isDown.put(())
        }
        for peer in peers { peer.expectClose(1001, "Server is shutting down") }
        for peer in [silent, partial, undecided] {
            XCTAssertEqual(try peer.readAnswer().status, 503)
            peer.wire.end()
        }
        XCTAssertNil(Wire(port: server.port), "nobody new is let in")
        XCTAssertEqual(isDown.waiting.count, 0)
        gate.open()
        XCTAssertEqual(try slow.readAnswer().body, "done")
        slow.wire.end()
        try isDown.take("the end of the shutdown")
    }

    func testShutdownWaitsNoLongerThanItsTimeout() throws {
        let began = Mailbox<Void>()
        let gate = Gate()
        let server = try TestServer(manualTime: true) { app in
            app.get("/") { _ in
                began.put(())
                await gate.wait()
                return .text("too late")
            }
            app.webSocket("/") { socket in
                try await socket.accept()
                began.put(())
                await gate.wait()
            }
        }
        let request = Peer(try server.dial())
        request.send(raw: Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        let peer = try server.connect()
        _ = try began.take(2)
        let isDown = Mailbox<Void>()
        let running = server.server
        Task.detached {
            try await running.shutdown()
            isDown.put(())
        }
        peer.expect(.close(1001, "Server is shutting down"))
        server.clock.advance(by: .seconds(10))
        try isDown.take("the end of the shutdown")
        XCTAssertEqual(try request.untilEnd(), "", "cut without an answer")
        gate.open()
    }

    func testASecondShutdownWaitsForTheFirst() throws {
        let gate = Gate()
        let ended = Mailbox<String>()
        let app = Application()
        app.onShutdown {
            await gate.wait()
            ended.put("hook")
        }
        let server = try blocking { try await app.start() }
        for _ in 0..<2 {
            Task.detached {
                try await server.shutdown()
                ended.put("shutdown")
            }
        }
        gate.open()
        XCTAssertEqual(try ended.take(3), ["hook", "shutdown", "shutdown"])
        XCTAssertNoThrow(try blocking { try await server.shutdown() }, "afterwards it returns at once")
    }

    func testAnIntervalOfZeroDoesNotOccupyTheLoop() throws {
        try serve(limits: {
            $0.pingInterval = .zero
            $0.inboundMessages = 1
        }) { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                // Reading is paused meanwhile, and no Pong can be seen.
                try await Task.sleep(for: .milliseconds(20))
                for try await message in socket { try await socket.send(message) }
            }
        } test: { server in
            let peer = try server.connect()
            peer.send("a", "b", "c")
            for text in ["a", "b", "c"] { XCTAssertEqual(try peer.text(), text) }
        }
    }

    func testCallsAfterTheShutdownReturn() throws {
        let sockets = Mailbox<WebSocket>()
        let server = try TestServer { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                sockets.put(socket)
                for try await _ in socket {}
            }
        }
        _ = try server.connect()
        let socket = try sockets.take()
        server.stop()
        XCTAssertEqual(socket.state, .closed)
        XCTAssertThrowsError(try blocking { try await socket.send("late") }) {
            XCTAssertTrue($0 is WebSocketDisconnect, "\($0)")
        }
        XCTAssertThrowsError(try blocking { try await socket.ping() })
        XCTAssertNoThrow(try blocking { try await socket.close() })
        [socket].broadcast("late")
    }

    // MARK: What is left behind

    func testServersLeaveNothingBehind() throws {
        func once() throws {
            let server = try TestServer(loops: 2) { self.echo($0) }
            let peer = try server.connect()
            peer.send("a")
            peer.expect("a")
            server.stop()
        }
        try once()
        let before = openDescriptors()
        for _ in 0..<20 { try once() }
        eventually("listeners, pollers and connections are closed, \(before) before") {
            openDescriptors() <= before
        }
    }

    func testWithoutFreeDescriptorsNewcomersWait() throws {
        try serve(echo) { server in
            let callers = try (0..<4).map { _ in try Caller() }
            // The server gets two from here. Others may be open above them: a loop that has just ended.
            let free = (0..<8192).lazy.filter { fcntl(Int32($0), F_GETFD) == -1 }.prefix(2)
            withDescriptorLimit(try XCTUnwrap(Array(free).last) + 1) { _ in
                for caller in callers { caller.call(server) }
                XCTAssertEqual(callers[0].status(), 101)
                XCTAssertEqual(callers[1].status(), 101)
                // Whoever leaves makes room for the next.
                callers[0].hangUp()
                XCTAssertEqual(callers[2].status(), 101)
                callers[1].hangUp()
                XCTAssertEqual(callers[3].status(), 101)
            }
        }
    }

    /// To ask for a descriptor without end would keep the loop busy; others than its connections may hold them all.
    func testWithoutFreeDescriptorsAcceptingPausesAndGoesOn() throws {
        try serve(manualTime: true, echo) { server in
            let peer = try server.connect()
            func fence() {
                for _ in 0..<10 {
                    peer.send("fence")
                    peer.expect("fence")
                }
            }
            let callers = try (0..<3).map { _ in try Caller() }
            // The standard input is open, and no number above it may be given to anyone.
            withDescriptorLimit(1) { _ in
                for caller in callers { caller.call(server) }
                fence()
                // Still none: another look changes nothing.
                server.clock.advance(by: .milliseconds(100))
                fence()
            }
            fence()
            for caller in callers { XCTAssertFalse(caller.hasAnswer, "nobody looks before it is time") }
            server.clock.advance(by: .milliseconds(100))
            for caller in callers { XCTAssertEqual(caller.status(), 101) }
            peer.send("undisturbed")
            peer.expect("undisturbed")
        }
    }

    /// A client whose descriptor is taken before there are none left.
    private final class Caller {
        private let descriptor: Int32

        init() throws {
            #if os(Linux)
                descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            #else
                descriptor = socket(AF_INET, SOCK_STREAM, 0)
            #endif
            XCTAssertGreaterThanOrEqual(descriptor, 0)
        }

        deinit { hangUp() }

        func call(_ server: TestServer) {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(server.port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let result = withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            XCTAssertEqual(result, 0)
            let request = server.handshake("/")
            XCTAssertEqual(send(descriptor, request, request.count, 0), request.count)
        }

        /// True if something has come by now.
        var hasAnswer: Bool { isReadable(within: 0) }

        private func isReadable(within milliseconds: Int32) -> Bool {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            return poll(&entry, 1, milliseconds) > 0
        }

        func status() -> Int {
            guard isReadable(within: 5000) else { return 0 }
            var buffer = [UInt8](repeating: 0, count: 12)
            guard recv(descriptor, &buffer, 12, 0) == 12 else { return 0 }
            return Int(String(decoding: buffer[9...], as: UTF8.self)) ?? 0
        }

        func hangUp() { close(descriptor) }
    }
}

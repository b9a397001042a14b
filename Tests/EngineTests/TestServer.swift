import Foundation
import Synchronization
import XCTest

@testable import GraderKit
@testable import WebSocketEngine

/// How long a test waits for what should come at once. Nothing waits this long unless it fails.
private let patience = 5.0

struct TimedOut: Error, CustomStringConvertible {
    var what: String
    var description: String { "nothing came in time: \(what)" }
}

/// What happened on other threads, in order: a handler puts, the test takes and waits if it must.
final class Mailbox<Item: Sendable>: Sendable {
    private let items = Mutex<[Item]>([])
    private let signal = DispatchSemaphore(value: 0)

    func put(_ item: Item) {
        items.withLock { $0.append(item) }
        signal.signal()
    }

    func take(_ what: String = "an item in a mailbox") throws -> Item {
        guard signal.wait(timeout: .now() + patience) == .success else { throw TimedOut(what: what) }
        return items.withLock { $0.removeFirst() }
    }

    func take(_ count: Int) throws -> [Item] { try (0..<count).map { try take("item \($0) of \(count)") } }

    var waiting: [Item] { items.withLock { $0 } }
}

/// Holds tasks back until a test lets them go.
final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiters: [CheckedContinuation<Void, Never>])>((false, []))

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}

/// Runs async work from a test that blocks, so that no test occupies a thread of the global pool.
func blocking<Value: Sendable>(
    _ what: String = "async work", _ body: @escaping @Sendable () async throws -> Value
) throws -> Value {
    let result = Mailbox<Result<Value, any Error>>()
    Task.detached {
        do { result.put(.success(try await body())) } catch { result.put(.failure(error)) }
    }
    return try result.take(what).get()
}

/// A real server on a free port of the loopback interface, for one test.
final class TestServer {
    let application = Application()
    let server: Server
    /// What the error hook was told.
    let reported = Mailbox<String>()
    fileprivate var wires: [Wire] = []

    init(
        loops: Int = 1, manualTime: Bool = false, limits change: (inout Limits) -> Void = { _ in },
        _ describe: (Application) -> Void
    ) throws {
        let application = application
        let reported = reported
        if manualTime { application.clock.useManualTime() }
        var limits = application.limits
        change(&limits)
        application.limits = limits
        application.onError { error, request in reported.put("\(request.path): \(error)") }
        describe(application)
        server = try blocking("the server's start") { try await application.start(loops: loops) }
    }

    var port: Int { server.port }
    var clock: ServerClock { application.clock }

    /// A TCP connection on which nothing is said yet.
    func dial(receiveBuffer: Int? = nil) throws -> Wire {
        let wire = try XCTUnwrap(Wire(port: port, receiveBuffer: receiveBuffer), "nobody listens")
        wires.append(wire)
        return wire
    }

    /// A WebSocket whose handshake must succeed.
    func connect(
        _ path: String = "/", headers: Headers = Headers(), subprotocols: [String] = [],
        receiveBuffer: Int? = nil,
        together bytes: [UInt8] = []
    ) throws -> Peer {
        let peer = Peer(try dial(receiveBuffer: receiveBuffer))
        peer.wire.send(handshake(path, headers: headers, subprotocols: subprotocols) + bytes)
        let answer = try peer.readAnswer()
        XCTAssertEqual(answer.status, 101, answer.body)
        XCTAssertEqual(
            answer.headers["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the example of §1.3")
        peer.response = answer.headers
        return peer
    }

    func handshake(_ path: String, headers: Headers = Headers(), subprotocols: [String] = []) -> [UInt8] {
        Handshake.request(
            target: path, host: "127.0.0.1:\(port)", key: "dGhlIHNhbXBsZSBub25jZQ==",
            subprotocols: subprotocols,
            headers: headers)
    }

    /// One request in plain text, lines ended by LF here and CRLF on the wire, and its answer up to the end of TCP.
    func request(_ lines: String, body: String = "") throws -> (status: Int, headers: Headers, body: String) {
        let peer = Peer(try dial())
        let text = lines.split(separator: "\n").map { "\($0)\r\n" }.joined()
        peer.wire.send(Array("\(text)\r\n\(body)".utf8))
        let answer = try peer.readAnswer()
        peer.wire.end()
        return answer
    }

    func get(_ path: String) throws -> (status: Int, headers: Headers, body: String) {
        try request("GET \(path) HTTP/1.1\nHost: 127.0.0.1:\(port)")
    }

    /// The status that answers a handshake with these changes; nil removes a field.
    func refusal(_ changes: [String: String?] = [:], at path: String = "/") throws -> Int {
        var fields: Headers = [
            "Host": "127.0.0.1:\(port)", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
        ]
        for (name, value) in changes { fields[name] = value }
        return try request("GET \(path) HTTP/1.1\n" + fields.map { "\($0): \($1)\n" }.joined()).status
    }

    /// Hangs up all clients and shuts the server down, which must not take the time of any timeout.
    func stop(file: StaticString = #filePath, line: UInt = #line) {
        for wire in wires { wire.end() }
        wires = []
        let server = server
        XCTAssertNoThrow(try blocking("the shutdown") { try await server.shutdown() }, file: file, line: line)
    }
}

/// A blocking WebSocket client for tests of the engine: it says what it is told to, valid or not.
final class Peer {
    enum Event: Equatable {
        case message(Message)
        case ping([UInt8])
        case pong([UInt8])
        case close(CloseCode, String)
        /// The end of TCP.
        case end
    }

    let wire: Wire
    var response = Headers()
    private var wireProtocol: WebSocketProtocol
    private var unread: [UInt8] = []
    private var events: [Event] = []

    init(_ wire: Wire) {
        self.wire = wire
        var limits = Limits()
        limits.messageBytes = 64 << 20
        wireProtocol = WebSocketProtocol(role: .client, limits: limits)
    }

    // MARK: Sending

    func send(_ texts: String...) {
        for text in texts { wireProtocol.send(.text(text)) }
        flush()
    }

    func send(_ bytes: [UInt8]) {
        wireProtocol.send(.binary(bytes))
        flush()
    }

    func ping(_ payload: [UInt8] = []) {
        wireProtocol.ping(payload)
        flush()
    }

    func close(_ code: CloseCode = 1000, _ reason: String = "") {
        wireProtocol.close(code, reason)
        flush()
    }

    func send(raw bytes: [UInt8]) { wire.send(bytes) }

    private func flush() { wire.send(wireProtocol.output.drain()) }

    // MARK: Receiving

    /// The next event. Answers Pings and Closes as it must, once it sees them.
    func next(_ what: String = "an event") throws -> Event {
        let deadline = Date().addingTimeInterval(patience)
        while events.isEmpty {
            if unread.isEmpty {
                switch wire.receive(milliseconds: 100) {
                case .bytes(let bytes): unread = bytes
                case .end: return .end
                case .nothing: if Date() > deadline { throw TimedOut(what: what) }
                }
            }
            parse()
        }
        return events.removeFirst()
    }

    private func parse() {
        unread.withUnsafeMutableBytes { bytes in
            var input = bytes
            while let event = wireProtocol.next(&input) {
                switch event {
                case .message(let message): events.append(.message(message))
                case .ping(let payload): events.append(.ping(payload))
                case .pong(let payload): events.append(.pong(payload))
                case .close(let code, let reason): events.append(.close(code, reason))
                case .violation(let code, let reason):
                    XCTFail("the server broke the protocol: \(code) \(reason)")
                }
            }
        }
        unread = []
        flush()
    }

    /// The next message, whatever control frames come before it.
    func message() throws -> Message {
        while true {
            switch try next("a message") {
            case .message(let message): return message
            case .ping, .pong: continue
            case let other: throw Unexpected(event: other)
            }
        }
    }

    func text() throws -> String {
        let message = try message()
        guard case .text(let text) = message else { throw Unexpected(event: .message(message)) }
        return text
    }

    struct Unexpected: Error { var event: Event }

    func expect(_ texts: String..., file: StaticString = #filePath, line: UInt = #line) {
        for text in texts { expect(.message(.text(text)), file: file, line: line) }
    }

    func expect(_ event: Event, file: StaticString = #filePath, line: UInt = #line) {
        XCTAssertEqual(try next("\(event)"), event, file: file, line: line)
    }

    /// The server's Close frame comes, is answered, and TCP ends.
    func expectClose(
        _ code: CloseCode, _ reason: String = "", file: StaticString = #filePath, line: UInt = #line
    ) {
        expect(.close(code, reason), file: file, line: line)
        wireProtocol.finish()
        flush()
        wire.endSending()
        expect(.end, file: file, line: line)
    }

    /// The server's Close frame for a broken rule, whatever its reason, and then the end of TCP.
    func expectViolation(_ code: CloseCode, file: StaticString = #filePath, line: UInt = #line) {
        XCTAssertNoThrow(
            try {
                guard case .close(let got, _) = try next("a Close frame") else {
                    return XCTFail("no Close frame", file: file, line: line)
                }
                XCTAssertEqual(got, code, file: file, line: line)
                wire.endSending()
                XCTAssertEqual(try next("the end of TCP"), .end, file: file, line: line)
            }(), file: file, line: line)
    }

    // MARK: HTTP

    /// Everything up to the end of TCP.
    func untilEnd() throws -> String {
        var received: [UInt8] = []
        while true {
            switch wire.receive(milliseconds: Int(patience * 1000)) {
            case .bytes(let bytes): received += bytes
            case .end: return String(decoding: received, as: UTF8.self)
            case .nothing: throw TimedOut(what: "the end of TCP")
            }
        }
    }

    /// Reads a response: its head, and its body up to Content-Length unless it opens a WebSocket.
    func readAnswer() throws -> (status: Int, headers: Headers, body: String) {
        var received: [UInt8] = []
        let deadline = Date().addingTimeInterval(patience)
        while true {
            var parser = HTTPHeadParser(limits: Limits())
            if let (head, length) = try received.withUnsafeBytes({ try parser.parseResponse($0) }) {
                if head.status == 101 {
                    unread = Array(received[length...])
                    if !unread.isEmpty { parse() }
                    return (101, head.headers, "")
                }
                if received.count - length >= head.contentLength ?? 0 {
                    return (head.status, head.headers, String(decoding: received[length...], as: UTF8.self))
                }
            }
            switch wire.receive(milliseconds: 100) {
            case .bytes(let bytes): received += bytes
            case .end: throw TimedOut(what: "the end of TCP came instead of a response")
            case .nothing: if Date() > deadline { throw TimedOut(what: "a response") }
            }
        }
    }
}

extension XCTestCase {
    /// Runs a test against a server and sees that it shuts down at once afterwards.
    func serve(
        loops: Int = 1, manualTime: Bool = false, limits: (inout Limits) -> Void = { _ in },
        _ describe: (Application) -> Void, test: (TestServer) throws -> Void
    ) throws {
        let server = try TestServer(loops: loops, manualTime: manualTime, limits: limits, describe)
        defer { server.stop() }
        try test(server)
    }

    /// An application that sends every message back.
    func echo(_ app: Application) {
        app.webSocket("/") { socket in
            try await socket.accept()
            for try await message in socket { try await socket.send(message) }
        }
    }
}

extension SendQueue {
    /// Everything in the queue, which is empty then.
    mutating func drain() -> [UInt8] {
        let bytes = withPieces { first, later in later.reduce(into: Array(first)) { $0 += $1 } }
        removeAll()
        return bytes
    }
}

extension WebSocketProtocol {
    /// Feeds bytes and returns the events they make.
    mutating func receive(_ bytes: [UInt8]) -> [Event] {
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { buffer in
            var input = buffer
            var events: [Event] = []
            while let event = next(&input) { events.append(event) }
            return events
        }
    }
}

/// The file descriptors that this process has open.
func openDescriptors() -> Int { (0..<32_768).count { fcntl($0, F_GETFD) != -1 } }

/// Runs `body` while this process may have so many descriptors open, or as many as the system lets it: those it gets.
func withDescriptorLimit<Value>(_ wanted: Int, _ body: (Int) throws -> Value) rethrows -> Value {
    #if os(Linux)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
        let resource = RLIMIT_NOFILE
    #endif
    var original = rlimit()
    getrlimit(resource, &original)
    defer { setrlimit(resource, &original) }
    var limit = original
    limit.rlim_cur = min(original.rlim_max, rlim_t(wanted))
    setrlimit(resource, &limit)
    getrlimit(resource, &limit)
    return try body(Int(clamping: limit.rlim_cur))
}

/// Asks until it is true: for what another thread does at its own pace and tells nobody.
func eventually(_ what: String, file: StaticString = #filePath, line: UInt = #line, _ condition: () -> Bool) {
    let deadline = Date().addingTimeInterval(patience)
    while !condition() {
        if Date() > deadline { return XCTFail("never: \(what)", file: file, line: line) }
        usleep(500)
    }
}

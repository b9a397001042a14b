import Foundation
import WebSocketEngine

/// A named WebSocket client in a check. Its calls block, are written down in the transcript, and throw a ``Failure``
/// that explains itself when the server does something else. A ``ScriptedServer`` has the other end of such a
/// connection, with the same calls.
public final class Client {
    public let name: String
    public let path: String
    /// True if a Ping of the server's is a mistake unless it is expected. Otherwise Pings are passed over.
    public var noticesPings = false
    /// The header fields of the server's response to the handshake, in lower case.
    public internal(set) var responseHeaders: [String: String] = [:]

    enum Event {
        case message(Message)
        case pong([UInt8])
        case ping([UInt8])
        /// 1005 for a Close frame without a code, 1006 for the end of TCP without a Close frame.
        case closed(UInt16, String)
    }

    private let room: Classroom
    private let wire: Wire
    private var wireProtocol: WebSocketProtocol
    private var events: [Event] = []
    private var isClosed = false
    /// What stands between the handshake's response and the first read.
    private var surplus: [UInt8] = []
    /// A client that pauses does not read from its socket.
    private static var limits: Limits {
        var limits = Limits()
        limits.messageBytes = 64 << 20
        return limits
    }

    init(
        _ name: String, _ path: String, _ wire: Wire, _ surplus: [UInt8],
        role: WebSocketProtocol.Role = .client,
        in room: Classroom
    ) {
        wireProtocol = WebSocketProtocol(role: role, limits: Client.limits)
        self.name = name
        self.path = path
        self.wire = wire
        self.surplus = surplus
        self.room = room
    }

    // MARK: - Sending

    public func send(_ text: String) throws {
        note("sends \(Show.text(text))")
        wireProtocol.send(.text(text))
        flush()
    }

    public func send(_ bytes: [UInt8]) throws {
        note("sends \(Show.bytes(bytes))")
        wireProtocol.send(.binary(bytes))
        flush()
    }

    /// Sends texts one after the other, in one step of the transcript.
    public func send(_ texts: [String]) throws {
        guard let first = texts.first, let last = texts.last else { return }
        note("sends \(texts.count) texts, \(Show.quoted(first)) to \(Show.quoted(last))")
        for text in texts { wireProtocol.send(.text(text)) }
        flush()
    }

    /// Sends the same text many times: a flood, for one who does not read what it is answered.
    public func send(_ text: String, times count: Int) throws {
        note("sends \(count) times the text \(Show.quoted(String(text.prefix(16))))…")
        wireProtocol.send(.text(text))
        let frame = wireProtocol.output.withPieces { first, later in later.reduce(Array(first)) { $0 + $1 } }
        wireProtocol.output.removeAll()
        for _ in 0..<count { wire.send(frame) }
    }

    /// Sends JSON as text.
    public func send(json: JSONValue) throws {
        note("sends \(json.text)")
        wireProtocol.send(.text(json.text))
        flush()
    }

    public func ping(_ payload: [UInt8] = []) throws {
        note("sends a Ping")
        wireProtocol.ping(payload)
        flush()
    }

    /// Sends bytes as they are, valid or not.
    public func send(raw bytes: [UInt8]) throws {
        note("sends the raw bytes \(Show.bytes(bytes))")
        wire.send(bytes)
    }

    private func flush() {
        wireProtocol.output.withPieces { first, later in
            wire.send(Array(first))
            for piece in later { wire.send(piece) }
        }
        wireProtocol.output.removeAll()
    }

    // MARK: - Leaving

    /// Closes as a browser's tab does, and waits for the server's answer.
    public func close(code: CloseCode = 1000, reason: String = "") throws {
        note("closes with \(code)" + (reason.isEmpty ? "" : " \(Show.quoted(reason))"))
        wireProtocol.close(code, reason)
        flush()
        while true {
            guard let event = nextEvent(within: room.patience) else {
                throw unanswered
            }
            if case .closed = event { return }
        }
    }

    /// Closes with a Close frame that carries no code, as `ws.close()` in a browser.
    public func closeWithoutCode() throws {
        note("closes without a code")
        wireProtocol.close(.noStatusReceived, "")
        flush()
        while let event = nextEvent(within: room.patience) {
            if case .closed = event { return }
        }
        throw unanswered
    }

    private var unanswered: Failure {
        room.explain(silence: "\(name) waited for the answer to the close frame")
    }

    /// Disappears: the TCP connection ends without a Close frame.
    public func drop(reset: Bool = false) {
        note(reset ? "is cut off (TCP reset, no close frame)" : "is cut off (end of TCP, no close frame)")
        wire.end(reset: reset)
        isClosed = true
    }

    /// The port of this end of the connection.
    var port: Int { wire.localPort }

    /// Returns when the server's event loops have done what they were given before.
    func waitForLoops() throws { try room.simultaneously {} }

    /// Ends the connection after the check, unless it has ended.
    func hangUp() { wire.end() }

    // MARK: - Expecting

    /// The next message is this text.
    public func expect(_ text: String, _ hint: String = "") throws {
        let got = try nextMessage(wanted: Show.text(text), hint)
        if got != .text(text) { throw wrong(expected: Show.text(text), got: show(got), hint) }
    }

    /// The next message is these bytes.
    public func expect(_ bytes: [UInt8], _ hint: String = "") throws {
        let got = try nextMessage(wanted: Show.bytes(bytes), hint)
        if got != .binary(bytes) { throw wrong(expected: Show.bytes(bytes), got: show(got), hint) }
    }

    /// The next message is JSON with at least these members; more are allowed.
    @discardableResult
    public func expect(json: JSONValue, _ hint: String = "") throws -> JSONValue {
        let got = try receiveJSON(wanted: json.text, hint)
        if !got.contains(json) { throw wrong(expected: json.text, got: got.text, hint) }
        return got
    }

    /// The next messages are these, in any order.
    public func expectInAnyOrder(_ texts: [String], _ hint: String = "") throws {
        var missing = texts
        while !missing.isEmpty {
            let more = missing.count > 8 ? " and \(missing.count - 8) more" : ""
            let wanted = "one of \(missing.prefix(8).map(Show.quoted).joined(separator: ", "))\(more)"
            let got = try nextMessage(wanted: wanted, hint)
            guard case .text(let text) = got, let index = missing.firstIndex(of: text) else {
                throw wrong(expected: wanted, got: show(got), hint)
            }
            missing.remove(at: index)
        }
    }

    /// The next message, which is text.
    public func receiveText() throws -> String {
        let got = try nextMessage(wanted: "a text message")
        guard case .text(let text) = got else { throw wrong(expected: "a text message", got: show(got), "") }
        return text
    }

    /// The next message, which is binary.
    public func receiveBytes() throws -> [UInt8] {
        let got = try nextMessage(wanted: "a binary message")
        guard case .binary(let bytes) = got else {
            throw wrong(expected: "a binary message", got: show(got), "")
        }
        return bytes
    }

    /// The next message, which is text that holds JSON.
    public func receiveJSON(
        wanted: String = "a text message with JSON", _ hint: String = ""
    ) throws -> JSONValue {
        let got = try nextMessage(wanted: wanted, hint)
        guard case .text(let text) = got, let json = JSONValue(text: text) else {
            throw wrong(expected: wanted, got: show(got), hint)
        }
        return json
    }

    /// The server closes next, with this code and, if given, this reason.
    public func expectClose(_ code: CloseCode, reason: String? = nil, _ hint: String = "") throws {
        let wanted = Show.close(code.rawValue, reason ?? "")
        while true {
            guard let event = nextEvent(within: room.patience) else {
                throw room.explain(silence: "\(name) waited for \(wanted)", hint)
            }
            switch event {
            case .message(let message): throw wrong(expected: wanted, got: show(message), hint)
            case .closed(let gotCode, let gotReason):
                if gotCode == code.rawValue, reason == nil || reason == gotReason { return }
                throw wrong(expected: wanted, got: Show.close(gotCode, gotReason), hint)
            case .ping where noticesPings: throw wrong(expected: wanted, got: show(event), hint)
            case .ping, .pong: continue
            }
        }
    }

    /// What a client may meet next where a check allows both.
    public enum Next: Sendable, Equatable {
        case message(Message)
        /// 1005 for a Close frame without a code, 1006 for the end of TCP without a Close frame.
        case close(CloseCode, reason: String)
    }

    /// The next message, or the close if that comes first.
    public func receiveNext() throws -> Next {
        while true {
            guard let event = nextEvent(within: room.patience) else {
                throw room.explain(silence: "\(name) waited for a message or a close")
            }
            switch event {
            case .message(let message): return .message(message)
            case .closed(let code, let reason): return .close(CloseCode(rawValue: code), reason: reason)
            case .ping, .pong: continue
            }
        }
    }

    /// The next control frame is a Pong with this payload; messages before it are a mistake.
    public func expectPong(_ payload: [UInt8] = []) throws {
        guard let event = nextEvent(within: room.patience) else {
            throw room.explain(silence: "\(name) waited for a Pong")
        }
        if case .pong(payload) = event { return }
        throw wrong(expected: "a Pong", got: show(event), "")
    }

    /// The server sends a Ping next.
    public func expectPing(_ hint: String = "") throws {
        guard let event = nextEvent(within: room.patience) else {
            throw room.explain(silence: "\(name) waited for a Ping", hint)
        }
        if case .ping = event { return }
        throw wrong(expected: "a Ping", got: show(event), hint)
    }

    // MARK: - Reading

    private func nextMessage(wanted: String, _ hint: String = "") throws -> Message {
        while true {
            guard let event = nextEvent(within: room.patience) else {
                throw room.explain(silence: "\(name) waited for \(wanted)", hint)
            }
            switch event {
            case .message(let message): return message
            case .closed(let code, let reason):
                throw wrong(expected: wanted, got: Show.close(code, reason), hint)
            case .ping where noticesPings: throw wrong(expected: wanted, got: show(event), hint)
            case .ping, .pong: continue
            }
        }
    }

    /// The next event; nil if none comes in time, or if waiting would be for nothing.
    private func nextEvent(within seconds: Double) -> Event? {
        let deadline = Date().addingTimeInterval(seconds)
        while true {
            if !events.isEmpty {
                let event = events.removeFirst()
                note("receives \(show(event))")
                return event
            }
            if isClosed { return .closed(1006, "") }
            if !surplus.isEmpty {
                let bytes = surplus
                surplus = []
                take(bytes)
                continue
            }
            switch wire.receive(milliseconds: 20) {
            case .bytes(let bytes): take(bytes)
            case .end:
                isClosed = true
                events.append(.closed(1006, ""))
            case .nothing:
                if room.isHopeless || Date() >= deadline { return nil }
            }
        }
    }

    private func take(_ bytes: [UInt8]) {
        var bytes = bytes
        bytes.withUnsafeMutableBytes { buffer in
            var input = buffer
            while let event = wireProtocol.next(&input) {
                switch event {
                case .message(let message): events.append(.message(message))
                case .ping(let payload): events.append(.ping(payload))
                case .pong(let payload): events.append(.pong(payload))
                case .close(let code, let reason), .violation(let code, let reason):
                    wireProtocol.finish()
                    isClosed = true
                    events.append(.closed(code.rawValue, reason))
                }
            }
        }
        flush()
    }

    // MARK: - Telling

    func note(_ what: String) { room.transcript.add(name, what) }

    private func show(_ message: Message) -> String {
        switch message {
        case .text(let text): Show.text(text)
        case .binary(let bytes): Show.bytes(bytes)
        }
    }

    private func show(_ event: Event) -> String {
        switch event {
        case .message(let message): show(message)
        case .ping: "a Ping"
        case .pong: "a Pong"
        case .closed(let code, let reason): Show.close(code, reason)
        }
    }

    /// A finding of the check's own about this client.
    public func wrong(expected: String, got: String, _ hint: String = "") -> Failure {
        room.explain(wrong: ["expected \(Show.cut(expected))", "     got \(Show.cut(got))"], hint)
    }
}

import Foundation
import LevelKit
import WebSocketEngine

/// Level 16 – The client. Read chapter 16 of Course.md first.
///
/// A chat, and the program with which people take part in it:
///
/// - `swift run Level16` serves the chat at `/ws/chat`. A client's first text is its name; each further one is told to
///   all others as `[Alice]: Hello`. When she leaves, those who stay are told `[Server]: Alice has left the chat.`
/// - `swift run Level16 ws://localhost:8000/ws/chat --name Alice` is the client. It types and listens at once. When the
///   connection breaks it connects again, waits longer after each failure, and loses nothing: what was typed meanwhile
///   is sent, and what was said meanwhile is shown, each once and in order.
/// - For that, both speak the subprotocol `chat.resume.v1` (Resume.swift). A server that does not choose it is a plain
///   chat, and so is a client that does not offer it.
@main
public struct TheClient: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        // A thousand messages of this size may have to be sent to one who comes back.
        app.limits.messageBytes = 16 * 1024
        app.limits.broadcastHighWater = 32 << 20
        let chat = Chat(clock: app.clock)
        app.webSocket("/ws/chat") { socket in
            if socket.offeredSubprotocols.contains(Frame.subprotocol) {
                try await talkAndResume(socket, in: chat)
            } else {
                try await talk(socket, in: chat)
            }
        }
        return app
    }

    /// The conversation with a plain client.
    ///
    /// 1. Accept. The first text is the name, with which the client joins; each further text is said. Who has joined
    ///    leaves, whichever way the conversation ends. Who has not cannot leave.
    private static func talk(_ socket: WebSocket, in chat: Chat) async throws {
        // solution
        try await socket.accept()
        guard let name = try await firstText(of: socket) else { return }
        try await chat.join(socket, as: name)
        do {
            for try await case .text(let text) in socket { try await chat.say(text, from: name) }
        } catch {
            try await chat.leave(name)
            throw error
        }
        try await chat.leave(name)
        // stub: throw NotImplemented("accept, take the name, say each text, and leave")
        // end
    }

    /// The conversation with one that may come back.
    private static func talkAndResume(_ socket: WebSocket, in chat: Chat) async throws {
        try await socket.accept(subprotocol: Frame.subprotocol)
        guard let first = try await firstText(of: socket) else { return }
        guard case .hello(let name, let session, let seen) = try frame(first) else { throw malformed }
        let old = try await chat.resume(socket, as: name, session: session, seen: seen)
        do {
            try await old?.close(code: 4010, reason: "Resumed elsewhere")
            for try await case .text(let text) in socket {
                guard case .message(let n, let message) = try frame(text) else { throw malformed }
                try await chat.hear(n, message, from: name, session: session)
            }
        } catch {
            try await chat.lose(socket, of: name)
            throw error
        }
        try await chat.lose(socket, of: name)
    }

    /// Nil if the connection ends before there is one.
    private static func firstText(of socket: WebSocket) async throws -> String? {
        for try await case .text(let text) in socket { return text }
        return nil
    }

    private static func frame(_ text: String) throws -> Frame {
        do { return try Frame(text) } catch is DecodingError { throw malformed }
    }

    private static let malformed = WebSocketException(
        code: .invalidPayload, reason: "Not \(Frame.subprotocol)")

    public static var title: String { "The client" }

    public static var samples: [Sample] {
        [.text("Alice", to: "/ws/chat"), .text("Hello, everyone!", to: "/ws/chat")]
    }
}

/// Takes part in a chat, and stays in it however often the connection breaks.
public actor ChatClient {
    /// What the person is shown.
    public enum Output: Sendable, Equatable {
        /// What the server sent.
        case chat(String)
        /// What this program has to say, such as that the connection is lost.
        case notice(String)
    }

    private let url: String
    private let name: String?
    private let clock: ServerClock
    /// Chosen anew by every client, and kept when it connects again.
    private let session: String
    private var backoff: Backoff
    private var outbox = Outbox()
    /// The number of the last event that was shown.
    private var seen = 0
    /// The connection on which messages may be sent now.
    private var live: WebSocket?
    private var typingHasEnded = false
    private var show: @Sendable (Output) -> Void = { _ in }
    /// An element whenever there may be something to send, or nothing any more.
    private let (changes, change) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    /// - Parameters:
    ///   - url: Where the chat is, such as `ws://localhost:8000/ws/chat`.
    ///   - name: What the client says first on every connection. Without one it says nothing by itself.
    ///   - clock: By which it waits.
    ///   - seed: Decides how long it waits, and what its session is called.
    public init(
        to url: String, name: String? = nil, clock: ServerClock = ServerClock(),
        seed: UInt64 = .random(in: .min ... .max)
    ) {
        var random = SeededGenerator(seed: seed)
        self.url = url
        self.name = name
        self.clock = clock
        session = String(random.next(), radix: 16) + String(random.next(), radix: 16)
        backoff = Backoff(random: random)
    }

    /// Takes part until nothing more is typed and everything is with the server, or until the task is cancelled. Then
    /// it closes with 1000 and returns. Called once.
    ///
    /// 9. Three things happen at once: `take(lines)`, `stayConnected()` and `sendOutbox()`. The first must not end the
    ///    others; when one of the other two ends, or throws, all end. That the task was cancelled is no error: then
    ///    return.
    /// - Parameters:
    ///   - lines: What is typed.
    ///   - show: Shows something to the person. Called in order.
    /// - Throws: Why another attempt is of no use, such as a ``WebSocketDisconnect`` with code 4009.
    public func run(
        typing lines: AsyncStream<String>, show: @escaping @Sendable (Output) -> Void
    ) async throws {
        self.show = show
        // solution
        async let _ = take(lines)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.stayConnected() }
                group.addTask { try await self.sendOutbox() }
                try await group.next()
                group.cancelAll()
            }
        } catch is CancellationError {
            // The user has left.
        }
        // stub: throw NotImplemented("type, listen and send at once, until one of them ends")
        // end
    }

    /// Puts what is typed into the outbox.
    private func take(_ lines: AsyncStream<String>) async {
        for await line in lines {
            outbox.append(line)
            if live == nil { show(.notice("Not connected. This is kept and sent later: \(line)")) }
            change.yield()
        }
        typingHasEnded = true
        change.yield()
    }

    // MARK: - Sending

    /// Sends what waits, one after the other, whenever there is a connection. Returns when typing has ended and the
    /// outbox is empty.
    ///
    /// 8. For each of the `changes`: as long as there is a `live` socket and a message to send, send it. With the
    ///    subprotocol (`socket.subprotocol`) as `Frame.message`, and then it waits for its ack; otherwise as plain text,
    ///    and then it is done with. A `WebSocketDisconnect` is no reason to end: the next connection sends again.
    private func sendOutbox() async throws {
        // solution
        for await _ in changes {
            do {
                while let socket = live, let message = outbox.takeNext() {
                    if socket.subprotocol == Frame.subprotocol {
                        try await socket.sendJSON(Frame.message(message.number, message.text))
                    } else {
                        try await socket.send(message.text)
                        outbox.acknowledge(upTo: message.number)
                    }
                }
            } catch is WebSocketDisconnect {
                // Whoever receives sees it too, and connects again.
            }
            if typingHasEnded, outbox.isEmpty { return }
        }
        // stub: throw NotImplemented("send what waits whenever there is a connection")
        // end
    }

    // MARK: - The connection

    /// Connects again and again, until that is of no use any more or the task is cancelled.
    ///
    /// 7. Catch the errors after which another attempt `mayHelp`: show a notice with the error, and sleep on the
    ///    `clock` for the next delay of the `backoff`. All others are thrown.
    private func stayConnected() async throws {
        // solution
        while true {
            do {
                try await talkOnce()
            } catch let error where mayHelp(error) {
                let delay = backoff.next()
                let seconds = String(format: "%.1f", delay / .seconds(1))
                show(.notice("\(error). Trying again in \(seconds) s."))
                try await clock.sleep(for: delay)
            }
        }
        // stub: throw NotImplemented("connect again after each end, with a pause")
        // end
    }

    /// True if connecting once more may end better than with this error.
    ///
    /// 6. It may after `cannotConnect`, after the HTTP statuses 429 and from 500 on, and after these close codes:
    ///    1001, 1005, 1006 and 1011 to 1014. It does not after any other, nor after other errors.
    private func mayHelp(_ error: any Error) -> Bool {
        // solution
        switch error {
        case WebSocketError.cannotConnect: true
        case WebSocketError.refused(let status, _): status == 429 || status >= 500
        case let end as WebSocketDisconnect: [1001, 1005, 1006, 1011, 1012, 1013, 1014].contains(end.code)
        default: false
        }
        // stub: return false
        // end
    }

    /// One connection, from its handshake to its end, which is thrown. If the task is cancelled, it is closed with 1000.
    private func talkOnce() async throws {
        let offer = name == nil ? [] : [Frame.subprotocol]
        let socket = try await WebSocketClient.connect(to: url, subprotocols: offer)
        defer { live = nil }
        do {
            do {
                try await greet(socket)
            } catch is WebSocketDisconnect {
                // What the server said before the end is still to be read.
            }
            for try await case .text(let text) in socket {
                try hear(text, from: socket)
            }
        } catch is CancellationError {
            try await socket.close()
            await socket.waitUntilClosed()
            throw CancellationError()
        }
        throw socket.disconnect ?? WebSocketDisconnect(code: .abnormalClosure)
    }

    /// The first words on a new connection.
    ///
    /// 4. With the subprotocol, say hello; the connection is `live` only with the welcome. Without it, send the name, if
    ///    there is one, and the connection is live: let the outbox be sent.
    private func greet(_ socket: WebSocket) async throws {
        // solution
        if socket.subprotocol == Frame.subprotocol {
            try await socket.sendJSON(Frame.hello(user: name ?? "", session: session, seen: seen))
        } else {
            if let name { try await socket.send(name) }
            goLive(socket)
        }
        // stub: throw NotImplemented("say hello, or the name")
        // end
    }

    /// A text from the server. Throws `DecodingError` for one that is not in the subprotocol.
    ///
    /// 5. Whoever is spoken to is welcome: reset the `backoff`. Without the subprotocol, show the text
    ///    (`readable(text)`). With it:
    ///    - welcome: all messages up to `received` are acknowledged. `from` is the number of the next event, and everything
    ///      before it counts as seen. If it is higher than `seen + 1`, say in a notice how many events are lost. Go live.
    ///    - event: show it, and remember that it was seen.
    ///    - ack: the outbox need not keep these. Let `sendOutbox` know, with `change.yield()`.
    ///    - hello and message never come from a server: pass over them.
    private func hear(_ text: String, from socket: WebSocket) throws {
        // solution
        backoff.reset()
        guard socket.subprotocol == Frame.subprotocol else {
            for line in readable(text) { show(.chat(line)) }
            return
        }
        switch try Frame(text) {
        case .welcome(let received, let from):
            if from > seen + 1 { show(.notice("\(from - seen - 1) messages were missed and are lost.")) }
            if from <= seen { show(.notice("The server knows us no more. What was said meanwhile is lost.")) }
            seen = from - 1
            outbox.acknowledge(upTo: received)
            goLive(socket)
        case .event(let n, let text):
            seen = n
            show(.chat(text))
        case .ack(let n):
            outbox.acknowledge(upTo: n)
            change.yield()
        case .hello, .message:
            break
        }
        // stub: throw NotImplemented("show what was said, and do what the subprotocol asks for")
        // end
    }

    /// From now on messages are sent on this connection, beginning with the oldest one that waits.
    private func goLive(_ socket: WebSocket) {
        show(.notice("Connected."))
        if socket.subprotocol == nil, !outbox.isEmpty { show(.notice("Sending what was kept.")) }
        outbox.sendAgain()
        live = socket
        change.yield()
    }
}

/// Messages that the server has not confirmed, oldest first.
struct Outbox {
    struct Message: Equatable {
        let number: Int
        let text: String
    }

    private var messages: [Message] = []
    private var lastNumber = 0
    /// The number of the last message that was taken on this connection.
    private var lastTaken = 0

    var isEmpty: Bool { messages.isEmpty }

    /// Numbers a message, the first with 1, and keeps it.
    mutating func append(_ text: String) {
        lastNumber += 1
        messages.append(Message(number: lastNumber, text: text))
    }

    /// The oldest message that was not taken yet; nil if there is none. It stays until it is acknowledged.
    ///
    /// 3. Their numbers have no gaps. Mark it as taken now, not after it was sent: while it is sent, others go on.
    mutating func takeNext() -> Message? {
        // solution
        guard let first = messages.first else { return nil }
        let index = max(0, lastTaken + 1 - first.number)
        guard index < messages.count else { return nil }
        lastTaken = messages[index].number
        return messages[index]
        // stub: return nil
        // end
    }

    /// Forgets the messages up to this number.
    mutating func acknowledge(upTo number: Int) { messages.removeAll { $0.number <= number } }

    /// On a new connection, all that is left counts as not taken.
    mutating func sendAgain() { lastTaken = 0 }
}

/// How long to wait before the next attempt: exponential backoff with full jitter.
struct Backoff {
    static let base = 1.0
    static let cap = 30.0

    private var failures = 0
    private var random: SeededGenerator

    init(random: SeededGenerator) { self.random = random }

    /// A random time: up to 1 s, up to 2 s after the second failure in a row, then 4, 8, 16, and 30 s from there on.
    ///
    /// 2. `Double.random(in: 0...longest, using: &random)`. Mind an attempt number 1,000.
    mutating func next() -> Duration {
        // solution
        let longest = min(Self.cap, Self.base * pow(2, Double(failures)))
        failures += 1
        return .seconds(Double.random(in: 0...longest, using: &random))
        // stub: return .seconds(Self.base)
        // end
    }

    /// The last attempt was a success.
    mutating func reset() { failures = 0 }
}

/// SplitMix64: from the same seed always the same numbers.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

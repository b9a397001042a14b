import Foundation
import LevelKit
import Synchronization
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

/// Takes part in a chat. Its state is behind a lock; a group of two tasks serves each connection.
public final class ChatClient: Sendable {
    public enum Output: Sendable, Equatable {
        case chat(String)
        case notice(String)
    }

    private struct State {
        /// What is not confirmed, by its number.
        var outbox: [Int: String] = [:]
        var lastNumber = 0
        /// The number of the next message to send on this connection.
        var nextNumber = 1
        var seen = 0
        var isLive = false
        var failures = 0
        var typingHasEnded = false
        var random: SeededGenerator
        var wake: AsyncStream<Void>.Continuation?
        var leave: (@Sendable () -> Void)?

        mutating func next() -> (number: Int, text: String)? {
            guard isLive, let number = outbox.keys.filter({ $0 >= nextNumber }).min(),
                let text = outbox[number]
            else { return nil }
            nextNumber = number + 1
            return (number, text)
        }

        mutating func confirm(_ number: Int) {
            for key in outbox.keys where key <= number { outbox[key] = nil }
            if typingHasEnded, outbox.isEmpty { leave?() }
        }

        mutating func begin() {
            nextNumber = 1
            isLive = true
            wake?.yield()
        }

        mutating func pause() -> Duration {
            let limit = [1, 2, 4, 8, 16, 30][min(failures, 5)]
            failures += 1
            return .milliseconds(Int.random(in: 0...limit * 1000, using: &random))
        }
    }

    private let url: String
    private let name: String?
    private let clock: ServerClock
    private let session: String
    private let state: Mutex<State>

    public init(
        to url: String, name: String? = nil, clock: ServerClock = ServerClock(),
        seed: UInt64 = .random(in: .min ... .max)
    ) {
        self.url = url
        self.name = name
        self.clock = clock
        var random = SeededGenerator(seed: seed)
        session = "\(random.next())"
        state = Mutex(State(random: random))
    }

    public func run(
        typing lines: AsyncStream<String>, show: @escaping @Sendable (Output) -> Void
    ) async throws {
        let connection = Task { try await stay(show) }
        state.withLock { $0.leave = { connection.cancel() } }
        let typing = Task {
            for await line in lines {
                let isLive = state.withLock { state in
                    state.lastNumber += 1
                    state.outbox[state.lastNumber] = line
                    state.wake?.yield()
                    return state.isLive
                }
                if !isLive { show(.notice("Kept for later: \(line)")) }
            }
            state.withLock { state in
                state.typingHasEnded = true
                state.confirm(0)
            }
        }
        defer { typing.cancel() }
        try await withTaskCancellationHandler {
            do { try await connection.value } catch is CancellationError {}
        } onCancel: {
            connection.cancel()
        }
    }

    private func stay(_ show: @escaping @Sendable (Output) -> Void) async throws {
        while true {
            let failure: any Error
            do {
                let socket = try await WebSocketClient.connect(
                    to: url, subprotocols: name.map { _ in [Frame.subprotocol] } ?? [])
                failure = try await converse(socket, show)
            } catch let error as WebSocketError {
                failure = error
            }
            switch failure {
            case WebSocketError.cannotConnect, WebSocketError.refused(429, _),
                WebSocketError.refused(500..., _):
                break
            case let end as WebSocketDisconnect where [1001, 1005, 1006].contains(end.code): break
            case let end as WebSocketDisconnect where (1011...1014).contains(end.code.rawValue): break
            default: throw failure
            }
            let pause = state.withLock { $0.pause() }
            show(.notice("\(failure). Once more in \(pause)."))
            try await clock.sleep(for: pause)
        }
    }

    /// Returns how the connection ended.
    private func converse(
        _ socket: WebSocket, _ show: @escaping @Sendable (Output) -> Void
    ) async throws -> any Error {
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        state.withLock { $0.wake = wake }
        let isPlain = socket.subprotocol == nil
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    if !isPlain {
                        let seen = self.state.withLock { $0.seen }
                        try await socket.sendJSON(
                            Frame.hello(user: self.name ?? "", session: self.session, seen: seen))
                    } else if let name = self.name {
                        try await socket.send(name)
                    }
                    if isPlain { self.state.withLock { $0.begin() } }
                    for await _ in wakes {
                        while let (number, text) = self.state.withLock({ $0.next() }) {
                            if isPlain {
                                try await socket.send(text)
                                self.state.withLock { $0.confirm(number) }
                            } else {
                                try await socket.sendJSON(Frame.message(number, text))
                            }
                        }
                    }
                }
                group.addTask {
                    while true {
                        try self.take(try await socket.receiveText(ignoringBinary: true), isPlain, show)
                    }
                }
                // Whoever sends may fail first: what came before the end is still to be read.
                while true {
                    do { try await group.next() } catch is WebSocketDisconnect where !socket.isDrained {}
                    if socket.isDrained { break }
                }
                group.cancelAll()
            }
        } catch is CancellationError {
            state.withLock { $0.isLive = false }
            try await socket.close()
            await socket.waitUntilClosed()
            throw CancellationError()
        } catch is WebSocketDisconnect {}
        state.withLock { $0.isLive = false }
        return socket.disconnect ?? WebSocketDisconnect(code: .abnormalClosure)
    }

    private func take(_ text: String, _ isPlain: Bool, _ show: @Sendable (Output) -> Void) throws {
        if isPlain {
            state.withLock { $0.failures = 0 }
            return readable(text).forEach { show(.chat($0)) }
        }
        let frame = try Frame(text)
        switch frame {
        case .event(let n, let text):
            state.withLock { $0.seen = n }
            show(.chat(text))
        case .ack(let n): state.withLock { $0.confirm(n) }
        case .welcome(let received, let from):
            let lost = state.withLock { state in
                let lost = from - 1 - state.seen
                state.failures = 0
                state.seen = from - 1
                state.begin()
                state.confirm(received)
                return lost
            }
            if lost != 0 { show(.notice(lost > 0 ? "\(lost) lost" : "The server has begun anew")) }
        default: break
        }
    }
}

extension WebSocket {
    fileprivate func receiveText(ignoringBinary: Bool) async throws -> String {
        while true {
            do {
                if case .text(let text) = try await receive() { return text }
            } catch let end as WebSocketDisconnect {
                storage[Drained.self] = Drained()
                throw end
            }
        }
    }

    /// True when everything that came has been taken.
    fileprivate var isDrained: Bool { storage[Drained.self] != nil }
}

private struct Drained: Sendable {}

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

// Different: no app.use, but a function around each route's handler; one class with one lock for everything; whole tokens that
// come back at fixed times since the bucket was begun; slots are freed by a task that outlives the handler.
import LevelKit
import Synchronization
import WebSocketEngine

@main
public struct MiddlewareAndLimits: Level {
    public static func makeApplication() -> Application { makeApplication(policy: Policy()) }

    public static func makeApplication(policy: Policy) -> Application {
        let app = Application()
        let door = Door(policy, app.clock)
        app.origins = .any
        app.webSocket(
            "/ws/echo",
            door.guarding {
                .text("Echo: \($0)")
            } bytes: {
                .binary($0)
            })
        app.webSocket(
            "/ws/shout",
            door.guarding {
                .text($0.uppercased())
            } bytes: { bytes in
                throw WebSocketError.unexpectedMessage(.binary(bytes))
            })
        app.get("/stats") { _ in try .json(["connections": door.open]) }
        return app
    }
}

final class Door: Sendable {
    private struct State {
        var open = 0
        var tokens: [String: Int] = [:]
        var begun: [String: ServerClock.Instant] = [:]
        var returned: [String: Int] = [:]
    }
    private let state = Mutex(State())
    private let policy: Policy
    private let clock: ServerClock

    init(_ policy: Policy, _ clock: ServerClock) {
        self.policy = policy
        self.clock = clock
    }

    var open: Int { state.withLock { $0.open } }

    func guarding(
        text: @escaping @Sendable (String) throws -> Message,
        bytes: @escaping @Sendable ([UInt8]) throws -> Message
    ) -> Application.WebSocketHandler {
        { [self] socket in
            if let origin = socket.headers["Origin"] {
                let host = socket.headers["Host"] ?? ""
                let isOwn = origin == "http://\(host)" || origin == "https://\(host)"
                if !isOwn, !policy.origins.contains(origin) { return try await socket.reject() }
            }
            let key = socket.query["token"] ?? ""
            guard let name = policy.keys[key] else {
                try await socket.accept()
                return try await socket.close(
                    code: 4001, reason: key.isEmpty ? "Missing token" : "Invalid token")
            }
            let isIn = state.withLock { state in
                if state.open >= policy.capacity { return false }
                state.open += 1
                return true
            }
            guard isIn else { throw WebSocketException(code: .policyViolation, reason: "Server at capacity") }
            defer { Task.detached { self.state.withLock { $0.open -= 1 } } }
            try await socket.accept()
            try await socket.send("Welcome, \(name)")
            while true {
                let message = try await socket.receive()
                guard takeToken(name) else {
                    throw WebSocketException(code: .policyViolation, reason: "Rate limit exceeded")
                }
                switch message {
                case .text(let words): try await socket.send(try text(words))
                case .binary(let data): try await socket.send(try bytes(data))
                }
            }
        }
    }

    private func takeToken(_ user: String) -> Bool {
        state.withLock { state in
            let now = clock.now
            let begun = state.begun[user] ?? now
            state.begun[user] = begun
            let all = Int(begun.duration(to: now) / policy.refill)
            let back = all - (state.returned[user] ?? 0)
            state.returned[user] = all
            let tokens = min(policy.burst, (state.tokens[user] ?? policy.burst) + back)
            state.tokens[user] = max(0, tokens - 1)
            return tokens > 0
        }
    }
}

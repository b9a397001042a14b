// Different: the engine refuses foreign pages; actors instead of locks; the open sockets in a set instead of a number; the
// rate limit keeps no tokens but the time at which the next message would be on schedule (GCRA, as in ATM networks).
import LevelKit
import WebSocketEngine

@main
public struct MiddlewareAndLimits: Level {
    public static func makeApplication() -> Application { makeApplication(policy: Policy()) }

    public static func makeApplication(policy: Policy) -> Application {
        let app = Application()
        let guests = Guests(limit: policy.capacity)
        let schedule = Schedule(policy, app.clock)
        app.origins = .allow(policy.origins)
        app.use { socket, handler in
            switch socket.query["token"] {
            case nil, "": try await socket.close(code: 4001, reason: "Missing token")
            case let key?:
                guard let name = policy.keys[key] else {
                    return try await socket.close(code: 4001, reason: "Invalid token")
                }
                socket.storage[User.self] = User(name: name)
                try await handler(socket)
            }
        }
        app.use { socket, handler in
            guard await guests.admit(socket) else {
                return try await socket.close(code: 1008, reason: "Server at capacity")
            }
            let result: Result<Void, any Error>
            do { result = .success(try await handler(socket)) } catch { result = .failure(error) }
            await guests.forget(socket)
            try result.get()
        }
        app.webSocket("/ws/echo") { socket in
            try await converse(socket, schedule) {
                .some($0)
            } answer: { message in
                if case .text(let text) = message { return .text("Echo: \(text)") }
                return message
            }
        }
        app.webSocket("/ws/shout") { socket in
            try await converse(socket, schedule) { message in
                if case .text = message { return message }
                return nil
            } answer: { message in
                if case .text(let text) = message { return .text(text.uppercased()) }
                return message
            }
        }
        app.get("/stats") { _ in try .json(["connections": await guests.count, "capacity": policy.capacity]) }
        return app
    }

    private static func converse(
        _ socket: WebSocket, _ schedule: Schedule, allowed: (Message) -> Message?,
        answer: (Message) -> Message
    ) async throws {
        try await socket.accept()
        let name = try socket.user.name
        try await socket.send("Welcome, \(name)")
        for try await message in socket {
            guard await schedule.allows(name) else {
                return try await socket.close(code: 1008, reason: "Rate limit exceeded")
            }
            guard let good = allowed(message) else { throw WebSocketError.unexpectedMessage(message) }
            try await socket.send(answer(good))
        }
    }
}

actor Guests {
    private let limit: Int
    private var sockets: Set<WebSocket> = []

    init(limit: Int) { self.limit = limit }

    var count: Int { sockets.count }

    func admit(_ socket: WebSocket) -> Bool {
        if sockets.count == limit { return false }
        sockets.insert(socket)
        return true
    }

    func forget(_ socket: WebSocket) { sockets.remove(socket) }
}

actor Schedule {
    private let policy: Policy
    private let clock: ServerClock
    private var next: [String: ServerClock.Instant] = [:]

    init(_ policy: Policy, _ clock: ServerClock) {
        self.policy = policy
        self.clock = clock
    }

    func allows(_ user: String) -> Bool {
        let now = clock.now
        let due = max(next[user] ?? now, now)
        guard now.duration(to: due) <= policy.refill * (policy.burst - 1) else { return false }
        next[user] = due.advanced(by: policy.refill)
        return true
    }
}

import LevelKit
import Synchronization
import WebSocketEngine

/// Level 13 – Middleware and limits. Read chapter 13 of Course.md first.
///
/// Around every WebSocket route stand four middleware. Each may refuse a client, and the first that does decides:
///
/// 1. **Origin.** A page that is neither this server's own nor of `policy.origins` is refused with HTTP status
///    403. A client without an Origin is no page and is let through.
/// 2. **Key.** `?token=KEY` names a user by `policy.keys`. No key, or an empty one: close 4001 `Missing token`.
///    One that is not in the list: close 4001 `Invalid token`.
/// 3. **Capacity.** At most `policy.capacity` connections are open, on all routes together. One more: close 1008
///    `Server at capacity`. Whoever got in holds a slot until the connection ends, however it ends. Whoever was
///    refused holds none.
/// 4. **Rate.** Every user has a bucket of `policy.burst` tokens, full at first. A message costs one. One comes
///    back every `policy.refill`, by the application's clock, until the bucket is full. All connections of a
///    user share it. A message for which there is no token is not handled: close 1008 `Rate limit exceeded`. It
///    costs nothing, nor does connecting, and the user's other connections stay.
///
/// Whoever is let in is greeted by the route. A client that is closed by 2 or 3 has received nothing before.
/// Plain HTTP requests are not touched.
@main
public struct MiddlewareAndLimits: Level {
    public static func makeApplication() -> Application { makeApplication(policy: Policy()) }

    /// The server with these limits.
    public static func makeApplication(policy: Policy) -> Application {
        let app = Application()
        let slots = Slots(policy.capacity)
        let limiter = RateLimiter(policy, app.clock)
        // The engine has an opinion on origins too, and would be asked first.
        app.origins = .any

        // 8. Use the first three, in the order of the contract. The first one used is the outermost.
        app.use { _, _ in throw NotImplemented("put three middleware around all routes, in order") }
        app.use(limitMessages(limiter))

        app.webSocket("/ws/echo", echo)
        app.webSocket("/ws/shout", shout)
        app.get("/stats") { _ in try .json(["connections": slots.taken]) }
        return app
    }

    // MARK: - Middleware

    /// 1. Reject a foreign page with status 403, and return. For all others call the handler. A page of this server
    ///    sends one of `socket.request.ownOrigins`.
    static func checkOrigin(_ policy: Policy) -> Application.Middleware {
        { socket, handler in
            throw NotImplemented("refuse foreign pages, and call the handler for all others")
        }
    }

    /// 2. Find out whose key this is, remember it in `socket.storage[User.self]`, and call the handler. Or throw
    ///    `WebSocketException.missingToken` or `.invalidToken`.
    static func authenticate(_ policy: Policy) -> Application.Middleware {
        { socket, handler in
            throw NotImplemented("find out whose key it is, and remember the user")
        }
    }

    /// 3. Take a slot, call the handler, and free the slot, whichever way the handler ends.
    static func limitConnections(_ slots: Slots) -> Application.Middleware {
        { socket, handler in
            throw NotImplemented("hold a slot as long as the handler runs")
        }
    }

    /// Lends the limiter to the connection, for `receiveWithinLimit()`.
    static func limitMessages(_ limiter: RateLimiter) -> Application.Middleware {
        { socket, handler in
            socket.storage[RateLimiter.self] = limiter
            try await handler(socket)
        }
    }

    // MARK: - Routes

    static func echo(_ socket: WebSocket) async throws {
        try await greet(socket)
        while true {
            switch try await socket.receiveWithinLimit() {
            case .text(let text): try await socket.send("Echo: \(text)")
            case .binary(let bytes): try await socket.send(bytes)
            }
        }
    }

    /// Takes text only: anything else is an error, and ends the connection with 1011.
    static func shout(_ socket: WebSocket) async throws {
        try await greet(socket)
        while true {
            let message = try await socket.receiveWithinLimit()
            guard case .text(let text) = message else { throw WebSocketError.unexpectedMessage(message) }
            try await socket.send(text.uppercased())
        }
    }

    private static func greet(_ socket: WebSocket) async throws {
        try await socket.accept()
        try await socket.send("Welcome, \(try socket.user.name)")
    }

    public static var samples: [Sample] {
        [
            .text("Hello", to: "/ws/echo"),
            .binary("00 ff", to: "/ws/echo"),
            .text("Can you hear me?", to: "/ws/shout"),
        ]
    }
}

extension WebSocket {
    /// The next message, if its sender has a token for it. Every route receives in this way: a middleware stands
    /// around a conversation, not around each message in it.
    ///
    /// 4. Receive first, then spend one token of the user's.
    func receiveWithinLimit() async throws -> Message {
        throw NotImplemented("receive a message, and spend a token for it")
    }

    /// What the middleware has lent to this connection.
    private var limiter: RateLimiter {
        get throws {
            guard let limiter = storage[RateLimiter.self] else { throw Unguarded() }
            return limiter
        }
    }
}

/// The places for connections. From any thread.
final class Slots: Sendable {
    private let capacity: Int
    private let count = Mutex(0)

    init(_ capacity: Int) { self.capacity = capacity }

    var taken: Int { count.withLock { $0 } }

    /// 5. Take a slot, or throw `WebSocketException.atCapacity`. Ask and take under one lock.
    func take() throws {
        throw NotImplemented("take a slot if one is free")
    }

    func free() { count.withLock { $0 -= 1 } }
}

/// The buckets of all users. From any thread.
final class RateLimiter: Sendable {
    private let policy: Policy
    private let clock: ServerClock
    private let buckets = Mutex<[String: TokenBucket]>([:])

    init(_ policy: Policy, _ clock: ServerClock) {
        self.policy = policy
        self.clock = clock
    }

    /// Takes a token out of this user's bucket, or throws `WebSocketException.rateLimitExceeded`.
    ///
    /// 6. Look the bucket up; whoever has none yet gets a full one. Change it where it lies, under the lock.
    func spend(by user: String) throws {
        throw NotImplemented("spend a token of this user's bucket")
    }
}

/// Tokens that are spent one by one and come back with time. No timer fills it: what has come back is worked out when
/// somebody asks.
struct TokenBucket {
    private let size: Double
    private let interval: Duration
    private var tokens: Double
    private var countedAt: ServerClock.Instant

    /// A full one.
    init(size: Int, interval: Duration, at now: ServerClock.Instant) {
        self.size = Double(size)
        self.interval = interval
        tokens = self.size
        countedAt = now
    }

    /// 7. Add what has come back since `countedAt`, fractions too, but no more than fits. Take one token out; throw
    ///    `WebSocketException.rateLimitExceeded` if there is no whole one.
    mutating func spend(at now: ServerClock.Instant) throws {
        throw NotImplemented("add what has come back, and take one token out")
    }
}

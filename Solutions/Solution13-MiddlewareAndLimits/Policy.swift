import WebSocketEngine

// Given: the limits of this server, its closes, and what a middleware remembers. There is nothing to change here.

/// What this server allows. Whoever makes the application decides; the handlers and middleware know no numbers.
public struct Policy: Sendable {
    /// Pages that may connect, besides the server's own, such as `https://app.example`.
    public var origins: Set<String>
    /// Which key belongs to which user. A user may have several.
    public var keys: [String: String]
    /// How many connections may be open at a time.
    public var capacity: Int
    /// How many tokens a user's bucket holds.
    public var burst: Int
    /// How long it takes for one token to come back.
    public var refill: Duration

    public init(
        origins: Set<String> = ["https://app.example"],
        keys: [String: String] = ["ana-laptop": "ana", "ana-phone": "ana", "ben-laptop": "ben"],
        capacity: Int = 100, burst: Int = 5, refill: Duration = .seconds(1)
    ) {
        self.origins = origins
        self.keys = keys
        self.capacity = capacity
        self.burst = burst
        self.refill = refill
    }
}

/// The closes of this level. To close a connection, throw one.
extension WebSocketException {
    static let missingToken = WebSocketException(code: 4001, reason: "Missing token")
    static let invalidToken = WebSocketException(code: 4001, reason: "Invalid token")
    static let atCapacity = WebSocketException(code: 1008, reason: "Server at capacity")
    static let rateLimitExceeded = WebSocketException(code: 1008, reason: "Rate limit exceeded")
}

/// Who is at the other end. The middleware that knows stores it with the socket.
struct User: Sendable {
    var name: String
}

/// A route was reached without passing the middleware: a mistake of the server's own. The client is closed with 1011.
struct Unguarded: Error {}

extension WebSocket {
    /// The user whom the middleware has let in.
    var user: User {
        get throws {
            guard let user = storage[User.self] else { throw Unguarded() }
            return user
        }
    }
}

extension Request {
    /// What a browser sends as Origin for a page of this server itself, with and without TLS in front.
    var ownOrigins: Set<String> {
        guard let host = headers["Host"] else { return [] }
        return ["http://\(host)", "https://\(host)"]
    }
}

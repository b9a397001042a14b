import LevelKit
import Synchronization
import WebSocketEngine

/// How many WebSockets there are, and the limit of that. Called from any thread.
final class Visitors: Sendable {
    /// What `GET /stats` answers.
    struct Count: Encodable {
        var active = 0
        var total = 0
    }

    private let state = Mutex(Count())
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var count: Count { state.withLock { $0 } }

    /// Lets one more in.
    ///
    /// 2. At capacity throw `WebSocketException.serverAtCapacity`; otherwise count. Ask and count within one `withLock`.
    func enter() throws {
        throw NotImplemented("let a client in, unless the server is full")
    }

    /// 3. One that was let in is gone.
    func leave() {
    }
}

/// How many messages people may send: 20 at once, and then 10 a second. By name, whatever devices they have.
struct RateLimit {
    // 4. A token bucket for each name. It can be kept in one number: the moment at which the bucket will be full again.
    //    Each message moves that moment on by 100 ms; more than 2 s ahead of now the bucket is empty.

    /// Takes one token from a name's bucket. Throws `WebSocketException.rateLimitExceeded` if there is none.
    mutating func spend(by name: String, at now: ServerClock.Instant) throws {
        throw NotImplemented("take a token from a person's bucket")
    }
}

extension WebSocketException {
    static let serverAtCapacity = WebSocketException(code: .policyViolation, reason: "Server at capacity")
    static let rateLimitExceeded = WebSocketException(code: .policyViolation, reason: "Rate limit exceeded")
}

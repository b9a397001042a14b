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
        // solution
        try state.withLock { count in
            guard count.active < capacity else { throw WebSocketException.serverAtCapacity }
            count.active += 1
            count.total += 1
        }
        // stub: throw NotImplemented("let a client in, unless the server is full")
        // end
    }

    /// 3. One that was let in is gone.
    func leave() {
        // solution
        state.withLock { $0.active -= 1 }
        // end
    }
}

/// How many messages people may send: 20 at once, and then 10 a second. By name, whatever devices they have.
struct RateLimit {
    // 4. A token bucket for each name. It can be kept in one number: the moment at which the bucket will be full again.
    //    Each message moves that moment on by 100 ms; more than 2 s ahead of now the bucket is empty.
    // solution
    private var fullAt: [String: ServerClock.Instant] = [:]
    private var sweepAbove = 1000
    // end

    /// Takes one token from a name's bucket. Throws `WebSocketException.rateLimitExceeded` if there is none.
    mutating func spend(by name: String, at now: ServerClock.Instant) throws {
        // solution
        let next = max(fullAt[name] ?? now, now).advanced(by: .milliseconds(100))
        guard now.duration(to: next) <= .seconds(2) else { throw WebSocketException.rateLimitExceeded }
        fullAt[name] = next
        // A full bucket is like none. Names are chosen by clients, so they must not pile up.
        if fullAt.count > sweepAbove {
            fullAt = fullAt.filter { $0.value > now }
            sweepAbove = max(1000, 2 * fullAt.count)
        }
        // stub: throw NotImplemented("take a token from a person's bucket")
        // end
    }
}

extension WebSocketException {
    static let serverAtCapacity = WebSocketException(code: .policyViolation, reason: "Server at capacity")
    static let rateLimitExceeded = WebSocketException(code: .policyViolation, reason: "Rate limit exceeded")
}

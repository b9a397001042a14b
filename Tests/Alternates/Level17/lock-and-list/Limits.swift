import LevelKit
import Synchronization
import WebSocketEngine

/// The numbers of visitors: two counters, of which one also keeps the capacity.
final class Visitors: Sendable {
    struct Count: Encodable {
        var active: Int
        var total: Int
        var capacity: Int
    }

    private let active = Atomic(0)
    private let total = Atomic(0)
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var count: Count {
        Count(
            active: active.load(ordering: .relaxed), total: total.load(ordering: .relaxed), capacity: capacity
        )
    }

    func enter() throws {
        var seen = active.load(ordering: .relaxed)
        while true {
            guard seen < capacity else {
                throw WebSocketException(code: 1008, reason: "Server at capacity")
            }
            let (exchanged, original) = active.compareExchange(
                expected: seen, desired: seen + 1, ordering: .relaxed)
            if exchanged { break }
            seen = original
        }
        total.add(1, ordering: .relaxed)
    }

    func leave() { active.subtract(1, ordering: .relaxed) }
}

/// Tokens counted one by one, as in level 13.
struct RateLimit {
    private var buckets: [String: (tokens: Duration, at: ServerClock.Instant)] = [:]

    /// A token is 100 ms of saved time.
    mutating func spend(by name: String, at now: ServerClock.Instant) throws {
        let bucket = buckets[name] ?? (.seconds(2), now)
        let saved = min(.seconds(2), bucket.tokens + bucket.at.duration(to: now))
        guard saved >= .milliseconds(100) else {
            throw WebSocketException(code: 1008, reason: "Rate limit exceeded")
        }
        buckets[name] = (saved - .milliseconds(100), now)
    }
}

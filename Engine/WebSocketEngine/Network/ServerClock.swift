import CSystem
import Synchronization

/// The time by which a server lives: its own timers, and every `clock.sleep` and expiry check in its handlers.
///
/// Normally that is the machine's time. A test calls ``useManualTime()`` and then moves time itself with
/// ``advance(by:)``, so that a timeout of a minute takes no time at all. Everything here may be called from any
/// thread or task.
public final class ServerClock: Clock, Sendable {
    /// A moment, as the time since the clock's origin. Moments of different clocks do not compare.
    public struct Instant: InstantProtocol, Sendable {
        let sinceOrigin: Duration

        public func advanced(by duration: Duration) -> Instant {
            Instant(sinceOrigin: sinceOrigin + duration)
        }
        public func duration(to other: Instant) -> Duration { other.sinceOrigin - sinceOrigin }
        public static func < (left: Instant, right: Instant) -> Bool { left.sinceOrigin < right.sinceOrigin }
    }

    private struct Sleeper {
        var id: UInt64
        var deadline: Duration
        var continuation: UnsafeContinuation<Void, any Error>
    }

    private struct Manual {
        /// The time since the origin, or nil while the machine's time counts.
        var now: Duration?
        var sleepers: [Sleeper] = []
        var cancelled: Set<UInt64> = []
        var nextID: UInt64 = 0
        /// Tell event loops that time has moved.
        var observers: [UInt64: @Sendable () -> Void] = [:]
    }

    private let manual = Mutex(Manual())
    private let isManual = Atomic(false)

    /// Where manual time begins: 2026-01-01 00:00:00 UTC.
    private static let manualOrigin = Duration.seconds(1_767_225_600)

    /// A clock that goes by the machine's time.
    public init() {}

    public var minimumResolution: Duration { .nanoseconds(1) }

    /// This moment, of a time that only moves forward.
    public var now: Instant { Instant(sinceOrigin: sinceOrigin) }

    /// Seconds since 1970-01-01 00:00:00 UTC, the time in which tokens expire and messages are stamped.
    public var secondsSince1970: Double {
        let time =
            isManual.load(ordering: .acquiring)
            ? Self.manualOrigin + sinceOrigin : .nanoseconds(csystem_nanoseconds(true))
        return Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    }

    var sinceOrigin: Duration {
        if isManual.load(ordering: .acquiring), let now = manual.withLock({ $0.now }) { return now }
        return .nanoseconds(csystem_nanoseconds(false))
    }

    /// Suspends until the deadline. Throws `CancellationError` if the task is cancelled before.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        guard isManual.load(ordering: .acquiring) else {
            return try await Task.sleep(for: now.duration(to: deadline), tolerance: tolerance)
        }
        let id = manual.withLock { manual in
            manual.nextID += 1
            return manual.nextID
        }
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                let result: Result<Void, any Error>? = manual.withLock { manual in
                    if manual.cancelled.remove(id) != nil { return .failure(CancellationError()) }
                    if let now = manual.now, deadline.sinceOrigin <= now { return .success(()) }
                    manual.sleepers.append(
                        Sleeper(id: id, deadline: deadline.sinceOrigin, continuation: continuation))
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let sleeper = manual.withLock { manual -> Sleeper? in
                guard let index = manual.sleepers.firstIndex(where: { $0.id == id }) else {
                    manual.cancelled.insert(id)
                    return nil
                }
                return manual.sleepers.remove(at: index)
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
        manual.withLock { _ = $0.cancelled.remove(id) }
    }

    // MARK: - Manual time

    /// From now on time stands still but for ``advance(by:)``. For tests, before the server starts.
    public func useManualTime() {
        manual.withLock { $0.now = $0.now ?? .zero }
        isManual.store(true, ordering: .releasing)
    }

    /// Moves manual time on and wakes whoever's deadline has come, the earliest first.
    public func advance(by duration: Duration) {
        let (due, observers) = manual.withLock { manual in
            let now = (manual.now ?? .zero) + duration
            manual.now = now
            let due = manual.sleepers.filter { $0.deadline <= now }
            manual.sleepers.removeAll { $0.deadline <= now }
            return (due.sorted { ($0.deadline, $0.id) < ($1.deadline, $1.id) }, manual.observers.values)
        }
        for sleeper in due { sleeper.continuation.resume() }
        for observer in observers { observer() }
    }

    /// How many tasks sleep until a manual time, for a test that must not advance before they do.
    public var sleeperCount: Int { manual.withLock { $0.sleepers.count } }

    /// How long each of them still sleeps, the shortest first.
    package var timesToSleep: [Duration] {
        manual.withLock { manual in manual.sleepers.map { $0.deadline - (manual.now ?? .zero) }.sorted() }
    }

    /// Calls `observer` whenever manual time has moved, until it is removed.
    func addObserver(_ observer: @escaping @Sendable () -> Void) -> UInt64 {
        manual.withLock { manual in
            manual.nextID += 1
            manual.observers[manual.nextID] = observer
            return manual.nextID
        }
    }

    func removeObserver(_ id: UInt64) { manual.withLock { _ = $0.observers.removeValue(forKey: id) } }
}

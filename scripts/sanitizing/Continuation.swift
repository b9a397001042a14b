import Synchronization

/// Stands in for `UnsafeContinuation` while `scripts/sanitize thread` runs: the same, with the order that it promises
/// made visible. What happens before `resume` happens before the task goes on; but when `resume` comes before the
/// task has begun to wait, the runtime does not tell the sanitizer (`ContinuationReport.swift`), and what was made
/// before `resume` is reported when the task uses it.
struct VisibleContinuation<Value, Failure: Error>: Sendable {
    fileprivate let real: UnsafeContinuation<Value, Failure>
    fileprivate let order: Order

    func resume(returning value: sending Value) {
        order.isResumed.store(true, ordering: .releasing)
        real.resume(returning: value)
    }

    func resume(throwing error: Failure) {
        order.isResumed.store(true, ordering: .releasing)
        real.resume(throwing: error)
    }

    func resume() where Value == Void { resume(returning: ()) }

    func resume(with result: sending Result<Value, Failure>) {
        switch result {
        case .success(let value): resume(returning: value)
        case .failure(let error): resume(throwing: error)
        }
    }
}

private final class Order: Sendable { let isResumed = Atomic(false) }

func withVisibleContinuation<Value>(
    isolation: isolated (any Actor)? = #isolation, _ body: (VisibleContinuation<Value, Never>) -> Void
) async -> sending Value {
    let order = Order()
    defer { _ = order.isResumed.load(ordering: .acquiring) }
    return await withUnsafeContinuation { body(VisibleContinuation(real: $0, order: order)) }
}

func withVisibleThrowingContinuation<Value>(
    isolation: isolated (any Actor)? = #isolation, _ body: (VisibleContinuation<Value, any Error>) -> Void
) async throws -> sending Value {
    let order = Order()
    defer { _ = order.isResumed.load(ordering: .acquiring) }
    return try await withUnsafeThrowingContinuation {
        body(VisibleContinuation(real: $0, order: order))
    }
}

import Foundation

/// Stands in for `Synchronization.Mutex` while `scripts/sanitize thread` runs: the same lock, on a pthread mutex.
///
/// On Linux a `Mutex` that is contended waits in `_MutexHandle._lockSlow` and `_unlockSlow`, functions of the library
/// libswiftSynchronization. That is not compiled for the thread sanitizer, which therefore sees one thread unlock and
/// another go on without a connection between them, and reports what the lock protects as a race. `MutexReport.swift`
/// shows it. The sanitizer does know pthread mutexes. A file in a module comes before what the module imports, so
/// that a copy of this file in each module is all that changes.
struct Mutex<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    init(_ initial: consuming sending Value) {
        lock = .allocate(capacity: 1)
        lock.initialize(to: pthread_mutex_t())
        pthread_mutex_init(lock, nil)
        value = .allocate(capacity: 1)
        value.initialize(to: initial)
    }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
        value.deinitialize(count: 1)
        value.deallocate()
    }

    borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body(&value.pointee)
    }
}

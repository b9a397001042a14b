import Foundation
import Synchronization

/// Runs the grader's own tasks on a thread of its own: endless loops in a student's tasks may keep every thread of
/// the global pool busy, and the next check must still be able to start its server.
///
/// What a startup or shutdown hook does happens here too. A thread that has crashed or hangs in one is lost, so another
/// takes over its work.
final class GraderExecutor: TaskExecutor {
    static let shared = GraderExecutor()

    private let jobs = Mutex<[UnownedJob]>([])
    private let crashesSeen = Mutex(0)
    private let signal = DispatchSemaphore(value: 0)

    private init() { addThread() }

    /// For the case that a thread is lost. One too many does no harm.
    func addThread() {
        Thread.detachNewThread { [self] in
            CrashGuard.protectThread()
            while true {
                signal.wait()
                let job = jobs.withLock { $0.removeFirst() }
                job.runSynchronously(on: asUnownedTaskExecutor())
            }
        }
    }

    /// Adds a thread if any thread has crashed since the last call: it may have been the one here.
    func replaceCrashedThread() {
        let isLost = crashesSeen.withLock { seen in
            defer { seen = CrashGuard.count }
            return seen < CrashGuard.count
        }
        if isLost { addThread() }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
        signal.signal()
    }
}

import Foundation
import Synchronization

/// Runs the grader's own tasks on a thread of its own: endless loops in a student's tasks may keep every thread of
/// the global pool busy, and the next check must still be able to start its server.
final class GraderExecutor: TaskExecutor {
    static let shared = GraderExecutor()

    private let jobs = Mutex<[UnownedJob]>([])
    private let signal = DispatchSemaphore(value: 0)

    private init() {
        Thread.detachNewThread { [self] in
            while true {
                signal.wait()
                let job = jobs.withLock { $0.removeFirst() }
                job.runSynchronously(on: asUnownedTaskExecutor())
            }
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
        signal.signal()
    }
}

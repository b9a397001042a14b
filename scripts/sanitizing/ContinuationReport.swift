import Dispatch

// The smallest program with which the thread sanitizer is wrong about continuations: one task waits for another
// thread, again and again; nothing is shared but the continuation, and each is resumed once.
//
// When `resume` comes first, before the task has begun to wait, the task goes on without the runtime telling the
// sanitizer that it has seen the resumption. The task's next continuation lies in the same memory, and writing to
// that counts as a race with what `resume` has read.
@main
enum ContinuationReport {
    static func main() async {
        let queue = DispatchQueue(label: "resumes")
        for _ in 0..<20_000 {
            await withUnsafeContinuation { continuation in
                queue.async { continuation.resume() }
                // Time for the queue to come first, sometimes.
                for _ in 0..<Int.random(in: 0..<2000) {}
            }
        }
    }
}

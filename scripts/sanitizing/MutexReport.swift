import Foundation
import Synchronization

// The smallest program about which the thread sanitizer is wrong (see Mutex.swift): all that is shared is behind a
// lock, which is held for so long that the threads have to wait for each other. `scripts/sanitize thread` runs it
// with the library's Mutex and with the one beside this file; reports of the second would be real.
private final class Shared: Sendable { let numbers = Mutex<[Int]>([]) }

@main
enum MutexReport {
    static func main() {
        let shared = Shared()
        let group = DispatchGroup()
        for thread in 0..<4 {
            DispatchQueue.global().async(group: group) {
                for round in 0..<50 {
                    shared.numbers.withLock { numbers in
                        numbers.append(thread + round)
                        usleep(500)
                    }
                }
            }
        }
        group.wait()
    }
}

import XCTest

@testable import WebSocketEngine

final class TimerQueueTests: XCTestCase {
    /// Runs what is due and returns it.
    private func run(_ queue: inout TimerQueue, at now: Duration, _ log: Log) -> [Int] {
        log.numbers = []
        while let action = queue.takeDue(at: now) { action() }
        return log.numbers
    }

    private final class Log {
        var numbers: [Int] = []
    }

    func testTheEarliestComesFirstAndEqualsInOrder() {
        var queue = TimerQueue()
        let log = Log()
        XCTAssertNil(queue.nextDeadline)
        for (number, seconds) in [3, 1, 2, 1, 3, 1].enumerated() {
            _ = queue.add(at: .seconds(seconds)) { log.numbers.append(number) }
        }
        XCTAssertEqual(queue.nextDeadline, .seconds(1))
        XCTAssertEqual(run(&queue, at: .milliseconds(999), log), [])
        XCTAssertEqual(run(&queue, at: .seconds(2), log), [1, 3, 5, 2])
        XCTAssertEqual(queue.nextDeadline, .seconds(3))
        XCTAssertEqual(run(&queue, at: .seconds(100), log), [0, 4])
        XCTAssertNil(queue.nextDeadline)
    }

    func testCancelling() {
        var queue = TimerQueue()
        let log = Log()
        let first = queue.add(at: .seconds(1)) { log.numbers.append(1) }
        let second = queue.add(at: .seconds(2)) { log.numbers.append(2) }
        queue.cancel(first)
        queue.cancel(first)
        XCTAssertEqual(queue.nextDeadline, .seconds(2))
        XCTAssertEqual(run(&queue, at: .seconds(5), log), [2])
        queue.cancel(second)
        XCTAssertNil(queue.nextDeadline)
        XCTAssertNil(queue.takeDue(at: .seconds(5)))
    }

    func testACancelledActionIsReleased() {
        var queue = TimerQueue()
        weak var released: Log?
        do {
            let log = Log()
            released = log
            let id = queue.add(at: .seconds(1)) { log.numbers = [] }
            queue.cancel(id)
        }
        XCTAssertNil(released)
    }

    func testAnActionMayAddTimers() {
        var queue = TimerQueue()
        let log = Log()
        _ = queue.add(at: .seconds(1)) { log.numbers.append(1) }
        var count = 0
        while let action = queue.takeDue(at: .seconds(10)) {
            action()
            count += 1
            if count < 5 { _ = queue.add(at: .seconds(count)) { log.numbers.append(2) } }
        }
        XCTAssertEqual(log.numbers, [1, 2, 2, 2, 2])
    }

    /// Timers that are set and cancelled for every message must neither pile up nor be lost.
    func testAgainstAModel() {
        var random = SplitMix64(seed: 2)
        var queue = TimerQueue()
        let log = Log()
        var model: [(id: TimerQueue.ID, deadline: Int, number: Int)] = []
        for number in 0..<5000 {
            let deadline = Int.random(in: 0..<1000, using: &random)
            let id = queue.add(at: .seconds(deadline)) { log.numbers.append(number) }
            model.append((id, deadline, number))
            if number > 50 || Bool.random(using: &random) {
                let victim = Int.random(in: 0..<model.count, using: &random)
                queue.cancel(model.remove(at: victim).id)
            }
            if number % 500 == 499 {
                let now = Int.random(in: 0..<500, using: &random)
                let due = model.enumerated().filter { $1.deadline <= now }
                    .sorted {
                        ($0.element.deadline, $0.element.number) < ($1.element.deadline, $1.element.number)
                    }
                XCTAssertEqual(run(&queue, at: .seconds(now), log), due.map(\.element.number))
                model.removeAll { $0.deadline <= now }
                XCTAssertEqual(queue.nextDeadline, model.map(\.deadline).min().map { .seconds($0) })
            }
        }
    }
}

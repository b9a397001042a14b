import XCTest

@testable import WebSocketEngine

final class ServerClockTests: XCTestCase {
    private func manual() -> ServerClock {
        let clock = ServerClock()
        clock.useManualTime()
        return clock
    }

    func testTheMachinesTimeMoves() throws {
        let clock = ServerClock()
        let before = clock.now
        try blocking { try await clock.sleep(for: .milliseconds(2)) }
        XCTAssertGreaterThanOrEqual(before.duration(to: clock.now), .milliseconds(2))
        XCTAssertEqual(clock.secondsSince1970, Date().timeIntervalSince1970, accuracy: 5)
    }

    func testManualTimeStandsStill() {
        let clock = manual()
        let before = clock.now
        XCTAssertEqual(clock.now, before)
        XCTAssertEqual(clock.secondsSince1970, 1_767_225_600)
        clock.advance(by: .milliseconds(1500))
        XCTAssertEqual(before.duration(to: clock.now), .milliseconds(1500))
        XCTAssertEqual(clock.secondsSince1970, 1_767_225_601.5)
        clock.useManualTime()
        XCTAssertEqual(before.duration(to: clock.now), .milliseconds(1500), "a second time changes nothing")
    }

    func testSleepersWakeWhenTheirTimeHasCome() throws {
        let clock = manual()
        let woken = Mailbox<Int>()
        for seconds in [3, 1, 2] {
            Task.detached {
                try await clock.sleep(for: .seconds(seconds))
                woken.put(seconds)
            }
        }
        eventually("three sleep") { clock.sleeperCount == 3 }
        clock.advance(by: .milliseconds(999))
        XCTAssertEqual(clock.sleeperCount, 3)
        XCTAssertEqual(clock.timesToSleep, [.milliseconds(1), .milliseconds(1001), .milliseconds(2001)])
        clock.advance(by: .milliseconds(1))
        XCTAssertEqual(try woken.take(), 1)
        clock.advance(by: .seconds(10))
        XCTAssertEqual(Set(try woken.take(2)), [2, 3])
        XCTAssertEqual(clock.sleeperCount, 0)
    }

    func testADeadlineThatHasPassed() throws {
        let clock = manual()
        try blocking { try await clock.sleep(for: .zero) }
        clock.advance(by: .seconds(1))
        try blocking { try await clock.sleep(until: .init(sinceOrigin: .milliseconds(500))) }
        XCTAssertEqual(clock.sleeperCount, 0)
    }

    func testACancelledSleeper() throws {
        let clock = manual()
        let results = Mailbox<String>()
        @Sendable func sleep() async {
            do {
                try await clock.sleep(for: .seconds(1))
                results.put("woken")
            } catch { results.put("\(type(of: error))") }
        }
        let task = Task.detached { await sleep() }
        eventually("one sleeps") { clock.sleeperCount == 1 }
        task.cancel()
        XCTAssertEqual(try results.take(), "CancellationError")
        XCTAssertEqual(clock.sleeperCount, 0)
        // Cancelled before it begins.
        let gate = Gate()
        let late = Task.detached {
            await gate.wait()
            await sleep()
        }
        late.cancel()
        gate.open()
        XCTAssertEqual(try results.take(), "CancellationError")
        XCTAssertEqual(clock.sleeperCount, 0)
    }

    func testCancellingWhileTimeMoves() throws {
        let clock = manual()
        let results = Mailbox<Void>()
        for _ in 0..<200 {
            let task = Task.detached {
                try? await clock.sleep(for: .seconds(1))
                results.put(())
            }
            Task.detached { task.cancel() }
            clock.advance(by: .seconds(1))
        }
        clock.advance(by: .seconds(1))
        // Everyone wakes, one way or the other, exactly once: a second resumption would trap.
        for _ in 0..<200 { try results.take("a sleeper") }
    }
}

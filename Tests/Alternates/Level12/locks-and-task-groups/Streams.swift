import Synchronization
import WebSocketEngine

final class Streamer: Sendable {
    static let types = ["stocks", "weather", "news"]
    private let audience: Audience
    private let clock: ServerClock
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(_ audience: Audience, _ clock: ServerClock) {
        self.audience = audience
        self.clock = clock
    }

    func start() {
        task.withLock {
            $0 = Task {
                await withTaskGroup { group in
                    for type in Self.types { group.addTask { await self.run(type) } }
                }
            }
        }
    }

    private func run(_ type: String) async {
        var next = clock.now
        var number = 0
        while !Task.isCancelled {
            next = next.advanced(by: .seconds(1))
            do {
                try await clock.sleep(until: next)
                number += 1
                _ = try audience.tell(
                    .object([
                        "type": .string("data"), "data_type": .string(type),
                        "timestamp": .string(clock.timestamp),
                        "data": .object(["number": .int(number)]),
                    ]), .stream(type))
            } catch { return }
        }
    }

    func stop() async {
        let task = task.withLock { $0 }
        task?.cancel()
        await task?.value
    }
}

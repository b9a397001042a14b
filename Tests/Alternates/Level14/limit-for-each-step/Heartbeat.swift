import LevelKit
import WebSocketEngine

/// One loop that waits for whatever comes first: an event of the client, or the next time to look.
@main
public struct Heartbeat: Level {
    private enum Event {
        case message(Message)
        case sent
        case time
    }

    public static func makeApplication() -> Application {
        let app = Application()
        app.limits.pingInterval = nil
        let clock = app.clock
        app.webSocket("/ws") { socket in
            try await socket.accept()
            try await withThrowingTaskGroup(of: Event.self) { group in
                group.addTask { .message(try await socket.receive()) }
                group.addTask { try await sleep(socket, clock) }
                defer { group.cancelAll() }
                var askedAt: ServerClock.Instant?
                while let event = try await group.next() {
                    switch event {
                    case .message(let message):
                        group.addTask {
                            try await socket.send(message == .text("ping") ? .text("pong") : message)
                            return .sent
                        }
                    case .sent:
                        group.addTask { .message(try await socket.receive()) }
                    case .time:
                        let sign = socket.lastActivity
                        switch sign.duration(to: clock.now) {
                        case .seconds(60)...:
                            return try await socket.close(code: .normalClosure, reason: "Timeout")
                        case .seconds(30)... where askedAt != sign:
                            askedAt = sign
                            try await socket.ping()
                        default: break
                        }
                        group.addTask { try await sleep(socket, clock) }
                    }
                }
            }
        }
        return app
    }

    /// Until 30 or 60 s after the last sign of life, whichever is next.
    private static func sleep(_ socket: WebSocket, _ clock: ServerClock) async throws -> Event {
        let sign = socket.lastActivity
        let seconds = sign.duration(to: clock.now) < .seconds(30) ? 30 : 60
        try await clock.sleep(until: sign.advanced(by: .seconds(seconds)))
        return .time
    }
}

import LevelKit
import WebSocketEngine

/// One task asks, one gives up, and both end with the receiving.
@main
public struct Heartbeat: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        var limits = app.limits
        limits.pingInterval = nil
        app.limits = limits
        let clock = app.clock
        app.webSocket("/ws") { socket in
            try await socket.accept()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await ask(socket, clock) }
                group.addTask { try await giveUp(socket, clock) }
                // Throws when the connection is over, which cancels both.
                while true {
                    let message = try await socket.receive()
                    switch message {
                    case .text("ping"): try await socket.send("pong")
                    default: try await socket.send(message)
                    }
                }
            }
        }
        return app
    }

    static func ask(_ socket: WebSocket, _ clock: ServerClock) async throws {
        while true {
            let sign = socket.lastActivity
            try await clock.sleep(until: sign.advanced(by: .seconds(30)))
            guard socket.lastActivity == sign else { continue }
            try await socket.ping(Array("are you there?".utf8))
            // Nothing is to be asked before the end, unless the answer comes.
            try await clock.sleep(until: sign.advanced(by: .seconds(60)))
        }
    }

    static func giveUp(_ socket: WebSocket, _ clock: ServerClock) async throws {
        while socket.lastActivity.duration(to: clock.now) < .seconds(60) {
            try await clock.sleep(until: socket.lastActivity.advanced(by: .seconds(60)))
        }
        try await socket.close(code: 1000, reason: "Timeout")
    }
}

import LevelKit
import WebSocketEngine

/// Level 14 – Heartbeat. Read chapter 14 of Course.md first.
///
/// Write an echo on `/ws` that notices when a client has died in silence:
///
/// - Every message, text or binary, comes back as it is. Only the text `ping` is answered with `pong` instead.
/// - Whatever comes from a client is a sign of life: a message, a Ping frame, a Pong frame.
/// - 30 s after the last sign of life the client is sent one Ping frame. If it answers, it lives on, and its next
///   silence is met in the same way. Who is not silent for 30 s gets no Ping.
/// - 60 s after the last sign of life it is closed with 1000 `Timeout`; also if a `send` to it waits at that time.
/// - The times are exact and are those of the application's clock. More messages do not mean more timers, and nothing
///   sleeps for a connection that is over.
@main
public struct Heartbeat: Level {
    static let pingAfter = Duration.seconds(30)
    static let closeAfter = Duration.seconds(60)

    /// 1. The engine has a heartbeat of its own, every 20 s. Switch it off: `app.limits.pingInterval`.
    public static func makeApplication() -> Application {
        let app = Application()
        let clock = app.clock
        // solution
        app.limits.pingInterval = nil
        // end
        app.webSocket("/ws") { socket in
            try await talk(socket, by: clock)
        }
        return app
    }

    /// Called once for every client that connects.
    ///
    /// 4. Accept. Then echo and watch at the same time, as two tasks of one group. When either is at its end, so is the
    ///    conversation: cancel the other.
    static func talk(_ socket: WebSocket, by clock: ServerClock) async throws {
        // solution
        try await socket.accept()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await echo(socket) }
            group.addTask { try await watch(socket, by: clock) }
            try await group.next()
            group.cancelAll()
        }
        // stub: throw NotImplemented("accept, then echo and watch at the same time")
        // end
    }

    /// Answers every message until the client leaves.
    ///
    /// 2. The text `ping` is answered with `pong`, all else with itself.
    static func echo(_ socket: WebSocket) async throws {
        for try await message in socket {
            // solution
            try await socket.send(message == .text("ping") ? .text("pong") : message)
            // stub: throw NotImplemented("answer \(message)")
            // end
        }
    }

    /// Pings a client that is silent, and returns when it has been silent for too long.
    ///
    /// 3. `socket.lastActivity` is the moment of the last sign of life. See how long ago that was. After 60 s, close;
    ///    after 30 s, send a Ping. Then sleep until the next thing may be due, and look again.
    static func watch(_ socket: WebSocket, by clock: ServerClock) async throws {
        // solution
        while true {
            let last = socket.lastActivity
            let silence = last.duration(to: clock.now)
            if silence >= closeAfter { return try await socket.close(reason: "Timeout") }
            if silence >= pingAfter {
                try await socket.ping()
                try await clock.sleep(until: last.advanced(by: closeAfter))
            } else {
                try await clock.sleep(until: last.advanced(by: pingAfter))
            }
        }
        // stub: throw NotImplemented("ping after 30 s of silence, close after 60 s")
        // end
    }

    public static var samples: [Sample] {
        [
            .text("Hello", to: "/ws"),
            .text("ping", to: "/ws"),
            .binary("00 ff 10", to: "/ws"),
        ]
    }
}

import LevelKit
import WebSocketEngine

/// Notices connections that have died in silence.
enum Heartbeat {
    /// Runs beside a handler for as long as it lasts, and is cancelled with it.
    ///
    /// 5. Sleep 30 s on `clock`. Then look how long ago `socket.lastActivity` was: after 60 s or more close with 1000
    ///    `Timeout` and return; after 30 s or more send a Ping. Sleep on until the client has been silent for the next
    ///    30 or 60 s, and look again.
    static func keep(_ socket: WebSocket, _ clock: ServerClock) async throws {
        // solution
        var wake = clock.now.advanced(by: .seconds(30))
        while true {
            try await clock.sleep(until: wake)
            let heard = socket.lastActivity
            let silence = heard.duration(to: clock.now)
            if silence >= .seconds(60) {
                return try await socket.close(code: .normalClosure, reason: "Timeout")
            }
            if silence >= .seconds(30) { try await socket.ping() }
            wake = heard.advanced(by: silence >= .seconds(30) ? .seconds(60) : .seconds(30))
        }
        // stub: throw NotImplemented("send a Ping after 30 s of silence, and close after 60 s")
        // end
    }
}

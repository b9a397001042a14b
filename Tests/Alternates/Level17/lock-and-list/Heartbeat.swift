import LevelKit
import WebSocketEngine

/// Looks at the time first and sleeps then, once the handshake is over.
enum Heartbeat {
    static func keep(_ socket: WebSocket, _ clock: ServerClock) async throws {
        let began = clock.now
        while true {
            let heard = max(began, socket.lastActivity)
            switch heard.duration(to: clock.now) {
            case ..<Duration.seconds(30):
                try await clock.sleep(until: heard.advanced(by: .seconds(30)))
            case ..<Duration.seconds(60):
                try await socket.ping()
                try await clock.sleep(until: heard.advanced(by: .seconds(60)))
            default:
                return try await socket.close(reason: "Timeout")
            }
        }
    }
}

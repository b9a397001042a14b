import WebSocketEngine

// Given, from level 01. There is nothing to change here.

extension WebSockets {
    /// `/ws`: answers every message.
    static func echo(_ socket: WebSocket) async throws {
        try await socket.accept()
        for try await message in socket {
            switch message {
            case .text(let text): try await socket.send("Echo: \(text)")
            case .binary(let bytes): try await socket.send(bytes)
            }
        }
    }
}

// Different: receive() in an endless loop that ends when it throws, and binary sent back as the Message it came in.
import LevelKit
import WebSocketEngine

@main
public struct BasicEcho: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        app.webSocket("/ws") { socket in
            try await socket.accept()
            do {
                while true {
                    let message = try await socket.receive()
                    if case .text(let text) = message {
                        try await socket.send(.text("Echo: " + text))
                    } else {
                        try await socket.send(message)
                    }
                }
            } catch is WebSocketDisconnect {
                // The client has left, as all clients do.
            }
        }
        app.webSocket("/ws/shout") { socket in
            try await socket.accept()
            while socket.state == .open {
                try await socket.send(socket.receiveText().uppercased())
            }
        }
        return app
    }
}

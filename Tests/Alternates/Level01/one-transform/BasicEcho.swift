// Different: one handler for both paths, given what to do with a text; shouted binary comes back too.
import LevelKit
import WebSocketEngine

@main
public struct BasicEcho: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        app.webSocket("/ws", answering { "Echo: " + $0 })
        app.webSocket("/ws/shout", answering { $0.uppercased() })
        return app
    }

    static func answering(_ transform: @escaping @Sendable (String) -> String) -> Application.WebSocketHandler
    {
        { socket in
            try await socket.accept()
            for try await message in socket {
                guard case .text(let text) = message else {
                    try await socket.send(message)
                    continue
                }
                try await socket.send(transform(text))
            }
        }
    }
}

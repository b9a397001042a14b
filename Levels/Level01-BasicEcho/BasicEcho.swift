import LevelKit
import WebSocketEngine

/// Level 01 – Basic echo. Read chapter 1 of Course.md first.
///
/// Write a server that answers everything it hears:
///
/// - On `/ws`, each text `m` is answered with `Echo: m`, and each binary message with the same bytes.
/// - On `/ws/shout`, each text is answered with the same text in upper case.
///
/// Any number of clients talk at the same time, each with as many messages as it likes, and each hears only the
/// answers to its own.
@main
public struct BasicEcho: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        app.webSocket("/ws", echo)
        app.webSocket("/ws/shout", shout)
        return app
    }

    /// Called once for every client that connects to `/ws`. When it returns, the connection is closed.
    ///
    /// 1. Accept the handshake: `try await socket.accept()`.
    /// 2. Take the client's messages, one after the other, until it leaves: `for try await message in socket`.
    /// 3. Answer each: `switch` on `.text(let text)` and `.binary(let bytes)`, and `try await socket.send(…)`.
    static func echo(_ socket: WebSocket) async throws {
        throw NotImplemented("answer every message on /ws")
    }

    /// Called once for every client that connects to `/ws/shout`.
    ///
    /// 4. Answer each text in upper case. Swift's `uppercased()` knows every alphabet.
    static func shout(_ socket: WebSocket) async throws {
        throw NotImplemented("answer every text on /ws/shout in upper case")
    }

    public static var samples: [Sample] {
        [
            .text("Hello!", to: "/ws"),
            .text("", to: "/ws"),
            .binary("00 ff 10", to: "/ws"),
            .text("Grüße, Ωmega!", to: "/ws/shout"),
        ]
    }
}

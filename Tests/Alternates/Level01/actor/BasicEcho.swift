// Different: an actor makes the answers, which are sent by tasks of a group and not by the handler itself.
import LevelKit
import WebSocketEngine

@main
public struct BasicEcho: Level {
    /// Makes the answers, and counts them because it can.
    actor Answerer {
        private(set) var answers = 0

        func echo(_ message: Message) -> Message {
            answers += 1
            return switch message {
            case .text(let text): .text("Echo: \(text)")
            case .binary: message
            }
        }

        func shout(_ message: Message) -> Message? {
            guard case .text(let text) = message else { return nil }
            answers += 1
            return .text(text.uppercased())
        }
    }

    public static func makeApplication() -> Application {
        let answerer = Answerer()
        let app = Application()
        app.webSocket("/ws") { socket in
            try await serve(socket) { await answerer.echo($0) }
        }
        app.webSocket("/ws/shout") { socket in
            try await serve(socket) { await answerer.shout($0) }
        }
        return app
    }

    /// One task listens, another one speaks.
    static func serve(_ socket: WebSocket, _ answer: @escaping @Sendable (Message) async -> Message?)
        async throws
    {
        try await socket.accept()
        let (answers, outbox) = AsyncStream.makeStream(of: Message.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await message in answers { try await socket.send(message) }
            }
            for try await message in socket {
                if let message = await answer(message) { outbox.yield(message) }
            }
            outbox.finish()
            try await group.waitForAll()
        }
    }
}

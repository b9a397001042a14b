// Different: events are an enum with payloads; every socket is sent to by itself, by a task for each connection that
// empties its own queue; the name is given back by a wrapper around the conversation.
import LevelKit
import WebSocketEngine

@main
public struct PrivateMessages: Level {
    public static func makeApplication() -> Application {
        let directory = Directory()
        let app = Application()
        app.webSocket("/ws/chat/{username}") { socket in
            try await socket.accept()
            let name = socket.parameters["username", default: ""]
            guard let mail = await directory.register(name) else {
                return try await socket.close(code: 4009, reason: "Username taken")
            }
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await event in mail {
                        do { try await socket.sendJSON(event) } catch { break }
                    }
                }
                for await text in texts(of: socket) { await directory.handle(text, from: name) }
                await directory.unregister(name)
            }
        }
        return app
    }

    /// The text messages until the client leaves.
    static func texts(of socket: WebSocket) -> AsyncStream<String> {
        AsyncStream {
            while let message = try? await socket.receive() {
                if case .text(let text) = message { return text }
            }
            return nil
        }
    }
}

enum Event: Encodable, Sendable {
    case system(String)
    case message(from: String, String)
    case pm(from: String, to: String, String)
    case error(String)

    enum Key: String, CodingKey { case type, from, to, message }

    func encode(to encoder: any Encoder) throws {
        var keys = encoder.container(keyedBy: Key.self)
        switch self {
        case .system(let text):
            try keys.encode("system", forKey: .type)
            try keys.encode(text, forKey: .message)
        case .message(let sender, let text):
            try keys.encode("message", forKey: .type)
            try keys.encode(sender, forKey: .from)
            try keys.encode(text, forKey: .message)
        case .pm(let sender, let recipient, let text):
            try keys.encode("pm", forKey: .type)
            try keys.encode(sender, forKey: .from)
            try keys.encode(recipient, forKey: .to)
            try keys.encode(text, forKey: .message)
        case .error(let text):
            try keys.encode("error", forKey: .type)
            try keys.encode(text, forKey: .message)
        }
    }
}

actor Directory {
    private var boxes: [String: AsyncStream<Event>.Continuation] = [:]

    func register(_ name: String) -> AsyncStream<Event>? {
        if boxes.keys.contains(name) { return nil }
        let (mail, box) = AsyncStream.makeStream(of: Event.self)
        boxes[name] = box
        tellAll(.system("\(name) joined"))
        return mail
    }

    func unregister(_ name: String) {
        boxes.removeValue(forKey: name)?.finish()
        tellAll(.system("\(name) left"))
    }

    func handle(_ text: String, from sender: String) {
        let words = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(
            String.init)
        if text != "/pm", !text.hasPrefix("/pm ") {
            tellAll(.message(from: sender, text))
        } else if words.count < 3 || words[1...].contains("") {
            boxes[sender]?.yield(.error("This is how: /pm bob hello"))
        } else if let box = boxes[words[1]] {
            box.yield(.pm(from: sender, to: words[1], words[2]))
            if words[1] != sender { boxes[sender]?.yield(.pm(from: sender, to: words[1], words[2])) }
        } else {
            boxes[sender]?.yield(.error("\(words[1])?"))
        }
    }

    private func tellAll(_ event: Event) { for box in boxes.values { box.yield(event) } }
}

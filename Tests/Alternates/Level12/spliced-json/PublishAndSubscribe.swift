// Different: the body is checked with JSONSerialization and put into the event as the text that it is; each conversation
// has an AsyncStream as its mailbox, and a task of its own that sends what is in it; the tasks are in a locked class.
import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

@main
public struct PublishAndSubscribe: Level {
    static let kinds: Set = ["stocks", "weather", "news"]

    public static func makeApplication() -> Application {
        let app = Application()
        app.limits.bodyBytes = 64 << 10
        let clock = app.clock
        let hub = Hub()
        app.webSocket("/updates/{topic}") { socket in
            try await hub.serve(socket, "topic " + (socket.parameters["topic"] ?? "")) { _ in nil }
        }
        app.post("/publish/{topic}") { request in
            let topic = request.parameters["topic"] ?? ""
            do {
                _ = try JSONSerialization.jsonObject(with: Data(request.body), options: .fragmentsAllowed)
            } catch {
                return try .json(["error": "not JSON"], status: 400)
            }
            let name = String(decoding: try JSONEncoder().encode(topic), as: UTF8.self)
            let body = String(decoding: request.body, as: UTF8.self)
            let count = hub.publish(
                #"{"timestamp":"\#(now(clock))","topic":\#(name),"data":\#(body)}"#, "topic " + topic)
            return Response(
                headers: ["Content-Type": "application/json"],
                body: Array(#"{"subscribers":\#(count),"topic":\#(name)}"#.utf8))
        }
        let tasks = Mutex<[Task<Void, Never>]>([])
        let streamers = Streamers(tasks: tasks)
        app.onStartup {
            streamers.tasks.withLock { tasks in
                tasks = kinds.map { kind in
                    Task.detached {
                        while (try? await clock.sleep(for: .seconds(1))) != nil {
                            let data =
                                #"{"type":"data","data_type":"\#(kind)","data":{"text":"up"},"timestamp":""#
                            _ = hub.publish(data + now(clock) + "\"}", kind)
                        }
                    }
                }
            }
        }
        app.onShutdown {
            for task in streamers.tasks.withLock({ $0 }) {
                task.cancel()
                await task.value
            }
        }
        app.webSocket("/stream/{data_type}") { socket in
            let kind = socket.parameters["data_type"] ?? ""
            if !kinds.contains(kind) {
                try await socket.accept()
                return try await socket.close(code: .policyViolation, reason: "Invalid data type")
            }
            try await hub.serve(socket, kind) { text in text == "ping" ? #"{"type":"pong"}"# : nil }
        }
        app.webSocket("/ws/tasks") { socket in
            try await socket.accept()
            let table = Table(socket, clock)
            defer { table.clear() }
            for try await message in socket { try await table.obey(message) }
        }
        return app
    }

    static func now(_ clock: ServerClock) -> String {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime]
        return formatter.string(from: Date(timeIntervalSince1970: clock.secondsSince1970))
    }
}

final class Streamers: Sendable {
    let tasks: Mutex<[Task<Void, Never>]>
    init(tasks: consuming sending Mutex<[Task<Void, Never>]>) { self.tasks = tasks }
}

/// Mailboxes by what they are for.
final class Hub: Sendable {
    private struct Box {
        var id: ObjectIdentifier
        var key: String
        var mailbox: AsyncStream<String>.Continuation
    }
    private let boxes = Mutex<[Box]>([])

    func publish(_ text: String, _ key: String) -> Int {
        let listeners = boxes.withLock { $0.filter { $0.key == key } }
        for listener in listeners { listener.mailbox.yield(text) }
        return listeners.count
    }

    /// A conversation: one child sends what is in the mailbox, while this task reads what the client says.
    func serve(_ socket: WebSocket, _ key: String, _ answer: @escaping @Sendable (String) -> String?)
        async throws
    {
        // The oldest are dropped if the client does not read them.
        let (stream, mailbox) = AsyncStream.makeStream(
            of: String.self, bufferingPolicy: .bufferingNewest(200))
        let id = ObjectIdentifier(socket)
        boxes.withLock { $0.append(Box(id: id, key: key, mailbox: mailbox)) }
        defer { boxes.withLock { $0.removeAll { $0.id == id } } }
        try await socket.accept()
        try await withThrowingTaskGroup { group in
            group.addTask { for await text in stream { try await socket.send(text) } }
            defer { group.cancelAll() }
            for try await message in socket {
                guard case .text(let text) = message else { continue }
                if text == "unsubscribe", answer("ping") != nil { return }
                if let reply = answer(text) { mailbox.yield(reply) }
            }
        }
    }
}

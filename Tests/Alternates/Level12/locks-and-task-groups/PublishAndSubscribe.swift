// Different: a lock instead of an actor; the streamers are one structured task with three children; a task is a child of
// its conversation, which ends all of them when it ends; a member more in every event.
import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

@main
public struct PublishAndSubscribe: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        app.limits.bodyBytes = 65_536
        let clock = app.clock
        let audience = Audience()
        app.webSocket("/updates/{topic}") { socket in
            let key = Audience.Key.topic(socket.parameters["topic"] ?? "")
            try await socket.accept()
            audience.add(socket, key)
            defer { audience.remove(socket, key) }
            while true { _ = try await socket.receive() }
        }
        app.post("/publish/{topic}") { request in
            let topic = request.parameters["topic"] ?? ""
            guard let data = try? request.json(as: JSONValue.self) else {
                return try .json(["error": "This is no json.", "topic": topic], status: 400)
            }
            let count = try audience.tell(
                .object([
                    "topic": .string(topic), "data": data, "timestamp": .string(clock.timestamp),
                    "version": .int(1),
                ]), .topic(topic))
            return try .json(
                JSONValue.object(["topic": .string(topic), "subscribers": .int(count), "ok": .bool(true)]))
        }
        let streamer = Streamer(audience, clock)
        app.onStartup { streamer.start() }
        app.onShutdown { await streamer.stop() }
        app.webSocket("/stream/{data_type}") { socket in
            let name = socket.parameters["data_type"] ?? ""
            guard Streamer.types.contains(name) else {
                return try await socket.close(code: 1008, reason: "Invalid data type")
            }
            // On the list before the handshake is answered: nobody can miss an update.
            audience.add(socket, .stream(name))
            defer { audience.remove(socket, .stream(name)) }
            try await socket.accept()
            while true {
                switch try await socket.receive() {
                case .text("ping"): try await socket.sendJSON(["type": "pong", "data_type": name])
                case .text("unsubscribe"): return try await socket.close()
                default: break
                }
            }
        }
        app.webSocket("/ws/tasks") { socket in
            try await socket.accept()
            try await converse(socket, clock)
        }
        return app
    }
}

extension ServerClock {
    var timestamp: String {
        Date(timeIntervalSince1970: secondsSince1970).ISO8601Format(.init(includingFractionalSeconds: true))
    }
}

final class Audience: Sendable {
    enum Key: Hashable { case topic(String), stream(String) }
    private let members = Mutex<[(socket: WebSocket, key: Key)]>([])

    func add(_ socket: WebSocket, _ key: Key) { members.withLock { $0.append((socket, key)) } }
    func remove(_ socket: WebSocket, _ key: Key) {
        members.withLock { $0.removeAll { $0.socket === socket && $0.key == key } }
    }
    func tell(_ event: JSONValue, _ key: Key) throws -> Int {
        try members.withLock { members in
            let listeners = members.filter { $0.key == key }.map(\.socket)
            try listeners.broadcastJSON(event)
            return listeners.count
        }
    }
}

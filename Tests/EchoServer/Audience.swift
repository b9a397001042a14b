import Synchronization
import WebSocketEngine

/// Everyone connected to a room of `/broadcast`. From any thread.
final class Audience: Sendable {
    private let sockets = Mutex<Set<WebSocket>>([])

    func add(_ socket: WebSocket) { sockets.withLock { _ = $0.insert(socket) } }

    func remove(_ socket: WebSocket) { sockets.withLock { _ = $0.remove(socket) } }

    func broadcast(_ message: Message) { sockets.withLock { $0.broadcast(message) } }
}

/// The audience of each room. A room stays once it has been entered. From any thread.
final class Audiences: Sendable {
    private let rooms = Mutex<[String: Audience]>([:])

    func of(_ room: String) -> Audience {
        rooms.withLock { rooms in
            if let audience = rooms[room] { return audience }
            let audience = Audience()
            rooms[room] = audience
            return audience
        }
    }
}

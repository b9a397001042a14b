import Synchronization
import WebSocketEngine

/// Everyone connected to `/broadcast`. From any thread.
final class Audience: Sendable {
    private let sockets = Mutex<Set<WebSocket>>([])

    func add(_ socket: WebSocket) { sockets.withLock { _ = $0.insert(socket) } }

    func remove(_ socket: WebSocket) { sockets.withLock { _ = $0.remove(socket) } }

    func broadcast(_ message: Message) { sockets.withLock { $0.broadcast(message) } }
}

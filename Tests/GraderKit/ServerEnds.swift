import Synchronization
import WebSocketEngine

/// The server's ends of a check's connections, beside the handlers that use them. The check asks for them with
/// `prepare: ends.watch`.
public final class ServerEnds: Sendable {
    /// By the client's port.
    private let sockets = Mutex<[Int: WebSocket]>([:])

    public init() {}

    public func watch(_ application: Application) {
        application.use { socket, handler in
            self.sockets.withLock { $0[socket.client.port] = socket }
            try await handler(socket)
        }
    }

    /// How many of the connections are open: accepted, and closed from neither side.
    public var openCount: Int { sockets.withLock { $0.values.count { $0.state == .open } } }

    /// Sends a text from the server to a client, who does nothing for it.
    public func send(_ text: String, to client: Client) throws { try send(.text(text), to: client) }

    /// Sends a client who does not read 16 MiB in one binary message. If the client has a `receiveBuffer` of its own
    /// size, this is more than systems buffer on the way: from now on the server's `send` to it has to wait.
    public func fill(_ client: Client) throws {
        client.note("is sent 16 MiB and does not read")
        try send(.binary([UInt8](repeating: 0, count: 16 << 20)), to: client)
    }

    private func send(_ message: Message, to client: Client) throws {
        guard let socket = sockets.withLock({ $0[client.port] }) else {
            throw Failure(.wrong, ["the check itself failed: \(client.name)'s connection is not watched"])
        }
        // On the socket's own loop, and nothing of the check happens before.
        [socket].broadcast(message)
        try client.waitForLoops()
    }
}

extension Classroom {
    /// Returns when a server with one event loop has taken what was sent to it before, also what it does not answer:
    /// sockets are read in the order in which something came.
    public func settle() throws { _ = try request("GET", "/", body: nil, silently: true) }
}

import LevelKit
import WebSocketEngine

/// Level 03 – Connection manager. Read chapter 3 of Course.md first.
///
/// Write a chat in which everyone hears everyone, and clients are known by their numbers:
///
/// - A client connects to `/ws/{client_id}`. An id that is no `Int` is refused with status 400, and one that is in use
///   with 409, both before the handshake is accepted. The client that has the id already notices nothing.
/// - Everyone connected, including the client in question, is told `Client 7 joined` when it has been accepted.
/// - A text `hi` of client 7 reaches everyone, including client 7, as `Client 7: hi`. Binary messages are ignored.
/// - The text `/to 9 hi` reaches client 9 alone, as `Client 7 (only you): hi`. If there is no client 9, client 7
///   alone is told `Client 9 is not here`; if the id or the message is missing, or the id is no `Int`, client 7 alone
///   is told `Usage: /to ID MESSAGE`.
/// - When a client has left, in whichever way, everyone still connected is told `Client 7 left`. From then on the id
///   is free again.
@main
public struct Connections: Level {
    public static var title: String { "Connection manager" }

    public static func makeApplication() -> Application {
        let manager = ConnectionManager()
        let app = Application()
        app.webSocket("/ws/{client_id}") { socket in try await welcome(socket, manager) }
        return app
    }

    /// Called once for every client. From level 02: whichever way out is taken, the client leaves once.
    static func welcome(_ socket: WebSocket, _ manager: ConnectionManager) async throws {
        guard let id = try await identify(socket, manager) else { return }
        do {
            try await socket.accept()
            await manager.join(id, socket)
            try await converse(socket, id, manager)
        } catch {
            await manager.leave(id)
            throw error
        }
        await manager.leave(id)
    }

    /// The client's id, reserved for it; nil if the client was refused.
    ///
    /// 7. Make an `Int` of `socket.parameters["client_id"]`. If that fails, `try await socket.reject(status: 400)`.
    /// 8. Reserve the id with the manager. If that fails, `reject` with status 409.
    static func identify(_ socket: WebSocket, _ manager: ConnectionManager) async throws -> Int? {
        // solution
        guard let id = socket.parameters["client_id"].flatMap({ Int($0) }) else {
            try await socket.reject(status: 400, "The id of a client is an integer.\n")
            return nil
        }
        guard await manager.reserve(id) else {
            try await socket.reject(status: 409, "Client \(id) is connected already.\n")
            return nil
        }
        return id
        // stub: throw NotImplemented("find out who the client is, and refuse it if it may not come in")
        // end
    }

    /// Passes on what a client says.
    ///
    /// 10. For each text, look at `Line(text)`: broadcast it, or send it to the one it is for, or tell the sender alone
    ///     what is wrong.
    static func converse(_ socket: WebSocket, _ id: Int, _ manager: ConnectionManager) async throws {
        // solution
        for try await message in socket {
            guard case .text(let text) = message else { continue }
            switch Line(text) {
            case .toAll(let text):
                await manager.broadcast("Client \(id): \(text)")
            case .toOne(let recipient, let text):
                if await !manager.send("Client \(id) (only you): \(text)", to: recipient) {
                    try await socket.send("Client \(recipient) is not here")
                }
            case .malformed:
                try await socket.send("Usage: /to ID MESSAGE")
            }
        }
        // stub: throw NotImplemented("pass on what the client says")
        // end
    }

    public static var samples: [Sample] {
        [
            .text("Hello, everyone!", to: "/ws/{client_id}"),
            .text("/to 9 Hello, you!", to: "/ws/{client_id}"),
            .text("/to 9", to: "/ws/{client_id}"),
        ]
    }
}

/// Knows who is connected, and reaches one or all of them.
///
/// None of its methods contains an `await`, so that nobody joins or leaves in the middle of one.
actor ConnectionManager {
    // 1. Remember the socket of each client that has joined, by its id, and the ids that are only reserved.
    // solution
    private var sockets: [Int: WebSocket] = [:]
    private var reserved: Set<Int> = []
    // end

    /// 2. Sets an id aside for a client that is about to be accepted. False if it is in use or set aside already.
    func reserve(_ id: Int) -> Bool {
        // solution
        guard sockets[id] == nil else { return false }
        return reserved.insert(id).inserted
        // stub: false
        // end
    }

    /// 3. A client has been accepted: add it, then tell everyone.
    func join(_ id: Int, _ socket: WebSocket) {
        // solution
        reserved.remove(id)
        sockets[id] = socket
        broadcast("Client \(id) joined")
        // end
    }

    /// 4. A client is gone: forget it, then tell everyone who is left. If it has never joined, nobody need know; but
    ///    its id must be free again.
    func leave(_ id: Int) {
        // solution
        reserved.remove(id)
        guard sockets.removeValue(forKey: id) != nil else { return }
        broadcast("Client \(id) left")
        // end
    }

    /// 5. Tells everyone. The engine's `broadcast` waits for nobody and passes over sockets that are closed.
    func broadcast(_ text: String) {
        // solution
        sockets.values.broadcast(text)
        // end
    }

    /// 6. Tells one client, and nobody else. False if it is not here.
    func send(_ text: String, to id: Int) -> Bool {
        // solution
        guard let socket = sockets[id] else { return false }
        // Not socket.send(text): that throws if the recipient is just going, and would end the sender's handler.
        [socket].broadcast(text)
        return true
        // stub: false
        // end
    }
}

/// What a client may mean by a text.
enum Line: Equatable {
    case toAll(String)
    case toOne(Int, String)
    /// Begins like a private message, but is none.
    case malformed

    /// 9. `/to` alone, or followed by a space, begins a private message. `split(separator:maxSplits:…)` cuts the text
    ///    at the first two spaces and leaves all others in the message.
    init(_ text: String) {
        // solution
        guard text == "/to" || text.hasPrefix("/to ") else {
            self = .toAll(text)
            return
        }
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count == 3, let id = Int(parts[1]), !parts[2].isEmpty {
            self = .toOne(id, String(parts[2]))
        } else {
            self = .malformed
        }
        // stub: self = .toAll(text)
        // end
    }
}

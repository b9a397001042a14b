import LevelKit
import Synchronization
import WebSocketEngine

// Given: handlers in which everything can go wrong. There is nothing to change here.

extension CloseCodes {
    /// Does what the client says, in JSON.
    static func obey(_ socket: WebSocket, _ tally: Tally) async throws {
        tally.count(\.calls, 1)
        try await socket.accept()
        while true {
            let command: Command = try await socket.receiveJSON()
            switch command.action {
            case .echo:
                let text = command.text ?? ""
                if text.count > 1000 { throw RuleError.tooLong(limit: 1000) }
                try await socket.sendJSON(["type": "echo", "text": text])
            case .throw:
                let code = CloseCode(rawValue: command.code ?? 4000)
                throw WebSocketException(code: code, reason: command.text ?? "")
            case .admin: throw RuleError.notAllowed(command.text ?? "admin")
            case .fail: throw DatabaseError(password: "hunter2")
            case .bye:
                try await socket.close(reason: "Bye")
                throw DatabaseError(password: "hunter2")
            case .cancel: throw CancellationError()
            case .leave: return
            }
        }
    }

    /// Errors before the handshake is answered.
    static func door(_ socket: WebSocket) async throws {
        switch socket.parameters["who"] {
        case "member": try await socket.accept()
        case "robot": try await socket.reject(status: 403, "No robots.\n")
        default: throw WebSocketException(code: 4003, reason: "Members only")
        }
    }
}

/// A client breaks a rule of this server.
enum RuleError: Error {
    case notAllowed(String)
    case tooLong(limit: Int)
}

/// An error whose text is nobody's business.
struct DatabaseError: Error { var password: String }

/// What a client may ask of `/ws`.
struct Command: Decodable {
    enum Action: String, Decodable { case echo, `throw`, admin, fail, bye, cancel, leave }
    var action: Action
    var code: UInt16?
    var text: String?
}

/// Counts the handlers: how often `obey` was called, and how many are running, with all that is around them.
final class Tally: Sendable {
    struct Counts: Encodable { var calls = 0, running = 0 }
    private let state = Mutex(Counts())
    var counts: Counts { state.withLock { $0 } }

    func count(_ number: WritableKeyPath<Counts, Int> & Sendable, _ step: Int) {
        state.withLock { $0[keyPath: number] += step }
    }

    func counting(_ handler: @escaping Application.WebSocketHandler) -> Application.WebSocketHandler {
        { socket in
            self.count(\.running, 1)
            defer { self.count(\.running, -1) }
            try await handler(socket)
        }
    }
}

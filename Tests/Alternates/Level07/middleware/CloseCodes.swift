import Foundation
import LevelKit
import WebSocketEngine

/// A middleware for all routes; the JSON is written as a dictionary with members of its own; the reason is cut from
/// the end.
@main
public struct CloseCodes: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let tally = Tally()
        app.use { socket, handler in
            let running = socket.path == "/ws"
            if running { tally.count(\.running, 1) }
            defer { if running { tally.count(\.running, -1) } }
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await handler(socket))
            } catch {
                outcome = .failure(error)
            }
            guard case .failure(let error) = outcome else { return }
            if error is WebSocketDisconnect || error is CancellationError { throw error }
            let (code, text) = describe(error)
            let told: [String: Any] = [
                "message": text, "code": code.rawValue, "type": "error", "fatal": true,
            ]
            let json = try JSONSerialization.data(withJSONObject: told, options: [.prettyPrinted])
            do {
                if socket.state == .connecting { try await socket.accept() }
                try await socket.send(String(decoding: json, as: UTF8.self))
            } catch is WebSocketDisconnect {
                // Gone: what is thrown below goes to the operator all the same.
            }
            var reason = text
            while reason.utf8.count > 123 { reason.removeLast() }
            throw code == .internalError && text == "Internal error"
                ? error : WebSocketException(code: code, reason: reason)
        }
        app.webSocket("/ws") { try await obey($0, tally) }
        app.webSocket("/ws/door/{who}", door)
        app.get("/handlers") { _ in try .json(tally.counts) }
        return app
    }

    private static func describe(_ error: any Error) -> (CloseCode, String) {
        if let exception = error as? WebSocketException {
            return exception.code.mayBeSent ? (exception.code, exception.reason) : (1011, "Internal error")
        }
        if case .unexpectedMessage? = error as? WebSocketError { return (1003, "Unexpected kind of message") }
        if error is DecodingError { return (1007, "Invalid message") }
        if let rule = error as? RuleError {
            return switch rule {
            case .notAllowed(let what): (1008, "Not allowed: " + what)
            case .tooLong(let limit): (1009, "Longer than \(limit) characters")
            }
        }
        return (1011, "Internal error")
    }
}

extension WebSocket {
    fileprivate var path: String { request.path }
}

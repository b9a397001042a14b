import LevelKit
import WebSocketEngine

/// Level 02 – Disconnect handling. Read chapter 2 of Course.md first.
///
/// Write an echo server that always knows who is there, whichever way its clients leave:
///
/// - On `/ws`, each text `m` is answered with `Echo: m`, and each binary message with the same bytes.
/// - The text `quit` is not answered: the server closes that connection with code 1000 and reason `Goodbye`.
/// - `GET /stats` answers `{"active":n,"total":n,"last":{"code":c,"reason":r}}`: the connections that are open, all
///   that have ever been accepted, and how the latest of them to end has ended; `last` is `null` before the first end.
/// - `last` holds the code and reason of the Close frame as they came; 1005 for a Close frame without a code; 1006
///   for a connection that ended without a Close frame; 1000 and `Goodbye` after `quit`.
/// - A connection is counted once when it is accepted and counted down once when it ends. A client that vanishes
///   before it is accepted is never counted.
@main
public struct DisconnectHandling: Level {
    public static func makeApplication() -> Application {
        let visits = Visits()
        let app = Application()
        app.webSocket("/ws") { socket in try await welcome(socket, visits) }
        app.get("/stats") { _ in try .json(await visits.stats) }
        return app
    }

    /// Called once for every client that connects to `/ws`.
    ///
    /// 4. Accept the handshake, then tell `visits` that a client has arrived. In this order!
    /// 5. Run `converse`, which you write below.
    /// 6. Tell `visits` how the connection ended: `socket.disconnect` knows. Do so once, and also when `converse` has
    ///    thrown; then throw its error on.
    static func welcome(_ socket: WebSocket, _ visits: Visits) async throws {
        throw NotImplemented("accept the client, count it, converse with it, and count it down")
    }

    /// Talks with one client until one of the two ends the conversation.
    ///
    /// 7. Answer every message, as in level 01; `answer(to:)` below knows how.
    /// 8. At the text `quit`, `close` the connection with its code and reason, and return.
    static func converse(_ socket: WebSocket) async throws {
        throw NotImplemented("answer the messages until the client leaves or says quit")
    }

    /// From level 01.
    static func answer(to message: Message) -> Message {
        switch message {
        case .text(let text): .text("Echo: \(text)")
        case .binary: message
        }
    }

    public static var samples: [Sample] { [.text("Hello!", to: "/ws"), .text("quit", to: "/ws")] }
}

/// Who is here, who has been here, and how the last one left.
///
/// An actor, because many handlers call it at the same time: it lets them in one after the other.
actor Visits {
    // 1. Keep the numbers in a property of type Stats that others may read and only the actor may change.
    var stats: Stats { get throws { throw NotImplemented("keep the numbers in Visits") } }

    /// 2. A client has been accepted.
    func arrived() {
    }

    /// 3. A client that had arrived is gone. `end` is nil if its handler failed while the connection was open; then
    ///    leave `last` as it is.
    func left(_ end: WebSocketDisconnect?) {
    }
}

/// What `GET /stats` answers.
struct Stats: Encodable {
    struct End: Encodable {
        var code: CloseCode
        var reason: String
    }

    var active = 0
    var total = 0
    /// Nil before the first end.
    var last: End?

    private enum CodingKeys: CodingKey { case active, total, last }

    // Written by hand for one line's sake: left to itself, Swift omits a nil where the contract wants null.
    func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: CodingKeys.self)
        try members.encode(active, forKey: .active)
        try members.encode(total, forKey: .total)
        try members.encode(last, forKey: .last)
    }
}

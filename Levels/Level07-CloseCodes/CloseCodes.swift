import LevelKit
import WebSocketEngine

/// Level 07 – Close codes. Read chapter 7 of Course.md first.
///
/// Write a wrapper that may stand around any handler. What the handler throws reaches the client as
/// `{"type":"error","code":CODE,"message":MESSAGE}`, and then as a close with this code and, as its reason, the message:
///
/// | thrown                                             | code  | message                                         |
/// |----------------------------------------------------|-------|-------------------------------------------------|
/// | `WebSocketException`, if its code may be sent      | its   | its reason                                      |
/// | `WebSocketError.unexpectedMessage`                 | 1003  | `Unexpected kind of message`                    |
/// | `DecodingError`                                    | 1007  | `Invalid message`                               |
/// | `RuleError.notAllowed(what)`                       | 1008  | `Not allowed: WHAT`                             |
/// | `RuleError.tooLong(limit)`                         | 1009  | `Longer than LIMIT characters`                  |
/// | anything else                                      | 1011  | `Internal error`, and nothing of the error      |
///
/// - `WebSocketDisconnect` and `CancellationError` are no errors: nothing is sent, and they are thrown on.
/// - The reason is the message, or as many whole characters of it as fit in 123 bytes.
/// - If the handler had not accepted yet, the wrapper does. One that refused the handshake is left alone.
/// - Of what the client is told, only "anything else" is thrown on, so that the engine tells the operator, also if
///   the connection is over and the client cannot be told.
/// - The handler is called once, and nothing follows the close.
@main
public struct CloseCodes: Level {
    /// Puts the wrapper around a handler.
    static func handlingErrors(
        _ handler: @escaping Application.WebSocketHandler
    ) -> Application.WebSocketHandler {
        { socket in
            // 1. Call the handler. What it throws, sort with `Problem(error)`; some errors are thrown on at once.
            // 2. Tell the client: accept if need be, send the error as JSON, close. It may be gone already.
            // 3. Throw on what the operator must know.
            throw NotImplemented("call the handler, and tell the client what went wrong")
        }
    }

    /// 4. The longest beginning of the text, in whole characters, that fits into a Close frame: 125 bytes of a control
    ///    frame less two for the code (RFC 6455 §5.5.1).
    static func shortened(_ reason: String) -> String {
        return reason
    }

    // MARK: - Given; the handlers are in Handlers.swift

    public static func makeApplication() -> Application {
        let app = Application()
        let tally = Tally()
        app.webSocket("/ws", tally.counting(handlingErrors { try await obey($0, tally) }))
        app.webSocket("/ws/door/{who}", handlingErrors(door))
        app.get("/handlers") { _ in try .json(tally.counts) }
        return app
    }

    public static var samples: [Sample] {
        [
            .json(#"{"action":"echo","text":"hi"}"#, to: "/ws"),
            .json(#"{"action":"throw","code":4018,"text":"I am a teapot"}"#, to: "/ws"),
            .json(#"{"action":"throw","code":1006,"text":"never sent"}"#, to: "/ws"),
            .json(#"{"action":"admin"}"#, to: "/ws"), .json(#"{"action":"fail"}"#, to: "/ws"),
            .json(#"{"action":"bye"}"#, to: "/ws"),
            .json(#"{"action":"cancel"}"#, to: "/ws"), .json(#"{"action":"leave"}"#, to: "/ws"),
            .text("no JSON", to: "/ws"), .binary("00 ff", to: "/ws"),
        ]
    }
}

/// What the client is told about an error.
struct Problem {
    var code = CloseCode.internalError
    var message = "Internal error"
    /// False if somebody should look into it.
    var isForeseen = true

    /// 5. Find code and message of an error; see the table above. Only what is not in it is unforeseen.
    init(_ error: any Error) {
    }
}

/// The message that precedes the close.
struct ErrorMessage: Encodable {
    var type = "error"
    var code: CloseCode
    var message: String
}

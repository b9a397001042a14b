import LevelKit
import WebSocketEngine

/// A list of rules, the first that fits counts; an actor for each connection tells the client; the reason is put
/// together character by character.
@main
public struct CloseCodes: Level {
    typealias Rule = @Sendable (any Error) -> Ending?

    static let rules: [Rule] = [
        {
            ($0 as? WebSocketException).flatMap {
                $0.code.mayBeSent ? Ending(code: $0.code, message: $0.reason) : nil
            }
        },
        {
            if case WebSocketError.unexpectedMessage = $0 {
                Ending(code: 1003, message: "Unexpected kind of message")
            } else {
                nil
            }
        },
        { $0 is DecodingError ? Ending(code: 1007, message: "Invalid message") : nil },
        {
            if case RuleError.notAllowed(let what) = $0 {
                Ending(code: 1008, message: "Not allowed: \(what)")
            } else {
                nil
            }
        },
        {
            if case RuleError.tooLong(let n) = $0 {
                Ending(code: 1009, message: "Longer than \(n) characters")
            } else {
                nil
            }
        },
    ]

    static func handlingErrors(
        _ handler: @escaping Application.WebSocketHandler
    ) -> Application.WebSocketHandler {
        { socket in
            do {
                try await handler(socket)
            } catch let disconnect as WebSocketDisconnect {
                throw disconnect
            } catch let cancellation as CancellationError {
                throw cancellation
            } catch {
                let ending = rules.lazy.compactMap { $0(error) }.first
                let herald = Herald(socket)
                guard let ending else {
                    await herald.tell(Ending(code: 1011, message: "Internal error"))
                    throw error
                }
                await herald.tell(ending)
            }
        }
    }

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

struct Ending: Encodable, Sendable {
    var type = "error"
    var code: CloseCode
    var message: String

    var reason: String {
        var reason = ""
        for character in message {
            if (reason + String(character)).utf8.count > 123 { break }
            reason.append(character)
        }
        return reason
    }
}

actor Herald {
    private let socket: WebSocket

    init(_ socket: WebSocket) { self.socket = socket }

    /// Whoever has left need not be told.
    func tell(_ ending: Ending) async {
        do {
            if socket.state == .connecting { try await socket.accept() }
            try await socket.sendJSON(ending)
            try await socket.close(code: ending.code, reason: ending.reason)
        } catch {
            return
        }
    }
}

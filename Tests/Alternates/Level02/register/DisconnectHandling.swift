// Different: nothing is counted; a register holds every socket there ever was and is asked about them. Closing is
// done in middleware, for an error that the handler throws. The JSON has members of its own beside the contract's.
import LevelKit
import WebSocketEngine

@main
public struct DisconnectHandling: Level {
    actor Register {
        private var present: Set<WebSocket> = []
        private var past: [WebSocketDisconnect] = []

        func enter(_ socket: WebSocket) { present.insert(socket) }

        func remove(_ socket: WebSocket) {
            guard present.remove(socket) != nil else { return }
            past.append(socket.disconnect ?? WebSocketDisconnect(code: .internalError))
        }

        var report: Report {
            let gone = past.count
            return Report(active: present.count, total: present.count + gone, gone: gone, last: past.last)
        }
    }

    struct Report: Encodable {
        struct End: Encodable {
            var code: UInt16
            var reason: String
            var clean: Bool
        }
        enum Last: Encodable {
            case none
            case end(End)

            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                switch self {
                case .none: try container.encodeNil()
                case .end(let end): try container.encode(end)
                }
            }
        }
        var active: Int
        var total: Int
        var gone: Int
        var last: Last

        init(active: Int, total: Int, gone: Int, last: WebSocketDisconnect?) {
            (self.active, self.total, self.gone) = (active, total, gone)
            self.last = .none
            if let last {
                let clean = last.code != .abnormalClosure
                let reason = clean ? last.reason : ""
                self.last = .end(End(code: last.code.rawValue, reason: reason, clean: clean))
            }
        }
    }

    struct Quit: Error {}

    public static func makeApplication() -> Application {
        let register = Register()
        let app = Application()
        app.use { socket, handler in
            let outcome: Result<Void, any Error>
            do { outcome = .success(try await handler(socket)) } catch { outcome = .failure(error) }
            if case .failure(is Quit) = outcome { try await socket.close(reason: "Goodbye") }
            await register.remove(socket)
            if case .failure(let error) = outcome, !(error is Quit) { throw error }
        }
        app.webSocket("/ws") { socket in
            try await socket.accept()
            await register.enter(socket)
            for try await message in socket {
                guard case .text(let text) = message else {
                    try await socket.send(message)
                    continue
                }
                if text == "quit" { throw Quit() }
                try await socket.send("Echo: \(text)")
            }
        }
        app.get("/stats") { _ in try .json(await register.report) }
        return app
    }
}

// Different: a class protected by a lock, which needs no await, so that a defer can count down; receive() in a loop
// instead of for-await; the JSON as one line of text, with its keys in another order.
import LevelKit
import Synchronization
import WebSocketEngine

@main
public struct DisconnectHandling: Level {
    final class Counter: Sendable {
        private struct Numbers {
            var open = 0
            var accepted = 0
            var last: WebSocketDisconnect?
        }
        private let numbers = Mutex(Numbers())

        func up() {
            numbers.withLock {
                $0.open += 1
                $0.accepted += 1
            }
        }

        func down(_ disconnect: WebSocketDisconnect?) {
            numbers.withLock {
                $0.open -= 1
                $0.last = disconnect
            }
        }

        func json() throws -> String {
            let numbers = numbers.withLock { $0 }
            var last = "null"
            if let end = numbers.last {
                guard case .text(let reason) = try Message.json(end.reason) else { return "" }
                last = "{ \"reason\": \(reason), \"code\": \(end.code) }"
            }
            return "{ \"last\": \(last), \"total\": \(numbers.accepted), \"active\": \(numbers.open) }\n"
        }
    }

    public static func makeApplication() -> Application {
        let counter = Counter()
        let app = Application()
        app.webSocket("/ws") { socket in
            try await socket.accept()
            counter.up()
            defer { counter.down(socket.disconnect) }
            while true {
                switch try await socket.receive() {
                case .text("quit"): return try await socket.close(reason: "Goodbye")
                case .text(let text): try await socket.send("Echo: " + text)
                case .binary(let bytes): try await socket.send(bytes)
                }
            }
        }
        app.get("/stats") { _ in
            Response(headers: ["Content-Type": "application/json"], body: Array(try counter.json().utf8))
        }
        return app
    }
}

// Different: a class protected by a lock, an array of seats in the place of the dictionary, receive() in a loop, and
// a defer that frees the seat, which needs no await here. A private message is read by hand.
import LevelKit
import Synchronization
import WebSocketEngine

@main
public struct Connections: Level {
    public static var title: String { "Connection manager" }

    final class Hall: Sendable {
        private struct Seat {
            var id: Int
            var socket: WebSocket
            var isTaken = false
        }
        private let seats = Mutex<[Seat]>([])

        func reserve(_ id: Int, for socket: WebSocket) -> Bool {
            seats.withLock { seats in
                if seats.contains(where: { $0.id == id }) { return false }
                seats.append(Seat(id: id, socket: socket))
                return true
            }
        }

        func take(_ id: Int) {
            seats.withLock { seats in
                for index in seats.indices where seats[index].id == id { seats[index].isTaken = true }
                Self.tell("Client \(id) joined", seats)
            }
        }

        func free(_ id: Int) {
            seats.withLock { seats in
                guard let index = seats.firstIndex(where: { $0.id == id }) else { return }
                let seat = seats.remove(at: index)
                if seat.isTaken { Self.tell("Client \(id) left", seats) }
            }
        }

        func tell(_ text: String) { seats.withLock { Self.tell(text, $0) } }

        func tell(_ text: String, to id: Int) -> Bool {
            seats.withLock { seats in
                let recipient = seats.filter { $0.id == id && $0.isTaken }
                Self.tell(text, recipient)
                return !recipient.isEmpty
            }
        }

        private static func tell(_ text: String, _ seats: [Seat]) {
            seats.filter(\.isTaken).map(\.socket).broadcast(text)
        }
    }

    public static func makeApplication() -> Application {
        let hall = Hall()
        let app = Application()
        app.webSocket("/ws/{client_id}") { socket in
            guard let text = socket.parameters["client_id"], let id = Int(text) else {
                return try await socket.reject(status: 422)
            }
            guard hall.reserve(id, for: socket) else { return try await socket.reject(status: 409) }
            defer { hall.free(id) }
            try await socket.accept()
            hall.take(id)
            while true {
                if case .text(let text) = try await socket.receive() {
                    if let answer = handle(text, from: id, in: hall) { try await socket.send(answer) }
                }
            }
        }
        return app
    }

    /// What the sender alone is answered, if anything.
    static func handle(_ text: String, from id: Int, in hall: Hall) -> String? {
        guard "\(text) ".hasPrefix("/to ") else {
            hall.tell("Client \(id): \(text)")
            return nil
        }
        let rest = text.dropFirst("/to ".count)
        guard let space = rest.firstIndex(of: " "), let recipient = Int(rest[..<space]) else {
            return "Usage: /to ID MESSAGE"
        }
        let message = rest[rest.index(after: space)...]
        if message.isEmpty { return "Usage: /to ID MESSAGE" }
        return hall.tell("Client \(id) (only you): \(message)", to: recipient)
            ? nil : "Client \(recipient) is not here"
    }
}

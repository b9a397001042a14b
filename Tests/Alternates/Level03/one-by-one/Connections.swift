// Different: the actor sends to one client after the other and passes over those that are gone; a connection is an
// actor of its own kind with its id in it; a private message is found with a regular expression.
import LevelKit
import WebSocketEngine

@main
public struct Connections: Level {
    public static var title: String { "Connection manager" }

    struct Member: Sendable {
        var id: Int
        var socket: WebSocket

        func tell(_ text: String) async throws {
            do {
                try await socket.send(text)
            } catch is WebSocketDisconnect {
                // Its own handler will see to that.
            }
        }
    }

    actor Members {
        private var taken: Set<Int> = []
        private var members: [Member] = []

        func take(_ id: Int) -> Bool { taken.insert(id).inserted }

        func add(_ member: Member) async throws {
            members.append(member)
            try await tellAll("Client \(member.id) joined")
        }

        func remove(_ id: Int) async throws {
            let count = members.count
            members.removeAll { $0.id == id }
            taken.remove(id)
            if members.count < count { try await tellAll("Client \(id) left") }
        }

        func tellAll(_ text: String) async throws {
            for member in members { try await member.tell(text) }
        }

        func tell(_ text: String, to id: Int) async throws -> Bool {
            guard let member = members.last(where: { $0.id == id }) else { return false }
            try await member.tell(text)
            return true
        }
    }

    public static func makeApplication() -> Application {
        let members = Members()
        let app = Application()
        app.webSocket("/ws/{client_id}") { socket in
            guard let id = Int(socket.parameters["client_id"] ?? "") else {
                try await socket.reject(status: 404, "No such client.\n")
                return
            }
            guard await members.take(id) else {
                try await socket.reject(status: 409, "That client is here already.\n")
                return
            }
            let result: Result<Void, any Error>
            do {
                try await socket.accept()
                let member = Member(id: id, socket: socket)
                try await members.add(member)
                try await serve(member, members)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            try await members.remove(id)
            try result.get()
        }
        return app
    }

    static func serve(_ member: Member, _ members: Members) async throws {
        for try await case .text(let text) in member.socket {
            if let match = text.wholeMatch(of: /\/to (\S+) (?s)(.+)/), let recipient = Int(match.1) {
                if try await !members.tell("Client \(member.id) (only you): \(match.2)", to: recipient) {
                    try await member.tell("Client \(recipient) is not here")
                }
            } else if text.contains(/^\/to(?: |$)/) {
                try await member.tell("Usage: /to ID MESSAGE")
            } else {
                try await members.tellAll("Client \(member.id): \(text)")
            }
        }
    }
}

import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

// A class with a lock for each room; users kept in a sorted array with their number of devices beside them. JSON from
// dictionaries, with a key more than the contract asks for.
@main
public struct Presence: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let rooms = Mutex<[String: Room]>([:])
        let find: @Sendable (String) -> Room = { name in
            rooms.withLock { rooms in
                let room = rooms[name] ?? Room(name)
                rooms[name] = room
                return room
            }
        }
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            let room = find(socket.parameters["room"] ?? "")
            let user = socket.parameters["user"] ?? ""
            try await socket.accept()
            try room.enter(socket, user)
            defer { room.exit(socket, user) }
            for try await message in socket {
                if case .text(let text) = message { try room.say(text, user) }
            }
        }
        app.get("/rooms/{room}") { request in
            let body = try JSONSerialization.data(
                withJSONObject: find(request.parameters["room"] ?? "").summary(), options: .prettyPrinted)
            return Response(headers: ["Content-Type": "application/json"], body: Array(body))
        }
        return app
    }
}

final class Room: Sendable {
    private struct Contents {
        var users: [(name: String, devices: Int)] = []
        var sockets: [WebSocket] = []
    }

    private let name: String
    private let contents = Mutex(Contents())

    init(_ name: String) { self.name = name }

    func enter(_ socket: WebSocket, _ user: String) throws {
        try contents.withLock { contents in
            contents.sockets.append(socket)
            if let index = contents.users.firstIndex(where: { $0.name == user }) {
                contents.users[index].devices += 1
                try tell(contents, [socket])
            } else {
                let index = contents.users.firstIndex { $0.name > user } ?? contents.users.count
                contents.users.insert((user, 1), at: index)
                try tell(contents, contents.sockets)
            }
        }
    }

    func exit(_ socket: WebSocket, _ user: String) {
        contents.withLock { contents in
            contents.sockets.removeAll { $0 == socket }
            guard let index = contents.users.firstIndex(where: { $0.name == user }) else { return }
            contents.users[index].devices -= 1
            if contents.users[index].devices > 0 { return }
            contents.users.remove(at: index)
            do { try tell(contents, contents.sockets) } catch { print(error) }
        }
    }

    private func tell(_ contents: Contents, _ sockets: [WebSocket]) throws {
        let list: [String: Any] = [
            "type": "presence", "room": name, "users": contents.users.map(\.name),
            "count": contents.users.count,
        ]
        let data = try JSONSerialization.data(withJSONObject: list)
        sockets.broadcast(String(decoding: data, as: UTF8.self))
    }

    func say(_ text: String, _ user: String) throws {
        let sockets = contents.withLock { $0.sockets }
        try sockets.broadcastJSON(["type": "message", "room": name, "user": user, "message": text])
    }

    func summary() -> [[String: Any]] {
        contents.withLock { $0.users.map { ["user": $0.name, "devices": $0.devices] } }
    }
}

import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

// A class with a lock instead of an actor, arrays instead of sets, receive() instead of for-await, JSON from a
// dictionary with a key more than the contract asks for.
@main
public struct Rooms: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let rooms = LockedRooms()
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            let room = socket.parameters["room"] ?? ""
            let user = socket.parameters["user"] ?? ""
            try await socket.accept()
            try rooms.add(socket, user, to: room)
            defer { rooms.remove(socket, user, from: room) }
            while true {
                guard case .text(let text) = try await socket.receive() else { continue }
                try rooms.tell(room, ["type": "message", "user": user, "message": text])
            }
        }
        app.get("/rooms") { _ in
            let rooms = rooms.counts().map { ["members": $0.1, "name": $0.0] as [String: any Sendable] }
            let body = try JSONSerialization.data(withJSONObject: rooms, options: .prettyPrinted)
            return Response(headers: ["Content-Type": "application/json"], body: Array(body))
        }
        return app
    }
}

final class LockedRooms: Sendable {
    private let sockets = Mutex<[(name: String, members: [WebSocket])]>([])

    func add(_ socket: WebSocket, _ user: String, to room: String) throws {
        sockets.withLock { rooms in
            if let index = rooms.firstIndex(where: { $0.name == room }) {
                rooms[index].members.append(socket)
            } else {
                rooms.append((room, [socket]))
                rooms.sort { $0.name < $1.name }
            }
        }
        try tell(room, ["type": "system", "user": user, "message": "\(user) joined"])
    }

    func remove(_ socket: WebSocket, _ user: String, from room: String) {
        sockets.withLock { rooms in
            guard let index = rooms.firstIndex(where: { $0.name == room }) else { return }
            rooms[index].members.removeAll { $0 === socket }
            if rooms[index].members.isEmpty { rooms.remove(at: index) }
        }
        do {
            try tell(room, ["type": "system", "user": user, "message": "\(user) left"])
        } catch {
            print("\(user) left unheard: \(error)")
        }
    }

    func tell(_ room: String, _ event: [String: String]) throws {
        var event = event
        event["room"] = room
        event["at"] = "\(Date())"
        let data = try JSONEncoder().encode(event)
        let members = sockets.withLock { rooms in rooms.first { $0.name == room }?.members ?? [] }
        members.broadcast(String(decoding: data, as: UTF8.self))
    }

    func counts() -> [(String, Int)] {
        sockets.withLock { rooms in rooms.map { ($0.name, $0.members.count) } }
    }
}

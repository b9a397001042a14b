import LevelKit
import WebSocketEngine

/// Level 11 – Presence. Read chapter 11 of Course.md first.
///
/// The rooms of level 04 at `/ws/rooms/{room}/{user}` show who is here. A connection is a device; a user may have
/// several in a room, and is online there as long as one of them is connected.
///
/// - The users of a room are told as `{"type":"presence","room":"tea","users":["ana","ben"]}`: sorted as Swift sorts
///   strings, everyone once, however many devices they have. There are no notices of type `system`.
/// - A device that joins is sent the list, with its own user in it, before anything else.
/// - If its user was not online in the room before, all other devices in the room are sent the same list. If the user
///   was, nobody else is told anything.
/// - When the last device of a user has left, in whatever way, all who stay are sent the new list. Before that, nobody is
///   told anything.
/// - A text goes to every device in the room, the sender's too, as
///   `{"type":"message","room":"tea","user":"ana","message":"hi"}`. Binary is ignored.
/// - `GET /rooms/{room}` answers `[{"user":"ana","devices":2}]`, sorted by user.
@main
public struct Presence: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let rooms = Rooms()
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            let room = socket.parameters["room"] ?? ""
            let user = socket.parameters["user"] ?? ""
            try await socket.accept()
            try await rooms.join(socket, room: room, user: user)
            do {
                for try await case .text(let text) in socket {
                    try await rooms.say(text, room: room, user: user)
                }
            } catch {
                try await rooms.leave(socket, room: room, user: user)
                throw error
            }
            try await rooms.leave(socket, room: room, user: user)
        }
        app.get("/rooms/{room}") { request in
            try Response.json(await rooms.attendance(in: request.parameters["room"] ?? ""))
        }
        return app
    }

    public static var samples: [Sample] { [.text("Who is here?", to: "/ws/rooms/{room}/{user}")] }
}

/// Who is online in a room.
struct UserList: Encodable {
    var type = "presence"
    let room: String
    let users: [String]
}

/// What someone has said.
struct Utterance: Encodable {
    var type = "message"
    let room: String
    let user: String
    let message: String
}

/// A user of a room, in the answer to `GET /rooms/{room}`.
struct Attendance: Encodable {
    let user: String
    let devices: Int
}

/// Who is in which room, with which devices. An actor: its methods run one after the other.
actor Rooms {
    // solution
    /// The devices of each user of each room. No user is here without a device, and no room without a user.
    private var rooms: [String: [String: Set<WebSocket>]] = [:]
    // stub: // 1. What do the rooms remember? The devices of each user of each room.
    // end

    /// Lists a device and tells those whom it concerns.
    ///
    /// 2. Find out whether its user is online in the room. Then list the device.
    /// 3. Send the list to all devices in the room if the user is new, or else to this device alone. No `await` here.
    func join(_ socket: WebSocket, room: String, user: String) throws {
        // solution
        let isNew = rooms[room]?[user] == nil
        rooms[room, default: [:]][user, default: []].insert(socket)
        let listeners = isNew ? devices(in: room) : [socket]
        try listeners.broadcastJSON(userList(of: room))
        // stub: throw NotImplemented("list the device, and send the list to those whom it concerns")
        // end
    }

    /// Takes a device off the list, and tells those who stay if its user is gone.
    ///
    /// 4. Remove the device; with the last one, the user; and with the last user, the room.
    /// 5. If the user is gone, send the list to all devices in the room.
    func leave(_ socket: WebSocket, room: String, user: String) throws {
        // solution
        rooms[room]?[user]?.remove(socket)
        guard rooms[room]?[user]?.isEmpty == true else { return }
        rooms[room]?[user] = nil
        if rooms[room]?.isEmpty == true { rooms[room] = nil }
        try devices(in: room).broadcastJSON(userList(of: room))
        // stub: throw NotImplemented("take the device off the list, and tell those who stay if the user is gone")
        // end
    }

    /// 6. Pass a text on to every device in the room, as an `Utterance`.
    func say(_ text: String, room: String, user: String) throws {
        // solution
        try devices(in: room).broadcastJSON(Utterance(room: room, user: user, message: text))
        // stub: throw NotImplemented("pass a text on to the room")
        // end
    }

    /// 7. The users of a room and the number of their devices, sorted by user.
    func attendance(in room: String) throws -> [Attendance] {
        // solution
        rooms[room, default: [:]].map { Attendance(user: $0.key, devices: $0.value.count) }
            .sorted { $0.user < $1.user }
        // stub: throw NotImplemented("answer who is in the room, with how many devices")
        // end
    }
    // solution

    private func userList(of room: String) -> UserList {
        UserList(room: room, users: rooms[room, default: [:]].keys.sorted())
    }

    private func devices(in room: String) -> [WebSocket] {
        Array(rooms[room, default: [:]].values.joined())
    }
    // end
}

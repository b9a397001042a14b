import LevelKit
import WebSocketEngine

/// Level 04 – Rooms. Read chapter 4 of Course.md first.
///
/// Write a server with any number of rooms, in which people hear those of their own room and nobody else:
///
/// - A client joins a room under a name by connecting to `/ws/rooms/{room}/{user}`. Both names are used percent-decoded.
/// - Everything sent is JSON, `{"type":…,"room":…,"user":…,"message":…}`, and goes to everyone in the room.
/// - Who joins or leaves is told of with the type `system`: `ana joined` (ana hears it too), `ana left` (to those who
///   stay), however ana left. Texts are passed on with the type `message`, to the sender too. Binary is ignored.
/// - One name twice in a room is two members.
/// - `GET /rooms` answers `[{"name":…,"members":…}]`, sorted by name. A room that nobody is in does not exist.
@main
public struct Rooms: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let rooms = RoomManager()
        app.webSocket("/ws/rooms/{room}/{user}") { socket in try await talk(on: socket, in: rooms) }
        app.get("/rooms") { _ in
            // solution
            try Response.json(await rooms.summary())
            // stub: // 6. Answer with `Response.json(…)`: a `RoomSummary` for each room, sorted by name.
            // stub: throw NotImplemented("answer GET /rooms")
            // end
        }
        return app
    }

    /// One client's stay in its room, from the handshake to the end.
    static func talk(on socket: WebSocket, in rooms: RoomManager) async throws {
        let member = try Member(socket)
        try await socket.accept()
        try await rooms.join(member)
        do {
            for try await case .text(let text) in socket { try await rooms.say(text, as: member) }
        } catch {
            try await rooms.leave(member)
            throw error
        }
        try await rooms.leave(member)
    }

    public static var samples: [Sample] {
        [
            .text("Hello, room!", to: "/ws/rooms/{room}/{user}"),
            .text("She said \"hi\" {}", to: "/ws/rooms/{room}/{user}"),
        ]
    }
}

/// One connection in one room. Two connections are two members, whatever their names.
struct Member: Hashable {
    let socket: WebSocket
    let room: String
    let user: String

    /// 1. Take both names from `socket.parameters`. There the engine has put what stood in the place of `{room}` and
    ///    `{user}`.
    init(_ socket: WebSocket) throws {
        // solution
        guard let room = socket.parameters["room"], let user = socket.parameters["user"] else {
            throw WebSocketException(code: .internalError, reason: "The route names no room and user")
        }
        self.socket = socket
        self.room = room
        self.user = user
        // stub: throw NotImplemented("read the names of the room and the user")
        // end
    }
}

/// What goes over the wire: `system` for joining and leaving, `message` for what was said.
struct Event: Encodable {
    enum Kind: String, Encodable { case system, message }
    var type: Kind
    var room: String
    var user: String
    var message: String
}

/// One room in the answer to `GET /rooms`.
struct RoomSummary: Encodable {
    var name: String
    var members: Int
}

/// Who is in which room. An actor: its methods run one after the other, so that nobody sees a change half done.
actor RoomManager {
    // solution
    private var members: [String: Set<Member>] = [:]
    // stub: // 2. What does the manager remember? Members by the name of their room: a dictionary.
    // end

    /// 3. Add the member, to a new room if need be. Then tell everyone in it, the new member too.
    func join(_ member: Member) throws {
        // solution
        members[member.room, default: []].insert(member)
        try announce("\(member.user) joined", .system, about: member)
        // stub: throw NotImplemented("let a member join its room")
        // end
    }

    /// 4. Remove the member, and the room with its last member. Then tell those who are still in it.
    func leave(_ member: Member) throws {
        // solution
        members[member.room]?.remove(member)
        if members[member.room]?.isEmpty == true { members[member.room] = nil }
        try announce("\(member.user) left", .system, about: member)
        // stub: throw NotImplemented("let a member leave its room")
        // end
    }

    /// 5. Pass a text on to everyone in the member's room.
    func say(_ text: String, as member: Member) throws {
        // solution
        try announce(text, .message, about: member)
        // stub: throw NotImplemented("pass a text on to the room")
        // end
    }
    // solution

    /// Sends to everyone in a room but one, if one is given.
    func broadcast(_ event: Event, to room: String, excluding absent: Member? = nil) throws {
        let listeners = members[room, default: []].lazy.filter { $0 != absent }
        try listeners.map(\.socket).broadcastJSON(event)
    }

    /// The rooms in the order of their names.
    func summary() -> [RoomSummary] {
        members.map { RoomSummary(name: $0.key, members: $0.value.count) }.sorted { $0.name < $1.name }
    }

    private func announce(_ text: String, _ kind: Event.Kind, about member: Member) throws {
        let event = Event(type: kind, room: member.room, user: member.user, message: text)
        try broadcast(event, to: member.room)
    }
    // end
}

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
            // 6. Answer with `Response.json(…)`: a `RoomSummary` for each room, sorted by name.
            throw NotImplemented("answer GET /rooms")
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
        throw NotImplemented("read the names of the room and the user")
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
    // 2. What does the manager remember? Members by the name of their room: a dictionary.

    /// 3. Add the member, to a new room if need be. Then tell everyone in it, the new member too.
    func join(_ member: Member) throws {
        throw NotImplemented("let a member join its room")
    }

    /// 4. Remove the member, and the room with its last member. Then tell those who are still in it.
    func leave(_ member: Member) throws {
        throw NotImplemented("let a member leave its room")
    }

    /// 5. Pass a text on to everyone in the member's room.
    func say(_ text: String, as member: Member) throws {
        throw NotImplemented("pass a text on to the room")
    }
}

import Foundation
import LevelKit
import WebSocketEngine

/// Level 09 – History. Read chapter 9 of Course.md first.
///
/// The rooms of level 04 at `/ws/rooms/{room}/{user}` get a memory that survives the end of the server:
///
/// - Whoever joins is first sent `{"type":"history","room":"tea","messages":[…]}`: the room's last 50 messages, oldest
///   first, each as it was sent: `{"type":"message","room":"tea","user":"ana","message":"hi"}`. The array may be empty.
/// - Then comes what happens from now on, as in level 04, beginning with the own `"ana joined"` of type `system`. No
///   message is missing between the two or in both, also for one who joins while others talk. Notices are no history.
/// - A message is in a file of the data directory before anybody is sent it. A server that starts with the same
///   directory has the same history. The directory is made if it is missing, and nothing is written outside of it.
/// - The file only grows. If its last entry is torn, because the process was killed while it wrote, then this entry is
///   skipped, with a warning on the standard error. No other one is lost, neither before nor after.
@main
public struct History: Level {
    public static func makeApplication() -> Application { makeApplication(data: DataDirectory.path) }

    /// The server with its file in this directory. A restart is a second call with the same one.
    public static func makeApplication(data directory: String) -> Application {
        let rooms = Rooms(directory: directory)
        let app = Application()
        // An error keeps the server from starting: better than one that forgets.
        app.onStartup { try await rooms.load() }
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
        return app
    }

    public static var samples: [Sample] {
        [
            .text("Hello, everyone!", to: "/ws/rooms/{room}/{user}"),
            .text("Remember this.", to: "/ws/rooms/{room}/{user}"),
        ]
    }
}

/// A message or a notice, as clients are sent it.
struct Event: Codable {
    enum Kind: String, Codable { case system, message }

    let type: Kind
    let room: String
    let user: String
    let message: String
}

/// What a joiner is sent first.
struct Replay: Encodable {
    var type = "history"
    let room: String
    let messages: [Event]
}

/// Who is in which room, and what was said there.
actor Rooms {
    private let journal: Result<Journal, any Error>
    private var members: [String: Set<WebSocket>] = [:]
    private var histories: [String: [Event]] = [:]

    init(directory: String) { journal = Result { try Journal(in: directory) } }

    /// Takes over what the journal holds. Called before the server listens.
    func load() throws {
        for event in try journal.get().read() { remember(event) }
    }

    /// Adds a message to its room's history.
    ///
    /// 3. Append it. Keep the last 50.
    private func remember(_ event: Event) {
    }

    /// Sends the history, then lists the socket, then announces the join.
    ///
    /// 4. In this order, and without an `await`: nobody may speak in between. `[socket].broadcastJSON(…)` needs none.
    func join(_ socket: WebSocket, room: String, user: String) throws {
        throw NotImplemented("send the history, list the socket, announce the join")
    }

    /// Keeps a message and tells it to all in its room.
    ///
    /// 5. Append it to the journal, `try journal.get()`. Only when it is there, remember it and tell it.
    func say(_ message: String, room: String, user: String) throws {
        throw NotImplemented("keep the message, then tell it")
    }

    /// Takes the socket off the list and tells those who stay. A room without members keeps its history.
    func leave(_ socket: WebSocket, room: String, user: String) throws {
        members[room]?.remove(socket)
        if members[room]?.isEmpty == true { members[room] = nil }
        try tell(Event(type: .system, room: room, user: user, message: "\(user) left"))
    }

    private func tell(_ event: Event) throws { try members[event.room]?.broadcastJSON(event) }
}

/// An append-only file: one message in a line, as JSON, in which a line break is written `\n`. All rooms share it, so
/// that no name of a room becomes a name of a file.
struct Journal {
    private static let newline = UInt8(ascii: "\n")
    private let file: FileHandle
    private let path: String

    /// Opens the file in this directory and makes what is missing of both.
    init(in directory: String) throws {
        path = directory + "/messages.jsonl"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        if !FileManager.default.fileExists(atPath: path) { try Data().write(to: URL(fileURLWithPath: path)) }
        file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    }

    /// The messages in the file, oldest first.
    ///
    /// 1. Cut off what follows the last line break: a write that was not completed. It must leave the file too
    ///    (`truncate(atOffset:)`), or the next message would be glued to it. Warn on `FileHandle.standardError`; Swift 6
    ///    refuses C's `stderr`. Then decode line by line.
    func read() throws -> [Event] {
        return []
    }

    /// Adds a message at the end of the file. When this returns, the operating system has it, and it survives the end
    /// of this process, however sudden.
    ///
    /// 2. Write the event's JSON and the line break with one `file.write(contentsOf:)`.
    func append(_ event: Event) throws {
        throw NotImplemented("write the message and a line break to the file")
    }
}

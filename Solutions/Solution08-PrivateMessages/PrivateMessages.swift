import LevelKit
import WebSocketEngine

/// Level 08 – Private messages. Read chapter 8 of Course.md first.
///
/// Write a chat on `/ws/chat/{username}` in which two people can talk unheard by the others:
///
/// - Whoever connects holds the name in the path. All who are here, the newcomer too, are sent
///   `{"type":"system","message":"ana joined"}`, and those who stay `{"type":"system","message":"ana left"}`.
/// - A name that is taken is refused: the WebSocket opens and is closed with 4009 `Username taken`; nobody else
///   notices. By the time that `ana left` is heard, the name is free, however ana left.
/// - `/pm bob hi` sends `{"type":"pm","from":"ana","to":"bob","message":"hi"}` to ana and to bob, and to no one
///   else; once, if they are the same. The message is all that follows the space after the name.
/// - `/pm` to somebody who is not here, or without a name or a message: `{"type":"error","message":…}` to the sender
///   alone, and the conversation goes on. For somebody who is not here, the text contains that name.
/// - Any other text is for all: `{"type":"message","from":"ana","message":…}`, to the sender too. Only `/pm` alone and
///   `/pm` followed by a space are commands. Binary messages are ignored.
@main
public struct PrivateMessages: Level {
    public static func makeApplication() -> Application {
        let chat = Chat()
        let app = Application()
        app.webSocket("/ws/chat/{username}") { socket in
            try await talk(socket, as: socket.parameters["username"] ?? "", in: chat)
        }
        return app
    }

    /// Called once for every client that connects.
    ///
    /// 6. Accept. Then join; if the name is taken, throw a `WebSocketException` with code 4009.
    /// 7. Do what each text asks for. A `Complaint` that is thrown goes to this client as an error event.
    /// 8. Leave, whichever way the conversation ends – but only if you had joined.
    static func talk(_ socket: WebSocket, as name: String, in chat: Chat) async throws {
        // solution
        try await socket.accept()
        guard try await chat.join(socket, as: name) else {
            throw WebSocketException(code: 4009, reason: "Username taken")
        }
        do {
            for try await message in socket {
                guard case .text(let text) = message else { continue }
                do {
                    switch try Command.parse(text) {
                    case .say(let message): try await chat.say(message, from: name)
                    case .whisper(let recipient, let message):
                        try await chat.whisper(message, from: name, to: recipient)
                    }
                } catch let complaint as Complaint {
                    try await socket.sendJSON(Event(type: .error, message: complaint.message))
                }
            }
        } catch {
            try await chat.leave(name)
            throw error
        }
        try await chat.leave(name)
        // stub: throw NotImplemented("accept, join under the name, do what each text asks for, and leave")
        // end
    }

    public static var samples: [Sample] {
        [
            .text("Hello, everyone!", to: "/ws/chat/{username}"),
            .text("/pm bob Just between us.", to: "/ws/chat/{username}"),
            .text("/pm nobody Are you there?", to: "/ws/chat/{username}"),
            .text("/pm", to: "/ws/chat/{username}"),
        ]
    }
}

/// What the server tells its clients, as JSON. Members that are nil are left out.
struct Event: Encodable {
    enum Kind: String, Encodable { case system, message, pm, error }

    let type: Kind
    var from: String?
    var to: String?
    let message: String
}

/// What a client asks for and cannot have. It is told so, and stays.
struct Complaint: Error {
    let message: String
}

/// What a text asks for.
enum Command: Equatable {
    case say(String)
    case whisper(to: String, String)

    /// Reads a text. Throws a `Complaint` for a `/pm` without a name or without a message.
    ///
    /// 1. Cut the text at its first two spaces, and no further:
    ///    `text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)`.
    /// 2. Unless the first part is `/pm`, it is for all. If it is, two more parts must follow, neither of them empty.
    static func parse(_ text: String) throws -> Command {
        // solution
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.first == "/pm" else { return .say(text) }
        guard parts.count == 3, !parts[1].isEmpty, !parts[2].isEmpty else {
            throw Complaint(message: "Usage: /pm NAME MESSAGE")
        }
        return .whisper(to: String(parts[1]), String(parts[2]))
        // stub: throw NotImplemented("tell a /pm from a text for all")
        // end
    }
}

/// Who is here, each under a name that nobody else has.
actor Chat {
    private var members: [String: WebSocket] = [:]

    /// Takes the name for this socket and announces it; false if the name is taken.
    ///
    /// 3. Ask whether the name is free and take it, without an `await` between the two.
    func join(_ socket: WebSocket, as name: String) throws -> Bool {
        // solution
        guard members[name] == nil else { return false }
        members[name] = socket
        try members.values.broadcastJSON(Event(type: .system, message: "\(name) joined"))
        return true
        // stub: throw NotImplemented("take the name if it is free, and announce who joined")
        // end
    }

    /// Frees the name and tells those who stay.
    ///
    /// 4. Free it first, then tell.
    func leave(_ name: String) throws {
        // solution
        members[name] = nil
        try members.values.broadcastJSON(Event(type: .system, message: "\(name) left"))
        // stub: throw NotImplemented("free the name, and announce who left")
        // end
    }

    /// Tells everyone.
    func say(_ message: String, from sender: String) throws {
        try members.values.broadcastJSON(Event(type: .message, from: sender, message: message))
    }

    /// Tells the recipient, and the sender as a copy. Throws a `Complaint` if there is no such recipient.
    ///
    /// 5. Look both up and send to them; mind who writes to themselves.
    func whisper(_ message: String, from sender: String, to recipient: String) throws {
        // solution
        guard let other = members[recipient], let own = members[sender] else {
            throw Complaint(message: "\(recipient) is not here")
        }
        // A set holds one socket once, also for those who write to themselves.
        try Set([own, other]).broadcastJSON(Event(type: .pm, from: sender, to: recipient, message: message))
        // stub: throw NotImplemented("send a private message to two, and to no one else")
        // end
    }
}

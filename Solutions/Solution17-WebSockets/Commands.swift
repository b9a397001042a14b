import Foundation
import LevelKit
import WebSocketEngine

/// What a client asks of the chat.
enum Command: Equatable {
    case say(String)
    case whisper(to: String, String)
    case typing
    case ping

    /// Reads a message. Throws a `Complaint` for what is not understood.
    ///
    /// 6. Binary is not understood. `ping` is a ping; a text that begins with `{` is a command in JSON, for which
    ///    `init(json:)` below is there; `/pm NAME TEXT` is private, as in level 08; all else is for the room.
    init(_ message: Message) throws {
        // solution
        guard case .text(let text) = message else { throw Complaint("Messages are text, not binary") }
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        if text == "ping" {
            self = .ping
        } else if text.hasPrefix("{") {
            self = try Command(json: text)
        } else if parts.first == "/pm" {
            guard parts.count == 3 else { throw Complaint("Usage: /pm NAME MESSAGE") }
            self = try .privately(String(parts[2]), to: String(parts[1]))
        } else {
            self = .say(text)
        }
        // stub: throw NotImplemented("find out what a message asks for")
        // end
    }

    private static func privately(_ message: String, to name: String) throws -> Command {
        if name.isEmpty || message.isEmpty { throw Complaint("A private message has a name and a text") }
        return .whisper(to: name, message)
    }
}

// MARK: - Given

/// What a client asks for and cannot have. It is told so, and stays.
struct Complaint: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

extension Command {
    private struct Members: Decodable {
        enum Kind: String, Decodable { case message, pm, typing }
        var type: Kind
        var to: String?
        var message: String?
    }

    /// Reads a command in JSON.
    init(json text: String) throws {
        do {
            let members = try JSONDecoder().decode(Members.self, from: Data(text.utf8))
            switch (members.type, members.message, members.to) {
            case (.typing, _, _): self = .typing
            case (.message, let message?, _): self = .say(message)
            case (.pm, let message?, let name?): self = try .privately(message, to: name)
            case (.pm, _, nil): throw Complaint("to is missing")
            default: throw Complaint("message is missing")
            }
        } catch let error as DecodingError {
            throw Complaint(error)
        }
    }
}

extension Complaint {
    /// Says which member of a command is at fault.
    init(_ error: DecodingError) {
        switch error {
        case .keyNotFound(let key, _):
            message = "\(key.stringValue) is missing"
        case .dataCorrupted(let context), .typeMismatch(_, let context), .valueNotFound(_, let context):
            switch context.codingPath.first?.stringValue {
            case "type"?: message = "type must be message, pm or typing"
            case let key?: message = "\(key) must be a text"
            case nil: message = "A command is JSON, such as {\"type\":\"message\",\"message\":\"hi\"}"
            }
        @unknown default:
            message = "The command is not understood"
        }
    }
}

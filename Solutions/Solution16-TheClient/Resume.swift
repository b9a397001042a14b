import Foundation
import WebSocketEngine

/// The subprotocol `chat.resume.v1`: what client and server tell each other so that nothing is lost and nothing comes
/// twice, however often the connection breaks. Each frame is a JSON text.
enum Frame: Equatable {
    static let subprotocol = "chat.resume.v1"

    /// The client's first: who it is, which session this is, and the number of the last event that it has seen.
    /// `{"type":"hello","user":"Alice","session":"…","seen":0}`
    case hello(user: String, session: String, seen: Int)
    /// The server's first: the number of the last message that it has heard in this session, and the number of the
    /// event that comes next. `{"type":"welcome","received":0,"from":1}`
    case welcome(received: Int, from: Int)
    /// What the user says, numbered by the client from 1. `{"type":"message","n":1,"message":"Hello"}`
    case message(Int, String)
    /// The server has heard all messages up to this one. `{"type":"ack","n":1}`
    case ack(Int)
    /// What the chat tells this session, numbered by the server from 1. `{"type":"event","n":1,"message":"[Bob]: Hi"}`
    case event(Int, String)
}

extension Frame {
    /// The frame in a text. Throws `DecodingError` if there is none.
    init(_ text: String) throws { self = try JSONDecoder().decode(Frame.self, from: Data(text.utf8)) }
}

extension Frame: Codable {
    private enum Kind: String, Codable { case hello, welcome, message, ack, event }
    private enum Key: CodingKey { case type, user, session, seen, received, from, n, message }

    init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: Key.self)
        func number(_ key: Key) throws -> Int {
            let number = try object.decode(Int.self, forKey: key)
            // Larger ones are not exact in every language (RFC 8259 §6), and could overflow here.
            guard (0...1 << 53).contains(number) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: object, debugDescription: "\(number) is no number of a message")
            }
            return number
        }
        func text(_ key: Key) throws -> String { try object.decode(String.self, forKey: key) }
        switch try object.decode(Kind.self, forKey: .type) {
        case .hello:
            self = .hello(user: try text(.user), session: try text(.session), seen: try number(.seen))
        case .welcome: self = .welcome(received: try number(.received), from: try number(.from))
        case .message: self = .message(try number(.n), try text(.message))
        case .ack: self = .ack(try number(.n))
        case .event: self = .event(try number(.n), try text(.message))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Key.self)
        switch self {
        case .hello(let user, let session, let seen):
            try object.encode(Kind.hello, forKey: .type)
            try object.encode(user, forKey: .user)
            try object.encode(session, forKey: .session)
            try object.encode(seen, forKey: .seen)
        case .welcome(let received, let from):
            try object.encode(Kind.welcome, forKey: .type)
            try object.encode(received, forKey: .received)
            try object.encode(from, forKey: .from)
        case .message(let n, let message), .event(let n, let message):
            if case .event = self {
                try object.encode(Kind.event, forKey: .type)
            } else {
                try object.encode(Kind.message, forKey: .type)
            }
            try object.encode(n, forKey: .n)
            try object.encode(message, forKey: .message)
        case .ack(let n):
            try object.encode(Kind.ack, forKey: .type)
            try object.encode(n, forKey: .n)
        }
    }
}

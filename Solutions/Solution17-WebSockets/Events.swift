import Foundation
import WebSocketEngine

// Given: everything that the chat sends, as JSON. There is nothing to change here.

/// One event. Members that are nil are left out. Make one with the functions below.
struct Event: Codable, Equatable {
    enum Kind: String, Codable { case system, message, pm, error, typing, stopped, presence, history }

    let type: Kind
    /// A message's number: it grows from one to the next, and is the same in the history.
    var id: Int?
    var room: String?
    var user: String?
    var from: String?
    var to: String?
    var message: String?
    /// ISO 8601, UTC.
    var time: String?
    var users: [String]?
    var messages: [Event]?
}

extension Event {
    static func message(_ text: String, id: Int, from user: String, in room: String, at time: String) -> Event
    {
        Event(type: .message, id: id, room: room, user: user, message: text, time: time)
    }
    static func privateMessage(_ text: String, from: String, to: String, at time: String) -> Event {
        Event(type: .pm, from: from, to: to, message: text, time: time)
    }
    static func joined(_ user: String, _ room: String) -> Event {
        Event(type: .system, room: room, user: user, message: "\(user) joined")
    }
    static func left(_ user: String, _ room: String) -> Event {
        Event(type: .system, room: room, user: user, message: "\(user) left")
    }
    static func typing(_ user: String, _ room: String) -> Event {
        Event(type: .typing, room: room, user: user)
    }
    static func stopped(_ user: String, _ room: String) -> Event {
        Event(type: .stopped, room: room, user: user)
    }
    static func presence(_ users: [String], _ room: String) -> Event {
        Event(type: .presence, room: room, users: users)
    }
    static func history(_ messages: [Event], _ room: String) -> Event {
        Event(type: .history, room: room, messages: messages)
    }
    static func error(_ message: String) -> Event { Event(type: .error, message: message) }
}

extension ServerClock {
    /// Now, as `2026-01-01T00:00:00.000Z`.
    var timestamp: String {
        Date(timeIntervalSince1970: secondsSince1970)
            .formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}

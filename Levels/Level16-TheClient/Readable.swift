import Foundation

/// What a person reads of a text that a server sent: the events of level 17 as lines, any other text as it is.
func readable(_ text: String) -> [String] {
    do {
        return try JSONDecoder().decode(ChatEvent.self, from: Data(text.utf8)).lines ?? [text]
    } catch {
        // Not JSON, or not an event: a text like any other.
        return [text]
    }
}

/// An event of the chat of level 17. Those of the levels before it have the same members.
private struct ChatEvent: Decodable {
    var type: String
    var user: String?
    var from: String?
    var to: String?
    var message: String?
    var users: [String]?
    var messages: [ChatEvent]?

    /// Nil for a type that is not known, or if something is missing.
    var lines: [String]? {
        switch type {
        case "message": message.flatMap { message in (user ?? from).map { ["[\($0)]: \(message)"] } }
        case "pm":
            message.flatMap { message in
                from.flatMap { from in to.map { ["[\(from) to \($0)]: \(message)"] } }
            }
        case "system": message.map { ["* \($0)"] }
        case "error": message.map { ["! \($0)"] }
        case "typing": user.map { ["* \($0) is typing"] }
        case "stopped": user.map { _ in [] }
        case "presence": users.map { ["* here: \($0.joined(separator: ", "))"] }
        case "history": messages.map { $0.flatMap { $0.lines ?? [] } }
        default: nil
        }
    }
}

import Foundation
import WebSocketEngine

// Given, from level 05. There is nothing to change here.

/// `/ws/json`: channels, and who is subscribed to them.
actor Channels {
    private var subscribers: [String: Set<WebSocket>] = [:]

    /// One client's stay.
    nonisolated func welcome(_ socket: WebSocket) async throws {
        try await socket.accept()
        do {
            for try await message in socket { try await hear(message, from: socket) }
        } catch {
            await forget(socket)
            throw error
        }
        await forget(socket)
    }

    private func hear(_ message: Message, from socket: WebSocket) throws {
        guard case .text(let text) = message else {
            return try [socket].broadcastJSON(Reply(type: .error, message: "a command is text, not binary"))
        }
        do {
            switch try JSONDecoder().decode(Order.self, from: Data(text.utf8)) {
            case .subscribe(let channel):
                subscribers[channel, default: []].insert(socket)
                try [socket].broadcastJSON(Reply(type: .subscribed, channel: channel))
            case .unsubscribe(let channel):
                remove(socket, from: channel)
                try [socket].broadcastJSON(Reply(type: .unsubscribed, channel: channel))
            case .send(let channel, let message):
                let reply = Reply(type: .message, channel: channel, message: message)
                try subscribers[channel, default: []].broadcastJSON(reply)
            case .ping:
                try [socket].broadcastJSON(Reply(type: .pong))
            }
        } catch let error as DecodingError {
            try [socket].broadcastJSON(Reply(explaining: error))
        }
    }

    private func remove(_ socket: WebSocket, from channel: String) {
        subscribers[channel]?.remove(socket)
        if subscribers[channel]?.isEmpty == true { subscribers[channel] = nil }
    }

    private func forget(_ socket: WebSocket) {
        for channel in subscribers.keys { remove(socket, from: channel) }
    }
}

/// What a client of `/ws/json` may ask for.
private enum Order: Decodable {
    case subscribe(channel: String)
    case unsubscribe(channel: String)
    case send(channel: String, message: String)
    case ping

    enum Action: String, Decodable { case subscribe, unsubscribe, send, ping }
    enum CodingKeys: CodingKey { case action, channel, message }

    init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: CodingKeys.self)
        switch try members.decode(Action.self, forKey: .action) {
        case .subscribe: self = .subscribe(channel: try members.decode(String.self, forKey: .channel))
        case .unsubscribe: self = .unsubscribe(channel: try members.decode(String.self, forKey: .channel))
        case .send:
            self = .send(
                channel: try members.decode(String.self, forKey: .channel),
                message: try members.decode(String.self, forKey: .message))
        case .ping: self = .ping
        }
    }
}

/// What the server answers there. What is nil is left out.
private struct Reply: Encodable {
    enum Kind: String, Encodable { case subscribed, unsubscribed, message, pong, error }
    var type: Kind
    var channel: String?
    var message: String?
    var field: String?
}

extension Reply {
    /// Says which key of a command is wrong, and why.
    init(explaining error: DecodingError) {
        type = .error
        switch error {
        case .keyNotFound(let key, _):
            field = key.stringValue
            message = "\(key.stringValue) is missing"
        case .dataCorrupted(let context), .typeMismatch(_, let context), .valueNotFound(_, let context):
            field = context.codingPath.first?.stringValue
            switch field {
            case "action"?: message = "action must be subscribe, unsubscribe, send or ping"
            case let key?: message = "\(key) must be a string"
            case nil: message = "a command is a JSON object, such as {\"action\":\"ping\"}"
            }
        @unknown default:
            message = "the command cannot be understood"
        }
    }
}

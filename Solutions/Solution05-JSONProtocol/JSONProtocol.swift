import Foundation
import LevelKit
import WebSocketEngine

/// Level 05 – JSON protocol. Read chapter 5 of Course.md first.
///
/// Write a server that takes orders in JSON, each a text message on `/ws/json`, and answers in JSON:
///
/// - `{"action":"subscribe","channel":C}` is answered `{"type":"subscribed","channel":C}`. Twice is like once.
/// - `{"action":"unsubscribe","channel":C}` is answered `{"type":"unsubscribed","channel":C}`, subscribed or not.
/// - From the confirmation `subscribed` on, every message of the channel comes, and after `unsubscribed` none.
/// - `{"action":"send","channel":C,"message":M}` goes to each subscriber of C once, as
///   `{"type":"message","channel":C,"message":M}`: to its sender only if subscribed. No subscription is needed to send.
/// - `{"action":"ping"}` is answered `{"type":"pong"}`. Keys that an action does not need are ignored.
/// - Anything else is answered `{"type":"error","field":F,"message":WHY}`, and the connection stays open. F is the
///   key that is missing or wrong, and WHY, a text for people, names it too. For binary, and for text that is no JSON
///   object, F is null or absent.
/// - `GET /channels` answers `[{"name":C,"subscribers":N}]`, sorted by name, without channels that have none. A
///   subscription ends with its connection.
@main
public struct JSONProtocol: Level {
    public static var title: String { "JSON protocol" }

    public static func makeApplication() -> Application {
        let app = Application()
        let channels = Channels()
        app.webSocket("/ws/json") { socket in
            try await socket.accept()
            do {
                for try await message in socket { try await answer(message, from: socket, channels) }
            } catch {
                await channels.forget(socket)
                throw error
            }
            await channels.forget(socket)
        }
        app.get("/channels") { _ in try Response.json(await channels.summary()) }
        return app
    }

    public static var samples: [Sample] {
        [
            .json(#"{"action":"subscribe","channel":"news"}"#, to: "/ws/json"),
            .json(#"{"action":"send","channel":"news","message":"Rain at noon"}"#, to: "/ws/json"),
            .json(#"{"action":"unsubscribe","channel":"news"}"#, to: "/ws/json"),
            .json(#"{"action":"ping"}"#, to: "/ws/json"),
            .json(#"{"action":"shout"}"#, to: "/ws/json"),
            .text("not JSON at all", to: "/ws/json"),
        ]
    }
}

/// What a client may ask for.
enum Command: Decodable {
    case subscribe(channel: String)
    case unsubscribe(channel: String)
    case send(channel: String, message: String)
    case ping

    enum Action: String, Decodable { case subscribe, unsubscribe, send, ping }
    enum CodingKeys: CodingKey { case action, channel, message }

    /// 1. Decode the action, and then what this action needs, no more.
    init(from decoder: any Decoder) throws {
        // solution
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        switch try fields.decode(Action.self, forKey: .action) {
        case .subscribe:
            self = .subscribe(channel: try fields.decode(String.self, forKey: .channel))
        case .unsubscribe:
            self = .unsubscribe(channel: try fields.decode(String.self, forKey: .channel))
        case .send:
            self = .send(
                channel: try fields.decode(String.self, forKey: .channel),
                message: try fields.decode(String.self, forKey: .message))
        case .ping:
            self = .ping
        }
        // stub: throw NotImplemented("decode a command")
        // end
    }
}

/// What the server sends. What is nil is left out.
struct Reply: Encodable {
    enum Kind: String, Encodable { case subscribed, unsubscribed, message, pong, error }
    var type: Kind
    var channel: String?
    var message: String?
    var field: String?
}
// solution

extension Reply {
    /// Says what is wrong with a command: which key, and why.
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
// end

/// Who is subscribed to what.
actor Channels {
    struct Summary: Encodable {
        var name: String
        var subscribers: Int
    }

    private var subscribers: [String: Set<WebSocket>] = [:]

    func subscribe(_ socket: WebSocket, to channel: String) {
        subscribers[channel, default: []].insert(socket)
    }

    func unsubscribe(_ socket: WebSocket, from channel: String) {
        subscribers[channel]?.remove(socket)
        if subscribers[channel]?.isEmpty == true { subscribers[channel] = nil }
    }

    /// Ends all subscriptions of a connection that is over.
    func forget(_ socket: WebSocket) {
        for channel in subscribers.keys { unsubscribe(socket, from: channel) }
    }

    /// To those who are subscribed now: nobody who was told `unsubscribed` hears more of the channel.
    func send(_ message: String, to channel: String) throws {
        let reply = Reply(type: .message, channel: channel, message: message)
        try subscribers[channel, default: []].broadcastJSON(reply)
    }

    func summary() -> [Summary] {
        subscribers.map { Summary(name: $0.key, subscribers: $0.value.count) }
            .sorted { $0.name < $1.name }
    }
}

extension JSONProtocol {
    /// 2. Binary is an error. From text decode a `Command`, carry it out, and reply with `socket.sendJSON`.
    /// 3. Turn a `DecodingError` into a reply with the key that is at fault: its cases know it. Do not let it out of
    ///    here, for it would end the connection.
    static func answer(_ message: Message, from socket: WebSocket, _ channels: Channels) async throws {
        // solution
        guard case .text(let text) = message else {
            return try await socket.sendJSON(Reply(type: .error, message: "a command is text, not binary"))
        }
        do {
            switch try JSONDecoder().decode(Command.self, from: Data(text.utf8)) {
            case .subscribe(let channel):
                await channels.subscribe(socket, to: channel)
                try await socket.sendJSON(Reply(type: .subscribed, channel: channel))
            case .unsubscribe(let channel):
                await channels.unsubscribe(socket, from: channel)
                try await socket.sendJSON(Reply(type: .unsubscribed, channel: channel))
            case .send(let channel, let message):
                try await channels.send(message, to: channel)
            case .ping:
                try await socket.sendJSON(Reply(type: .pong))
            }
        } catch let error as DecodingError {
            try await socket.sendJSON(Reply(explaining: error))
        }
        // stub: throw NotImplemented("answer a message")
        // end
    }
}

import LevelKit
import WebSocketEngine

// One struct with optional keys for all commands, checked by hand after decoding; receiveJSON() in a loop; a reply as
// an enum with payloads; subscriptions kept with each connection; messages sent one by one.
@main
public struct JSONProtocol: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let board = Board()
        app.webSocket("/ws/json") { socket in
            try await socket.accept()
            await board.enter(socket)
            do {
                while true { try await socket.sendJSON(try await reply(to: socket, board)) }
            } catch {
                await board.exit(socket)
                throw error
            }
        }
        app.get("/channels") { _ in try Response.json(await board.channels()) }
        return app
    }

    /// Waits until there is something to reply.
    static func reply(to socket: WebSocket, _ board: Board) async throws -> Reply {
        while true {
            let order: Order
            do {
                order = try await socket.receiveJSON()
            } catch WebSocketError.unexpectedMessage {
                return .error(nil, "no binary, please")
            } catch DecodingError.typeMismatch(_, let context) where !context.codingPath.isEmpty {
                let key = context.codingPath[0].stringValue
                return .error(key, "\(key): \(context.debugDescription)")
            } catch let error as DecodingError {
                return .error(nil, "bad JSON: \(error)")
            }
            guard let action = order.action else { return .error("action", "no action") }
            if action == "ping" { return .pong }
            guard ["subscribe", "unsubscribe", "send"].contains(action) else {
                return .error("action", "unknown action \(action)")
            }
            guard let channel = order.channel else { return .error("channel", "no channel") }
            if action == "subscribe" { return await board.add(channel, for: socket) }
            if action == "unsubscribe" { return await board.remove(channel, for: socket) }
            guard let message = order.message else { return .error("message", "no message") }
            for listener in await board.listeners(of: channel) {
                do {
                    try await listener.sendJSON(Reply.message(channel, message))
                } catch is WebSocketDisconnect {
                    continue
                }
            }
        }
    }
}

struct Order: Decodable, Sendable {
    var action: String?
    var channel: String?
    var message: String?
}

enum Reply: Encodable {
    case subscribed(String), unsubscribed(String), message(String, String), pong, error(String?, String)

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .subscribed(let channel): try container.encode(["type": "subscribed", "channel": channel])
        case .unsubscribed(let channel): try container.encode(["channel": channel, "type": "unsubscribed"])
        case .message(let channel, let message):
            try container.encode(["message": message, "channel": channel, "type": "message"])
        case .pong: try container.encode(["type": "pong"])
        case .error(let field, let message):
            try container.encode(["type": "error", "field": field, "message": message])
        }
    }
}

actor Board {
    struct Channel: Encodable, Sendable {
        var name: String
        var subscribers: Int
    }

    private var channelsOf: [WebSocket: [String]] = [:]

    func enter(_ socket: WebSocket) { channelsOf[socket] = [] }
    func exit(_ socket: WebSocket) { channelsOf[socket] = nil }

    func add(_ channel: String, for socket: WebSocket) -> Reply {
        if channelsOf[socket]?.contains(channel) == false { channelsOf[socket]?.append(channel) }
        return .subscribed(channel)
    }

    func remove(_ channel: String, for socket: WebSocket) -> Reply {
        channelsOf[socket]?.removeAll { $0 == channel }
        return .unsubscribed(channel)
    }

    func listeners(of channel: String) -> [WebSocket] {
        channelsOf.filter { $0.value.contains(channel) }.map(\.key)
    }

    func channels() -> [Channel] {
        Dictionary(grouping: channelsOf.values.joined()) { $0 }
            .map { Channel(name: $0.key, subscribers: $0.value.count) }
            .sorted { $0.name < $1.name }
    }
}

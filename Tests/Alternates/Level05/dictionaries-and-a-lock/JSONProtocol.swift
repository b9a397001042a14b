import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

// JSONSerialization and dictionaries instead of Codable, a class with a lock instead of an actor, receive() and defer
// instead of for-await, `"field":null` written out, and keys more than the contract asks for.
@main
public struct JSONProtocol: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let desk = Desk()
        app.webSocket("/ws/json") { socket in
            try await socket.accept()
            defer { desk.dismiss(socket) }
            while true {
                do {
                    if let reply = try desk.handle(try await socket.receive(), of: socket) {
                        try await socket.send(text(of: reply))
                    }
                } catch let fault as Fault {
                    let field: any Sendable = fault.field ?? NSNull()
                    try await socket.send(
                        text(of: ["type": "error", "field": field, "message": fault.reason]))
                }
            }
        }
        app.get("/channels") { _ in
            Response(
                headers: ["Content-Type": "application/json"], body: Array(try text(of: desk.list()).utf8))
        }
        return app
    }
}

struct Fault: Error {
    var field: String?
    var reason: String
}

func text(of json: Any) throws -> String {
    String(decoding: try JSONSerialization.data(withJSONObject: json, options: .prettyPrinted), as: UTF8.self)
}

final class Desk: Sendable {
    private let listeners = Mutex<[(channel: String, sockets: [WebSocket])]>([])

    func handle(_ message: Message, of socket: WebSocket) throws -> [String: Any]? {
        guard case .text(let text) = message else { throw Fault(reason: "binary is not understood") }
        let command = try parse(text)
        switch try string("action", in: command) {
        case "ping":
            return ["type": "pong", "at": Date().timeIntervalSince1970]
        case "subscribe":
            let channel = try string("channel", in: command)
            subscribe(socket, channel)
            return ["type": "subscribed", "channel": channel, "at": "now"]
        case "unsubscribe":
            let channel = try string("channel", in: command)
            remove(socket) { $0 == channel }
            return ["type": "unsubscribed", "channel": channel]
        case "send":
            let channel = try string("channel", in: command)
            let message = try string("message", in: command)
            let sockets = listeners.withLock { all in all.first { $0.channel == channel }?.sockets }
            sockets?.broadcast(try WebSocketText.message(channel, message))
            return nil
        case let other:
            throw Fault(field: "action", reason: "the action \(other) is unknown")
        }
    }

    private func parse(_ text: String) throws -> [String: Any] {
        guard let json = try? JSONSerialization.jsonObject(with: Data(text.utf8)) else {
            throw Fault(reason: "that is not JSON")
        }
        guard let object = json as? [String: Any] else { throw Fault(reason: "that is not an object") }
        return object
    }

    private func string(_ key: String, in command: [String: Any]) throws -> String {
        guard let value = command[key] else { throw Fault(field: key, reason: "please add the key \(key)") }
        guard let text = value as? String else {
            throw Fault(field: key, reason: "the key \(key) is for text")
        }
        return text
    }

    private func subscribe(_ socket: WebSocket, _ channel: String) {
        listeners.withLock { all in
            guard let index = all.firstIndex(where: { $0.channel == channel }) else {
                return all.append((channel, [socket]))
            }
            if !all[index].sockets.contains(socket) { all[index].sockets.append(socket) }
        }
    }

    private func remove(_ socket: WebSocket, where isMeant: (String) -> Bool) {
        listeners.withLock { all in
            for index in all.indices where isMeant(all[index].channel) {
                all[index].sockets.removeAll { $0 == socket }
            }
            all.removeAll { $0.sockets.isEmpty }
        }
    }

    func dismiss(_ socket: WebSocket) { remove(socket) { _ in true } }

    func list() -> [[String: Any]] {
        listeners.withLock { all in all.map { ($0.channel, $0.sockets.count) } }
            .sorted { $0.0 < $1.0 }
            .map { ["subscribers": $0.1, "name": $0.0] }
    }
}

enum WebSocketText {
    static func message(_ channel: String, _ message: String) throws -> String {
        try text(of: ["type": "message", "message": message, "channel": channel, "length": message.count])
    }
}

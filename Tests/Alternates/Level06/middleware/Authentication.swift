import Foundation
import LevelKit
import WebSocketEngine

/// A middleware checks every connection and leaves the user in the socket's storage; the signatures are compared as
/// they are written; the JSON is read without Codable.
@main
public struct Authentication: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let guardian = Guardian(key: Array("a course is no place for real secrets".utf8), clock: app.clock)
        app.use { socket, handler in
            do throws(TokenFault) {
                socket.storage[User.self] = try guardian.user(of: socket.request)
            } catch {
                return try await socket.close(code: 4001, reason: error.rawValue)
            }
            try await handler(socket)
        }
        app.get("/login/{user}") { request in
            let user = User(
                name: request.parameters["user"] ?? "",
                rooms: Set(request.query["rooms"]?.components(separatedBy: ",") ?? []))
            return try .json(["token": try guardian.token(for: user), "type": "Bearer"])
        }
        app.webSocket("/ws/auth", talk)
        app.webSocket("/ws/protected/{room}") { socket in
            guard let user = socket.storage[User.self], user.rooms.contains(socket.parameters["room"] ?? "")
            else {
                return try await socket.close(code: 4003, reason: "Access denied")
            }
            try await talk(socket)
        }
        return app
    }

    static func talk(_ socket: WebSocket) async throws {
        guard let user = socket.storage[User.self] else { return try await socket.reject() }
        try await socket.accept()
        try await socket.sendJSON(["user_id": user.name, "type": "welcome", "server": "level 06"])
        while true {
            let text = try await socket.receiveText()
            try await socket.sendJSON(["message": text, "user_id": user.name, "type": "message"])
        }
    }
}

struct User: Sendable {
    var name: String
    var rooms: Set<String>
}

enum TokenFault: String, Error {
    case missing = "Missing token"
    case invalid = "Invalid token"
    case expired = "Expired token"
}

/// Makes and checks tokens.
struct Guardian: Sendable {
    var key: [UInt8]
    var clock: ServerClock

    func token(for user: User) throws -> String {
        let claims: [String: Any] = [
            "sub": user.name, "exp": clock.secondsSince1970 + 3600, "rooms": user.rooms.sorted(),
        ]
        let parts = try [["typ": "JWT", "alg": "HS256"], claims].map {
            Self.text(try JSONSerialization.data(withJSONObject: $0))
        }
        return parts.joined(separator: ".") + "." + signature(parts[0], parts[1])
    }

    func user(of request: Request) throws(TokenFault) -> User {
        var token = request.query["token"] ?? ""
        if token.isEmpty, let header = request.headers["Authorization"], header.hasPrefix("Bearer ") {
            token = header.replacingOccurrences(of: "Bearer ", with: "")
        }
        if token.isEmpty { throw .missing }
        let parts = token.components(separatedBy: ".")
        guard parts.count == 3 else { throw .invalid }
        guard same(parts[2], signature(parts[0], parts[1])) else { throw .invalid }
        guard let header = object(parts[0]), let claims = object(parts[1]) else { throw .invalid }
        guard header["alg"] as? String == "HS256", !header.keys.contains("crit") else { throw .invalid }
        guard let name = claims["sub"] as? String, let end = claims["exp"] as? Double else { throw .invalid }
        if let begin = claims["nbf"] {
            guard let begin = begin as? Double, begin <= clock.secondsSince1970 else { throw .invalid }
        }
        var rooms: [String] = []
        if let listed = claims["rooms"] {
            guard let listed = listed as? [String] else { throw .invalid }
            rooms = listed
        }
        if clock.secondsSince1970 >= end { throw .expired }
        return User(name: name, rooms: Set(rooms))
    }

    private func object(_ part: String) -> [String: Any]? {
        var base64 = part.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        while base64.utf8.count % 4 != 0 { base64 += "=" }
        guard let data = Data(base64Encoded: base64) else { return nil }
        return (try? JSONSerialization.jsonObject(with: data)) as? [String: Any]
    }

    private func signature(_ header: String, _ claims: String) -> String {
        Self.text(Data(HMACSHA256.authenticationCode(for: Array("\(header).\(claims)".utf8), key: key)))
    }

    private func same(_ left: String, _ right: String) -> Bool {
        // Digests differ all over if the texts differ anywhere: where they do tells nothing.
        HMACSHA256.authenticationCode(for: Array(left.utf8), key: key)
            == HMACSHA256.authenticationCode(for: Array(right.utf8), key: key)
    }

    private static func text(_ data: Data) -> String {
        String(data.base64EncodedString().compactMap { ["+": "-", "/": "_", "=": nil][$0, default: $0] })
    }
}

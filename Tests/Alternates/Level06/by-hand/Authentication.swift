import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

/// A class with a lock, a base64url of its own, and closes instead of throws.
@main
public struct Authentication: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let desk = Desk(clock: app.clock)
        app.get("/login/{user}") { request in
            let rooms = (request.query["rooms"] ?? "").split(separator: ",").map { "\"\($0)\"" }.joined(
                separator: ",")
            let exp = Int(app.clock.secondsSince1970) + 3600
            let claims = #"{"exp":\#(exp),"rooms":[\#(rooms)],"sub":"\#(request.parameters["user"] ?? "")"}"#
            return .text(#"{"token":"\#(desk.sign(claims))"}"#)
        }
        for path in ["/ws/auth", "/ws/protected/{room}"] {
            app.webSocket(path) { socket in
                // Accepts first: the close can be read all the same.
                try await socket.accept()
                let (ticket, fault) = desk.look(at: socket.request)
                guard let ticket else { return try await socket.close(code: 4001, reason: fault) }
                if let room = socket.parameters["room"], ticket.rooms?.firstIndex(of: room) == nil {
                    throw WebSocketException(code: 4003, reason: "Access denied")
                }
                try await socket.sendJSON(Welcome(userID: ticket.sub, number: desk.admit()))
                while case .text(let text) = try await socket.receive() {
                    try await socket.sendJSON(Said(userID: ticket.sub, message: text))
                }
            }
        }
        return app
    }
}

struct Welcome: Encodable {
    var type = "welcome"
    var userID: String
    var number: Int
    enum CodingKeys: String, CodingKey {
        case userID = "user_id"
        case type, number
    }
}

struct Said: Encodable {
    var userID: String
    var message: String
    enum CodingKeys: String, CodingKey {
        case userID = "user_id"
        case message
    }
}

struct Ticket: Decodable {
    var sub: String
    var exp: Double
    var nbf: Double?
    var rooms: [String]?
}

final class Desk: Sendable {
    private let clock: ServerClock
    private let admitted = Mutex(0)
    private let key = Array("a course is no place for real secrets".utf8)
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    init(clock: ServerClock) { self.clock = clock }

    func admit() -> Int {
        admitted.withLock {
            $0 += 1
            return $0
        }
    }

    func sign(_ claims: String) -> String {
        let content = [#"{"alg":"HS256"}"#, claims].map { encode(Array($0.utf8)) }.joined(separator: ".")
        return "\(content).\(encode(HMACSHA256.authenticationCode(for: Array(content.utf8), key: key)))"
    }

    func look(at request: Request) -> (Ticket?, fault: String) {
        var token = request.query["token"] ?? ""
        let header = request.headers["Authorization"] ?? ""
        if token == "", header.lowercased().hasPrefix("bearer ") { token = String(header.dropFirst(7)) }
        if token == "" { return (nil, "Missing token") }
        guard let end = token.utf8.lastIndex(of: UInt8(ascii: ".")),
            let middle = token.firstIndex(of: "."), middle < end,
            let signature = decode(token[token.index(after: end)...]), signature.count == 32
        else { return (nil, "Invalid token") }
        let wanted = HMACSHA256.authenticationCode(for: Array(token[..<end].utf8), key: key)
        var difference: UInt8 = 0
        for index in 0..<32 { difference |= wanted[index] ^ signature[index] }
        struct Head: Decodable {
            var alg: String
            var crit: [String]?
        }
        guard difference == 0, let head: Head = read(token[..<middle]), head.alg == "HS256", head.crit == nil,
            let ticket: Ticket = read(token[token.index(after: middle)..<end]),
            ticket.nbf ?? 0 <= clock.secondsSince1970
        else { return (nil, "Invalid token") }
        return ticket.exp > clock.secondsSince1970 ? (ticket, "") : (nil, "Expired token")
    }

    private func read<Part: Decodable>(_ text: Substring) -> Part? {
        decode(text).flatMap { try? JSONDecoder().decode(Part.self, from: Data($0)) }
    }

    private func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        var bits = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | Int(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(Self.alphabet[bits >> count & 63])
            }
            bits &= 255
        }
        if count > 0 { text.append(Self.alphabet[bits << (6 - count) & 63]) }
        return String(decoding: text, as: UTF8.self)
    }

    private func decode(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits = 0
        var count = 0
        for character in text.utf8 {
            guard let value = Self.alphabet.firstIndex(of: character) else { return nil }
            bits = bits << 6 | value
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(bits >> count & 255))
            }
            bits &= 255
        }
        return bytes
    }
}

import Foundation
import LevelKit
import WebSocketEngine

/// Level 06 – Authentication. Read chapter 6 of Course.md first.
///
/// Let in who shows a valid JSON Web Token, and nobody else:
///
/// - The token comes as `?token=JWT` or in the header `Authorization: Bearer JWT`. No token, or an empty one: close
///   4001 `Missing token`.
/// - A token is valid if the HMAC-SHA-256 of its first two parts is its third, its `alg` is `HS256`, its header has
///   no `crit`, and its claims are a `sub` (text), an `exp` (number) and perhaps an `nbf` (number) and `rooms` (list
///   of texts). Anything else, or a time before `nbf`: close 4001 `Invalid token`.
/// - At `exp` and after it: close 4001 `Expired token`.
/// - `/ws/auth` welcomes a valid token: `{"type":"welcome","user_id":SUB}`. Then each text `m` comes back as
///   `{"user_id":SUB,"message":m}`.
/// - `/ws/protected/{room}` does the same for a token whose `rooms` lists the room. Otherwise: close 4003
///   `Access denied`.
///
/// A client that is closed has received nothing before.
@main
public struct Authentication: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let clock = app.clock
        app.get("/login/{user}") { request in try login(request, clock) }
        app.webSocket("/ws/auth") { socket in
            try await converse(socket, as: try authenticate(socket.request, clock))
        }
        app.webSocket("/ws/protected/{room}") { socket in
            // 6. Authenticate the client, let only those in whose token lists the room, and converse.
            // solution
            let claims = try authenticate(socket.request, clock)
            guard let room = socket.parameters["room"], claims.rooms?.contains(room) == true else {
                throw WebSocketException.accessDenied
            }
            try await converse(socket, as: claims)
            // stub: throw NotImplemented("let only those into a protected room whose token lists it")
            // end
        }
        return app
    }

    /// 1. Find the token: the query's `token`, or what follows `Bearer ` in the header Authorization. Throw
    ///    `WebSocketException.missingToken` if there is none.
    /// 2. Return the claims of the token if it is valid now, by `clock`.
    static func authenticate(_ request: Request, _ clock: ServerClock) throws -> Claims {
        // solution
        guard let token = request.query["token"] ?? bearerToken(request), !token.isEmpty else {
            throw WebSocketException.missingToken
        }
        return try JSONWebToken.claims(of: token, at: clock.secondsSince1970)
        // stub: throw NotImplemented("find the client's token and check it")
        // end
    }
    // solution

    /// The scheme's name is not case-sensitive (RFC 9110 §11.1).
    private static func bearerToken(_ request: Request) -> String? {
        let words = request.headers["Authorization"]?.split(separator: " ") ?? []
        guard words.count == 2, words[0].lowercased() == "bearer" else { return nil }
        return String(words[1])
    }
    // end

    /// The conversation with a client who is known.
    static func converse(_ socket: WebSocket, as claims: Claims) async throws {
        try await socket.accept()
        try await socket.sendJSON(["type": "welcome", "user_id": claims.sub])
        for try await message in socket {
            guard case .text(let text) = message else { continue }
            try await socket.sendJSON(["user_id": claims.sub, "message": text])
        }
    }

    /// Hands out a token that is valid for an hour: `GET /login/ana?rooms=lab,office`. A real server would ask for a
    /// password.
    static func login(_ request: Request, _ clock: ServerClock) throws -> Response {
        let claims = Claims(
            sub: request.parameters["user"] ?? "", exp: clock.secondsSince1970 + 3600,
            rooms: request.query["rooms"]?.split(separator: ",").map(String.init))
        return try .json(["token": try JSONWebToken.sign(claims)])
    }

    public static var samples: [Sample] {
        [
            .text("Hello, it is me!", to: "/ws/auth"),
            .text("Is anybody in the lab?", to: "/ws/protected/{room}"),
        ]
    }
}

extension JSONWebToken {
    /// The claims of a token if it is valid `now`; otherwise throws `WebSocketException.invalidToken` or
    /// `.expiredToken`.
    ///
    /// 3. Split the token into its three parts, and compute what the signature of the first two must be. Compare it
    ///    with the third part in a time that does not depend on where they differ. Believe nothing before that.
    /// 4. Decode the header from base64url and JSON, and check it.
    /// 5. Decode the claims, and check `nbf` and `exp`.
    static func claims(of token: String, at now: Double) throws -> Claims {
        // solution
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let given = bytes(ofBase64URL: parts[2]),
            areEqual(given, signature(of: parts[0] + "." + parts[1]))
        else { throw WebSocketException.invalidToken }

        let header = try decode(Header.self, from: parts[0])
        guard header.alg == "HS256", header.crit == nil else { throw WebSocketException.invalidToken }

        let claims = try decode(Claims.self, from: parts[1])
        if let nbf = claims.nbf, now < nbf { throw WebSocketException.invalidToken }
        guard now < claims.exp else { throw WebSocketException.expiredToken }
        return claims
        // stub: throw NotImplemented("check the token: signature, header, claims")
        // end
    }
    // solution

    private static func decode<Part: Decodable>(_ type: Part.Type, from text: Substring) throws -> Part {
        guard let bytes = bytes(ofBase64URL: text) else { throw WebSocketException.invalidToken }
        do {
            return try JSONDecoder().decode(type, from: bytes)
        } catch {
            throw WebSocketException.invalidToken
        }
    }

    /// Foundation reads base64 with its padding only.
    private static func bytes(ofBase64URL text: Substring) -> Data? {
        let base64 = text.replacing("-", with: "+").replacing("_", with: "/")
        return Data(base64Encoded: base64 + String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4))
    }

    /// Goes through all bytes, whatever it finds: the time it takes tells an attacker nothing.
    private static func areEqual(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        left.count == right.count && zip(left, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
    // end
}

import Foundation
import WebSocketEngine

// Given, from level 06. There is nothing to change here.

extension WebSocketException {
    static let missingToken = WebSocketException(code: 4001, reason: "Missing token")
    static let invalidToken = WebSocketException(code: 4001, reason: "Invalid token")
    static let expiredToken = WebSocketException(code: 4001, reason: "Expired token")
    static let accessDenied = WebSocketException(code: 4003, reason: "Access denied")
}

/// What a token says about its bearer.
struct Claims: Codable {
    var sub: String
    var exp: Double
    var nbf: Double?
}

/// Makes and checks JSON Web Tokens, signed with HMAC-SHA-256: `header.claims.signature`, each part in base64url.
struct Tokens {
    private struct Header: Codable {
        var alg = "HS256"
        var crit: [String]?
    }

    /// Known to this server and to nobody else.
    let key: [UInt8]

    /// The token of a request: the query's `token`, or what follows `Bearer` in the header Authorization. Nil if there
    /// is none, or an empty one.
    static func token(in request: Request) -> String? {
        let words = request.headers["Authorization"]?.split(separator: " ") ?? []
        let bearer = words.count == 2 && words[0].lowercased() == "bearer" ? String(words[1]) : nil
        let token = request.query["token"] ?? bearer
        return token?.isEmpty == true ? nil : token
    }

    func sign(_ claims: Claims) throws -> String {
        let encoder = JSONEncoder()
        let content = base64URL(try encoder.encode(Header())) + "." + base64URL(try encoder.encode(claims))
        return content + "." + base64URL(signature(of: content))
    }

    /// The claims of a token that is valid `now`; otherwise throws the `WebSocketException` that says why it is not.
    func claims(of token: String?, at now: Double) throws -> Claims {
        guard let token else { throw WebSocketException.missingToken }
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
    }

    private func signature(of content: some StringProtocol) -> [UInt8] {
        HMACSHA256.authenticationCode(for: Array(content.utf8), key: key)
    }

    private func decode<Part: Decodable>(_ type: Part.Type, from text: Substring) throws -> Part {
        guard let bytes = bytes(ofBase64URL: text) else { throw WebSocketException.invalidToken }
        do {
            return try JSONDecoder().decode(type, from: bytes)
        } catch {
            throw WebSocketException.invalidToken
        }
    }

    private func base64URL(_ bytes: some Collection<UInt8>) -> String {
        Data(bytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private func bytes(ofBase64URL text: Substring) -> Data? {
        let base64 = text.replacing("-", with: "+").replacing("_", with: "/")
        return Data(base64Encoded: base64 + String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4))
    }

    /// Goes through all bytes, whatever it finds: the time it takes tells an attacker nothing.
    private func areEqual(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        left.count == right.count && zip(left, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

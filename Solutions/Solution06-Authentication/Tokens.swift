import Foundation
import WebSocketEngine

// Given: the closes of this level, what a token holds, and how tokens are signed. There is nothing to change here.

/// The closes of this level. To close a connection, throw one.
extension WebSocketException {
    static let missingToken = WebSocketException(code: 4001, reason: "Missing token")
    static let invalidToken = WebSocketException(code: 4001, reason: "Invalid token")
    static let expiredToken = WebSocketException(code: 4001, reason: "Expired token")
    static let accessDenied = WebSocketException(code: 4003, reason: "Access denied")
}

/// What a token says about its bearer (RFC 7519 §4.1). Times are in seconds since 1970-01-01 00:00:00 UTC.
struct Claims: Codable, Sendable {
    var sub: String
    var exp: Double
    var nbf: Double?
    var rooms: [String]?
}

/// JSON Web Tokens (RFC 7519), signed with HMAC-SHA-256: `header.claims.signature`, each part in base64url.
enum JSONWebToken {
    /// What a token says about itself (RFC 7515 §4.1).
    struct Header: Codable {
        var alg = "HS256"
        /// Extensions that a reader must understand or else refuse the token (§4.1.11).
        var crit: [String]?
    }

    /// Known to whoever signs tokens and whoever checks them, and to nobody else.
    private static let key = Array("a course is no place for real secrets".utf8)

    static func sign(_ claims: Claims) throws -> String {
        let encoder = JSONEncoder()
        let content = base64URL(try encoder.encode(Header())) + "." + base64URL(try encoder.encode(claims))
        return content + "." + base64URL(signature(of: content))
    }

    /// The bytes that the third part must hold; `content` is the first two, with the dot between them.
    static func signature(of content: some StringProtocol) -> [UInt8] {
        HMACSHA256.authenticationCode(for: Array(content.utf8), key: key)
    }

    /// Base64 with `-` and `_` for `+` and `/`, and without the `=` at the end (RFC 7515 §2).
    static func base64URL(_ bytes: some Collection<UInt8>) -> String {
        Data(bytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}

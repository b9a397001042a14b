import Foundation
import WebSocketEngine

/// A JSON Web Token made by a check itself, byte for byte, so that it can be right, or wrong in exactly one way.
public struct Token: Sendable, CustomStringConvertible {
    /// Header, claims and signature in base64url. More or fewer than three, if a check wants that.
    public var parts: [String]

    /// Signs the header and the claims, as they stand, with HMAC-SHA-256.
    public init(header: String = #"{"alg":"HS256","typ":"JWT"}"#, claims: String, key: String) {
        parts = [Self.base64URL(Array(header.utf8)), Self.base64URL(Array(claims.utf8))]
        parts.append(Self.base64URL(Self.signature(of: parts, key)))
    }

    /// Signs claims that are the JSON of a value.
    public init(header: String = #"{"alg":"HS256","typ":"JWT"}"#, claims: JSONValue, key: String) {
        self.init(header: header, claims: claims.text, key: key)
    }

    /// A text where a token should be.
    public init(_ text: String) { parts = [text] }

    /// The token with one part changed and the others, the signature too, as they were.
    public func replacing(part index: Int, with text: String) -> Token {
        var token = self
        token.parts[index] = text
        return token
    }

    public var description: String { parts.joined(separator: ".") }

    public static func base64URL(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString()
            .replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    /// The bytes of the signature that fits these parts.
    public static func signature(of parts: [String], _ key: String) -> [UInt8] {
        HMACSHA256.authenticationCode(for: Array(parts.joined(separator: ".").utf8), key: Array(key.utf8))
    }
}

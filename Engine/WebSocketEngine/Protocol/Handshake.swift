#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The opening handshake (RFC 6455 §4): what each side checks, and what it answers.
package enum Handshake {
    static let version = "13"
    /// The fields of a handshake that only the engine writes (§4.1, §4.2.2).
    static let fields = [
        "Host", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Accept",
        "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions",
    ]

    /// The proof that a server understood the request as WebSocket: SHA-1 of the key and a fixed GUID (§4.2.2).
    package static func acceptValue(forKey key: String) -> String {
        base64(SHA1.hash(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
    }

    /// True if the request asks for a WebSocket at all.
    static func isRequested(by head: RequestHead) -> Bool {
        head.headers.hasToken("websocket", in: "Upgrade")
    }

    /// The key of a valid opening handshake (§4.2.1), or the error to answer.
    static func key(of head: RequestHead) throws(HTTPError) -> String {
        guard head.method == "GET" else {
            throw HTTPError(status: 405, reason: "A WebSocket handshake is a GET request.")
        }
        guard head.minorVersion >= 1 else {
            throw HTTPError(status: 400, reason: "A WebSocket handshake needs HTTP/1.1.")
        }
        guard head.headers.hasToken("Upgrade", in: "Connection") else {
            throw HTTPError(status: 400, reason: "The header Connection must contain Upgrade.")
        }
        guard head.headers["Sec-WebSocket-Version"] == version else {
            throw HTTPError(status: 426, reason: "The only supported Sec-WebSocket-Version is 13.")
        }
        guard let key = head.headers["Sec-WebSocket-Key"], Data(base64Encoded: key)?.count == 16 else {
            throw HTTPError(status: 400, reason: "Sec-WebSocket-Key must be 16 bytes in base64.")
        }
        return key
    }

    /// The 101 response (§4.2.2) that accepts the request with this key.
    static func response(key: String, subprotocol: String?, headers: Headers) -> [UInt8] {
        var text =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Accept: \(acceptValue(forKey: key))\r\n"
        if let subprotocol { text += "Sec-WebSocket-Protocol: \(subprotocol)\r\n" }
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        return Array((text + "\r\n").utf8)
    }

    /// A client's key: sixteen random bytes (§4.1).
    package static func makeKey() -> String { base64((0..<16).map { _ in UInt8.random(in: .min ... .max) }) }

    /// The first subprotocol that a client must not offer: they are tokens, and each is there once (§4.1). Anything
    /// else could end the line, and a caller's data become header fields.
    static func firstUnsendable(of subprotocols: [String]) -> String? {
        var seen: Set<String> = []
        return subprotocols.first { name in
            name.isEmpty || !name.utf8.allSatisfy(\.isTokenCharacter) || !seen.insert(name).inserted
        }
    }

    /// A client's request (§4.1).
    package static func request(
        target: String, host: String, key: String, subprotocols: [String] = [], headers: Headers = Headers()
    ) -> [UInt8] {
        var text =
            "GET \(target) HTTP/1.1\r\nHost: \(host)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Key: \(key)\r\nSec-WebSocket-Version: \(version)\r\n"
        if !subprotocols.isEmpty {
            text += "Sec-WebSocket-Protocol: \(subprotocols.joined(separator: ", "))\r\n"
        }
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        return Array((text + "\r\n").utf8)
    }

    /// What is wrong with a server's response to a request with this key (§4.1), or nil if nothing is.
    static func fault(in head: ResponseHead, key: String, subprotocols: [String]) -> String? {
        if head.status != 101 { return "the server answered \(head.status) \(head.reason)" }
        if !head.headers.hasToken("websocket", in: "Upgrade") {
            return "the response has no Upgrade: websocket"
        }
        if !head.headers.hasToken("Upgrade", in: "Connection") {
            return "the response has no Connection: Upgrade"
        }
        if head.headers["Sec-WebSocket-Accept"] != acceptValue(forKey: key) {
            return "Sec-WebSocket-Accept does not answer the key"
        }
        if let chosen = head.headers["Sec-WebSocket-Protocol"], !subprotocols.contains(chosen) {
            return "the server chose the subprotocol \(chosen), which was not offered"
        }
        if head.headers["Sec-WebSocket-Extensions"] != nil {
            return "the server chose an extension, and none was offered"
        }
        return nil
    }

    private static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
}

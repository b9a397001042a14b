#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a client asked for: a plain HTTP request, or the opening handshake of a WebSocket.
public struct Request: Sendable {
    /// `GET`, `HEAD` or `POST`.
    public let method: String
    /// The path without the query, still percent-encoded.
    public let path: String
    /// The header fields of the request.
    public let headers: Headers
    /// What follows the `?`, percent-decoded.
    public let query: QueryParameters
    /// What stood in the place of `{name}` in the route, percent-decoded.
    public internal(set) var parameters: [String: String] = [:]
    /// The peer's address: that of the proxy, if there is one.
    public let client: SocketAddress
    /// The body of a POST; empty in a handshake.
    public internal(set) var body: [UInt8] = []

    init(_ head: RequestHead, client: SocketAddress) {
        method = head.method
        path = head.path
        headers = head.headers
        query = QueryParameters(head.query)
        self.client = client
    }

    /// What a client of ours asked `server` for.
    init(clientOf target: WebSocketClient.Target, headers: Headers, server: SocketAddress) {
        let parts = target.resource.split(separator: "?", maxSplits: 1)
        method = "GET"
        path = parts.first.map(String.init) ?? "/"
        query = QueryParameters(parts.count > 1 ? String(parts[1]) : "")
        self.headers = headers
        client = server
    }

    /// The body as JSON. Throws `DecodingError` if it is not, or does not fit `type`.
    public func json<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(body))
    }
}

/// The answer to a plain HTTP request.
public struct Response: Sendable {
    /// The HTTP status, from 200 to 599.
    public var status: Int
    /// Fields of the handler's own; the engine adds Content-Length and what concerns the connection.
    public var headers: Headers
    /// What is sent after the head; left out in the answer to a HEAD.
    public var body: [UInt8]

    /// A response of these parts. For text, a page and JSON there are shorter ways.
    public init(status: Int = 200, headers: Headers = Headers(), body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// Plain text in UTF-8.
    public static func text(_ text: String, status: Int = 200) -> Response {
        Response(
            status: status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: Array(text.utf8))
    }

    /// A page.
    public static func html(_ html: String, status: Int = 200) -> Response {
        Response(
            status: status, headers: ["Content-Type": "text/html; charset=utf-8"], body: Array(html.utf8))
    }

    /// JSON with its keys in alphabetical order. Throws `EncodingError` if `value` has no JSON form.
    public static func json(_ value: some Encodable, status: Int = 200) throws -> Response {
        Response(
            status: status, headers: ["Content-Type": "application/json"], body: try JSON.encode(value))
    }

    /// The response on the wire. Content-Length and the fields of a connection are the engine's own: one written by
    /// a handler too would let two programs read the response differently, so it is refused. The connection ends
    /// with it: one request each keeps this engine small, and WebSockets are what it is for.
    func encoded(omittingBody: Bool = false) throws(WebSocketError) -> [UInt8] {
        var text = "HTTP/1.1 \(status) \(Self.reasons[status] ?? "")\r\n"
        if let name = headers.firstUnsendable(besides: ["Upgrade", "Sec-WebSocket-Version"]) {
            throw .invalidHandshake("header \(name)")
        }
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if status == 426 { text += "Upgrade: websocket\r\nSec-WebSocket-Version: \(Handshake.version)\r\n" }
        // RFC 9110 §6.4.1: these have no body, and 204 must not even say that it has none (§8.6).
        let hasBody = status >= 200 && status != 204 && status != 304
        if hasBody { text += "Content-Length: \(body.count)\r\n" }
        text += "Connection: close\r\n\r\n"
        return omittingBody || !hasBody ? Array(text.utf8) : Array(text.utf8) + body
    }

    private static let reasons = [
        200: "OK", 201: "Created", 204: "No Content", 301: "Moved Permanently", 302: "Found",
        304: "Not Modified",
        400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
        405: "Method Not Allowed",
        408: "Request Timeout", 409: "Conflict", 413: "Content Too Large", 414: "URI Too Long",
        422: "Unprocessable Content", 426: "Upgrade Required", 429: "Too Many Requests",
        431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
        503: "Service Unavailable", 505: "HTTP Version Not Supported",
    ]
}

/// The engine's one way to write and read JSON.
enum JSON {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        // The same value is the same bytes every time, which makes transcripts and tests readable.
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }
}

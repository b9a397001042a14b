/// Why a message head was refused.
public struct HTTPError: Error, Sendable, Equatable {
    /// The HTTP status to answer with.
    public var status: Int
    /// A plain sentence for the developer at the other end.
    public var reason: String

    /// A refusal with this status.
    public init(status: Int, reason: String) {
        self.status = status
        self.reason = reason
    }

    fileprivate static func badRequest(_ reason: String) -> HTTPError { .init(status: 400, reason: reason) }
}

/// The request line and header fields of a request (RFC 9112 §3).
struct RequestHead: Sendable, Equatable {
    var method: String
    /// The target as it was sent.
    var target: String
    /// The target's path before the `?`, still percent-encoded.
    var path: String
    /// What follows the `?`, still percent-encoded; empty if there is none.
    var query: String
    var headers: Headers
    /// 1 in HTTP/1.1, which a WebSocket handshake needs (RFC 6455 §4.1); 0 in HTTP/1.0.
    var minorVersion = 1

    /// The length of the body that follows; `nil` if there is none (RFC 9112 §6.3).
    var contentLength: Int? { headers.contentLength }
}

/// The status line and header fields of a response (RFC 9112 §4).
struct ResponseHead: Sendable, Equatable {
    var status: Int
    var reason: String
    var headers: Headers

    /// The length of the body that follows, if the response says.
    var contentLength: Int? { headers.contentLength }
}

/// Parses one HTTP/1.1 message head out of bytes that arrive in pieces.
///
/// It takes whole lines as they come and remembers how far it has looked, so that bytes trickling in one at a time
/// cost no more than one pass. It is strict where leniency lets two programs read one message differently (request
/// smuggling, RFC 9112 §11.2): what is refused here never reaches a handler. After an error the parser is spent.
struct HTTPHeadParser {
    private let limits: Limits
    private var request: RequestHead?
    private var response: ResponseHead?
    private var headers = Headers()
    private var headerCount = 0

    /// Where the line being read begins, and where the search for its end goes on.
    private var lineStart = 0
    private var searched = 0
    /// Where the header fields begin.
    private var fieldsStart = 0

    init(limits: Limits) {
        self.limits = limits
    }

    /// Looks for a whole request head.
    ///
    /// - Parameter bytes: Everything received so far.
    /// - Returns: The head and its length, after which body or frames follow; `nil` while it is incomplete.
    mutating func parseRequest(
        _ bytes: UnsafeRawBufferPointer
    ) throws(HTTPError) -> (head: RequestHead, length: Int)? {
        if request == nil {
            guard let line = try firstLine(in: bytes) else { return nil }
            request = try RequestHead(line: line)
        }
        guard try readFields(in: bytes), var head = request else { return nil }
        let authority = head.headers["Host"]
        head.headers = headers
        try head.checkFields()
        // The authority of an absolute target takes the place of Host (RFC 9112 §3.2.2).
        if let authority { head.headers["Host"] = authority }
        return (head, lineStart)
    }

    /// Looks for a whole response head.
    ///
    /// - Parameter bytes: Everything received so far.
    /// - Returns: The head and its length, after which body or frames follow; `nil` while it is incomplete.
    /// - Throws: What is wrong, with the status that a request with the same fault would get.
    mutating func parseResponse(
        _ bytes: UnsafeRawBufferPointer
    ) throws(HTTPError) -> (head: ResponseHead, length: Int)? {
        if response == nil {
            guard let line = try firstLine(in: bytes) else { return nil }
            response = try ResponseHead(line: line)
        }
        guard try readFields(in: bytes), var head = response else { return nil }
        head.headers = headers
        try headers.checkContentLength()
        return (head, lineStart)
    }

    // MARK: Lines

    /// The first line, once it is whole.
    private mutating func firstLine(
        in bytes: UnsafeRawBufferPointer
    ) throws(HTTPError) -> UnsafeRawBufferPointer? {
        if bytes.first == 0x16 {
            throw .badRequest("This looks like TLS, but the port speaks plain text: use ws:// or http://.")
        }
        repeat {
            let end = lineStart + limits.requestLine + 2
            guard let line = try nextLine(in: bytes, before: end, orStatus: 414) else { return nil }
            if !line.isEmpty {
                fieldsStart = lineStart
                return line
            }
            // One empty line before a message is ignored (RFC 9112 §2.2).
        } while lineStart == 2
        throw .badRequest("There are empty lines before the first line.")
    }

    /// Reads the header fields that are whole. True when the head has ended.
    private mutating func readFields(in bytes: UnsafeRawBufferPointer) throws(HTTPError) -> Bool {
        let end = fieldsStart + limits.headerBytes
        while let line = try nextLine(in: bytes, before: end, orStatus: 431) {
            if line.isEmpty { return true }
            headerCount += 1
            if headerCount > limits.headerCount {
                throw HTTPError(status: 431, reason: "There are too many header fields.")
            }
            try headers.addField(line)
        }
        return false
    }

    /// The next line without its CRLF, once it is whole. It must end before an offset.
    private mutating func nextLine(
        in bytes: UnsafeRawBufferPointer, before end: Int, orStatus status: Int
    ) throws(HTTPError) -> UnsafeRawBufferPointer? {
        let searchEnd = min(bytes.count, end)
        while searched < searchEnd, bytes[searched] != UInt8(ascii: "\n") { searched += 1 }
        if searched >= end {
            let what = status == 414 ? "first line is" : "header fields together are"
            throw HTTPError(status: status, reason: "The \(what) too long.")
        }
        if searched == bytes.count { return nil }
        // RFC 9112 §2.2 would let LF alone end a line; programs that disagree on it can be set against each other.
        guard searched > lineStart, bytes[searched - 1] == UInt8(ascii: "\r") else {
            throw .badRequest("A line ends in LF alone instead of CR LF.")
        }
        let line = bytes[lineStart..<searched - 1]
        searched += 1
        lineStart = searched
        return UnsafeRawBufferPointer(rebasing: line)
    }
}

// MARK: - First lines

extension RequestHead {
    /// Parses `GET /chat?room=1 HTTP/1.1`. An absolute target leaves its authority in the field Host.
    fileprivate init(line: UnsafeRawBufferPointer) throws(HTTPError) {
        let space = UInt8(ascii: " ")
        guard let first = line.firstIndex(of: space), let last = line.lastIndex(of: space), first < last
        else { throw .badRequest("The request line is not a method, a target and a version.") }
        let version = line[(last + 1)...]
        if version.elementsEqual("HTTP/1.0".utf8) {
            minorVersion = 0
        } else if !version.elementsEqual("HTTP/1.1".utf8) {
            guard version.starts(with: "HTTP/".utf8) else {
                throw .badRequest("The request line does not end in a version such as HTTP/1.1.")
            }
            throw HTTPError(status: 505, reason: "This server speaks HTTP/1.1.")
        }
        let method = line[..<first]
        guard !method.isEmpty, method.allSatisfy(\.isTokenCharacter) else {
            throw .badRequest("The method is not a token.")
        }
        let target = line[(first + 1)..<last]
        guard target.allSatisfy({ 0x21...0x7E ~= $0 }) else {
            throw .badRequest("The target holds a character that must be percent-encoded.")
        }
        self.method = String(decoding: method, as: UTF8.self)
        self.target = String(decoding: target, as: UTF8.self)
        headers = Headers()

        var resource = self.target[...]
        if !resource.hasPrefix("/") {
            headers.add("Host", String(try resource.removeSchemeAndAuthority()))
        }
        let path = resource.utf8.prefix { $0 != UInt8(ascii: "?") }
        self.path = path.isEmpty ? "/" : String(Substring(path))
        query = String(Substring(resource.utf8.dropFirst(path.count + 1)))
    }

    /// The checks of RFC 9112 §3.2 and §6 on all fields together, and of RFC 6455 §11.3 on those of a handshake.
    fileprivate func checkFields() throws(HTTPError) {
        for name in ["Host", "Content-Length", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]
        where headers.count(of: name) > 1 {
            throw .badRequest("The header field \(name) is there more than once.")
        }
        if minorVersion == 1, headers.count(of: "Host") == 0 {
            throw .badRequest("The header field Host is missing.")
        }
        if headers.count(of: "Transfer-Encoding") > 0 {
            // Both together are the classic way to smuggle a request (RFC 9112 §6.1).
            if headers.count(of: "Content-Length") > 0 {
                throw .badRequest("The request has both Content-Length and Transfer-Encoding.")
            }
            throw HTTPError(status: 501, reason: "Send the body with Content-Length, not Transfer-Encoding.")
        }
        try headers.checkContentLength()
    }
}

extension Substring {
    /// Cuts `http://host:port` off an absolute target (RFC 9112 §3.2.2) and returns `host:port`.
    fileprivate mutating func removeSchemeAndAuthority() throws(HTTPError) -> Substring {
        for scheme in ["http://", "https://", "ws://", "wss://"]
        where prefix(scheme.count).equalsIgnoringASCIICase(scheme) {
            removeFirst(scheme.count)
            let authority = prefix { $0 != "/" && $0 != "?" }
            // A user name in the authority is a way to disguise the host (RFC 9110 §4.2.4).
            if authority.isEmpty || authority.contains("@") { break }
            removeFirst(authority.count)
            return authority
        }
        throw .badRequest("The target is neither a path such as /ws nor an http, https, ws or wss URL.")
    }
}

extension ResponseHead {
    /// Parses `HTTP/1.1 101 Switching Protocols`. The reason may be missing, even with the space before it.
    fileprivate init(line: UnsafeRawBufferPointer) throws(HTTPError) {
        let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
        guard ["HTTP/1.1", "HTTP/1.0"].contains(where: { parts[0].elementsEqual($0.utf8) }), parts.count > 1
        else { throw .badRequest("The response does not begin with a status line such as HTTP/1.1 200 OK.") }
        guard parts[1].count == 3, let status = Int(decimalDigits: parts[1]), status >= 100 else {
            throw .badRequest("The status of the response is not a number of three digits.")
        }
        let reason = parts.count > 2 ? parts[2] : line[..<0]
        guard reason.allSatisfy(\.isFieldValueCharacter) else {
            throw .badRequest("The status line holds a control character.")
        }
        self.status = status
        self.reason = String(decoding: reason, as: UTF8.self)
        headers = Headers()
    }
}

// MARK: - Fields

extension Headers {
    /// Parses `Name: value` (RFC 9112 §5). Bytes of a value that are not UTF-8 become U+FFFD.
    fileprivate mutating func addField(_ line: UnsafeRawBufferPointer) throws(HTTPError) {
        if line[0].isOptionalWhitespace {
            throw .badRequest("A header field goes on in a second line (obsolete line folding).")
        }
        var colon = 0
        while colon < line.count, line[colon].isTokenCharacter { colon += 1 }
        guard colon > 0, colon < line.count, line[colon] == UInt8(ascii: ":") else {
            // Whitespace before the colon is refused too (RFC 9112 §5.1).
            throw .badRequest("A header field is not a name of token characters with a colon right after it.")
        }
        var start = colon + 1
        var end = line.count
        while start < end, line[start].isOptionalWhitespace { start += 1 }
        while start < end, line[end - 1].isOptionalWhitespace { end -= 1 }
        let value = UnsafeRawBufferPointer(rebasing: line[start..<end])
        guard value.allSatisfy(\.isFieldValueCharacter) else {
            throw .badRequest("The value of a header field holds a control character.")
        }
        let name = UnsafeRawBufferPointer(rebasing: line[..<colon])
        add(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
    }

    fileprivate var contentLength: Int? {
        self["Content-Length"].flatMap { Int(decimalDigits: $0.utf8) }
    }

    /// Content-Length must be digits alone: a sign or a list is read differently by different programs
    /// (RFC 9112 §6.3).
    fileprivate func checkContentLength() throws(HTTPError) {
        if count(of: "Content-Length") > 0, contentLength == nil {
            throw .badRequest("Content-Length is not a plain decimal number.")
        }
    }
}

extension Int {
    /// A number of digits alone: `nil` for a sign, anything else, or more than fits.
    fileprivate init?(decimalDigits digits: some Collection<UInt8>) {
        guard digits.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
        self.init(String(decoding: digits, as: UTF8.self))
    }
}

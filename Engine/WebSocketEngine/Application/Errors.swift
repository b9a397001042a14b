/// The connection is over: what a handler's `receive` and `send` throw from then on.
public struct WebSocketDisconnect: Error, Sendable, Equatable, CustomStringConvertible {
    /// The peer's close code; 1005 if its Close frame had none, 1006 if the connection ended without a Close frame.
    /// After a close of our own, the code that we sent.
    public let code: CloseCode
    /// The peer's words; empty if there were none.
    public let reason: String

    /// For tests: the engine makes the real ones.
    public init(code: CloseCode, reason: String = "") {
        self.code = code
        self.reason = reason
    }

    public var description: String {
        reason.isEmpty ? "disconnected with code \(code)" : "disconnected with code \(code): \(reason)"
    }
}

/// Thrown by a handler to close its connection with this code and reason.
public struct WebSocketException: Error, Sendable, Equatable, CustomStringConvertible {
    /// A code that may be sent (``CloseCode/mayBeSent``); for any other the connection is closed with 1011.
    public let code: CloseCode
    /// At most 123 bytes of UTF-8 (RFC 6455 §5.5); for a longer one the connection is closed with 1011.
    public let reason: String

    /// Only describes the close; it happens when the handler throws this.
    public init(code: CloseCode, reason: String = "") {
        self.code = code
        self.reason = reason
    }

    public var description: String {
        // These are reported to the operator, who must learn why no client has seen the code.
        if !code.mayBeSent {
            return "threw a WebSocketException with the code \(code) (\(reason)), which is never sent"
        }
        return "closing with code \(code): \(reason)"
    }
}

/// A call that does not fit the state of its WebSocket, or an argument that cannot go on the wire.
public enum WebSocketError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Messages were sent or received before ``WebSocket/accept(subprotocol:headers:)``.
    case notAccepted
    /// A handler returned without `accept`, `reject` or `close`; the client is refused with status 500.
    case notAnswered
    /// `accept` or `reject` was called a second time.
    case alreadyAnswered
    /// Two tasks receive from one WebSocket at the same time.
    case alreadyReceiving
    /// This code must not appear in a Close frame (RFC 6455 §7.4.1).
    case reservedCloseCode(CloseCode)
    /// A close reason, or a ping, is longer than a control frame can carry (§5.5); the number is its bytes.
    case controlFrameTooLong(Int)
    /// A header or a subprotocol that would break the request or the response, or a subprotocol that the client did
    /// not offer.
    case invalidHandshake(String)
    /// `receiveText()` met a binary message, or `receiveBytes()` a text message.
    case unexpectedMessage(Message)
    /// No connection came about; the text says what happened. Another attempt may succeed.
    case cannotConnect(String)
    /// The server answered the handshake with this HTTP status and its reason phrase.
    case refused(status: Int, String)
    /// This is no URL of a WebSocket that this engine can reach; the text says why.
    case invalidURL(String)

    public var description: String {
        switch self {
        case .notAccepted: "the WebSocket is not open yet: call accept() first"
        case .notAnswered: "the handler returned without accept() or reject()"
        case .alreadyAnswered: "the handshake was answered before: call accept() or reject() once"
        case .alreadyReceiving: "another task is receiving from this WebSocket already"
        case .reservedCloseCode(let code): "close code \(code) is reserved and never sent (RFC 6455 §7.4.1)"
        case .controlFrameTooLong(let count): "\(count) bytes do not fit a control frame (RFC 6455 §5.5)"
        case .invalidHandshake(let fault): "the handshake cannot be answered so: \(fault)"
        case .unexpectedMessage(.text): "a text message came where binary was expected"
        case .unexpectedMessage(.binary): "a binary message came where text was expected"
        // The system's errors say so themselves.
        case .cannotConnect(let fault): fault.hasPrefix("cannot ") ? fault : "cannot connect: \(fault)"
        case .refused(let status, let reason):
            "the server refused the connection: \(status)" + (reason.isEmpty ? "" : " \(reason)")
        case .invalidURL(let fault): fault
        }
    }
}

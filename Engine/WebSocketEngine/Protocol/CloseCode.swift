/// Why a WebSocket was closed: the number in a Close frame (RFC 6455 §7.4).
///
/// Any number can be written as a literal (`4001`); ``mayBeSent`` tells which may appear on the wire.
public struct CloseCode: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral, Codable {
    /// The number on the wire.
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public init(integerLiteral value: UInt16) { rawValue = value }

    /// The purpose of the connection is fulfilled.
    public static let normalClosure: CloseCode = 1000
    /// The server shuts down, or the browser leaves the page.
    public static let goingAway: CloseCode = 1001
    /// The peer broke the protocol.
    public static let protocolError: CloseCode = 1002
    /// A kind of data that this endpoint does not take, such as binary where text is expected.
    public static let unsupportedData: CloseCode = 1003
    /// Never sent: stands for a Close frame that carried no code.
    public static let noStatusReceived: CloseCode = 1005
    /// Never sent: stands for a connection that ended without a Close frame.
    public static let abnormalClosure: CloseCode = 1006
    /// Data that does not fit its type, such as text that is not UTF-8.
    public static let invalidPayload: CloseCode = 1007
    /// A message against this server's rules, when no other code fits.
    public static let policyViolation: CloseCode = 1008
    /// A message larger than this endpoint takes.
    public static let messageTooBig: CloseCode = 1009
    /// The client misses an extension that the server did not offer.
    public static let mandatoryExtension: CloseCode = 1010
    /// The server met a condition that it did not expect.
    public static let internalError: CloseCode = 1011

    /// True for codes that a Close frame may carry. 1004, 1005, 1006 and 1015 are reserved for reports to the
    /// application (§7.4.1); 3000–3999 are registered with IANA and 4000–4999 are private (§7.4.2).
    /// 1012–1014 were registered after the RFC.
    public var mayBeSent: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension CloseCode: CustomStringConvertible {
    public var description: String { String(rawValue) }
}

/// What a Close frame says: a code and a reason of at most 123 bytes of UTF-8 (RFC 6455 §5.5.1).
struct CloseReason: Sendable, Equatable {
    var code: CloseCode
    var reason: String

    /// Control frames carry at most 125 bytes (§5.5), two of which are the code.
    static let maximumReasonBytes = 123

    /// The frame's payload. A missing code is an empty payload.
    var payload: [UInt8] {
        if code == .noStatusReceived { return [] }
        return [UInt8(code.rawValue >> 8), UInt8(code.rawValue & 0xFF)] + reason.utf8
    }

    init(code: CloseCode, reason: String = "") {
        self.code = code
        self.reason = reason
    }

    /// Reads a received payload.
    init(payload: [UInt8]) throws(ProtocolViolation) {
        switch payload.count {
        case 0:
            self.init(code: .noStatusReceived)
        case 1:
            throw ProtocolViolation(
                .protocolError, "a Close frame carries no code or two bytes of it (§5.5.1)")
        default:
            let code = CloseCode(rawValue: UInt16(payload[0]) << 8 | UInt16(payload[1]))
            guard code.mayBeSent else {
                throw ProtocolViolation(.protocolError, "\(code) must not appear in a Close frame (§7.4)")
            }
            guard let reason = String(validating: payload.dropFirst(2), as: UTF8.self) else {
                throw ProtocolViolation(.invalidPayload, "the reason of a Close frame is UTF-8 (§5.5.1)")
            }
            self.init(code: code, reason: reason)
        }
    }
}

/// What the peer did wrong, and the code with which the connection is failed (RFC 6455 §7.1.7).
struct ProtocolViolation: Error, Sendable, Equatable {
    var code: CloseCode
    /// A plain sentence, short enough for a Close frame.
    var reason: String

    init(_ code: CloseCode, _ reason: String) {
        self.code = code
        self.reason = reason
    }
}

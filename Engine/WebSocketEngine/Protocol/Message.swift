/// One WebSocket message: text, or bytes (RFC 6455 §5.6).
public enum Message: Sendable, Equatable {
    case text(String)
    case binary([UInt8])
}

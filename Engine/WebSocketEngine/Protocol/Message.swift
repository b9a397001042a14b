/// One WebSocket message: text, or bytes (RFC 6455 §5.6).
public enum Message: Sendable, Equatable {
    /// Valid UTF-8: the engine closes with 1007 what is not.
    case text(String)
    /// Any bytes.
    case binary([UInt8])
}

/// Every limit of the engine in one value.
///
/// RFC 6455 §10.4 asks for limits on what a peer may make this side hold. Sizes are in bytes unless a line says
/// otherwise. Change what a server needs and leave the rest:
///
///     var limits = Limits()
///     limits.messageBytes = 64 * 1024
public struct Limits: Sendable, Equatable {
    /// The defaults.
    public init() {}

    // MARK: Handshake and plain HTTP

    /// Length of the first line of a request, without its line end. A longer one is answered with 414.
    public var requestLine = 8 * 1024

    /// Number of header fields in a request. More are answered with 431: a lookup goes through all of them.
    public var headerCount = 100

    /// Bytes of all header fields together, with the empty line that ends them. More are answered with 431.
    public var headerBytes = 32 * 1024

    /// Bytes of the body of a plain HTTP request, which is held in memory. A longer one is answered with 413.
    public var bodyBytes = 1 << 20

    /// Time from accepting a connection to the end of its handshake, in total: a peer that sends one byte now and
    /// then does not extend it.
    public var handshakeTimeout: Duration = .seconds(10)

    // MARK: Messages

    /// Bytes of one message, all its fragments together. A longer one closes the connection with 1009.
    public var messageBytes = 1 << 20

    /// Number of fragments of one message. More close the connection with 1009: even an empty fragment costs work,
    /// so that ``messageBytes`` alone would not end an endless message.
    public var messageFragments = 1024

    // MARK: Keeping and closing a connection

    /// Time between two pings of the engine, short enough for the idle timeouts of common proxies (60 s);
    /// `nil` sends none.
    public var pingInterval: Duration? = .seconds(20)

    /// Time that a peer has to answer a ping of the engine. After it the connection counts as lost (1006).
    public var pongTimeout: Duration = .seconds(20)

    /// Time that a peer has to answer a close frame (RFC 6455 §7.1.1). After it the connection is cut.
    public var closeTimeout: Duration = .seconds(10)

    /// Time that a shutdown waits for connections to close. After it those left are cut.
    public var shutdownTimeout: Duration = .seconds(10)

    // MARK: Backpressure

    /// Number of messages received that a handler has not taken yet. At this many the engine stops reading, and
    /// TCP holds the sender back.
    public var inboundMessages = 16

    /// Bytes of messages received that a handler has not taken yet. At this many the engine stops reading.
    public var inboundBytes = 1 << 20

    /// Bytes of one connection not yet taken by the operating system, over which `send` suspends its caller.
    public var sendHighWater = 32 * 1024

    /// Bytes of one connection not yet taken by the operating system, over which a broadcast drops the connection:
    /// one slow reader must not delay the others, nor grow without bound.
    public var broadcastHighWater = 1 << 20
}

/// One copy of the limits for all connections of a server: in each of them they would be half of its memory.
final class SharedLimits: Sendable {
    let value: Limits

    init(_ value: Limits) {
        var value = value
        // With room for nothing, nothing would ever be read, not even a Close frame.
        value.inboundMessages = max(1, value.inboundMessages)
        value.inboundBytes = max(1, value.inboundBytes)
        self.value = value
    }
}

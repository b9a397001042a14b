import Synchronization

/// One WebSocket connection, as a handler sees it. The same type serves a server's handlers and a client.
///
/// All methods may be called from any task. Messages sent by one task arrive in order. Only one task may receive at a
/// time; any number may send.
public final class WebSocket: Sendable {
    /// Where a WebSocket is in its life.
    public enum State: Sendable {
        /// The handshake is not answered yet.
        case connecting
        /// Messages flow in both directions.
        case open
        /// Our Close frame is sent, the peer's has not come.
        case closing
        /// The connection is over; ``WebSocket/disconnect`` says how.
        case closed
    }

    /// The client's handshake: path, query, headers, address.
    public let request: Request
    /// What a handler wants to remember with this connection, one value of each type.
    public let storage = Storage()
    let session: WebSocketSession
    private let closesWhenReleased: Bool

    init(session: WebSocketSession, request: Request, closesWhenReleased: Bool = false) {
        self.session = session
        self.request = request
        self.closesWhenReleased = closesWhenReleased
    }

    deinit {
        // A client's socket that nobody can use any more would live until the server closes it. A server's lives as
        // long as its handler and is closed then.
        if closesWhenReleased, disconnect == nil {
            session.loop.execute { [session] in session.close(.goingAway, "") }
        }
    }

    // MARK: The handshake

    /// The header fields of the handshake.
    public var headers: Headers { request.headers }
    /// The query of the handshake's address, percent-decoded.
    public var query: QueryParameters { request.query }
    /// What stood in the place of `{name}` in the route, percent-decoded.
    public var parameters: [String: String] { request.parameters }
    /// The peer's address: that of the proxy, if there is one.
    public var client: SocketAddress { request.client }

    /// Where the connection is in its life at this moment.
    public var state: State { session.publicState.withLock { $0.state } }
    /// How the connection ended; nil while it lasts.
    public var disconnect: WebSocketDisconnect? { session.publicState.withLock { $0.disconnect } }
    /// The subprotocol that was agreed on, if any.
    public var subprotocol: String? { session.publicState.withLock { $0.subprotocol } }

    /// The subprotocols that the client offers, its favourite first.
    public var offeredSubprotocols: [String] {
        (headers["Sec-WebSocket-Protocol"] ?? "").split(separator: ",").map {
            String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
    }

    /// Completes the opening handshake; from now on messages flow (RFC 6455 §4.2.2).
    /// - Throws: ``WebSocketError`` for an answer that cannot be given; ``WebSocketDisconnect`` if the client is gone.
    nonisolated(nonsending)
        public func accept(subprotocol: String? = nil, headers: Headers = Headers()) async throws
    {
        if let subprotocol, !offeredSubprotocols.contains(subprotocol) {
            throw WebSocketError.invalidHandshake("the client does not offer the subprotocol \(subprotocol)")
        }
        if let name = headers.firstUnsendable(besides: Handshake.fields) {
            throw WebSocketError.invalidHandshake("header \(name)")
        }
        try await session.onLoop { try $0.accept(subprotocol: subprotocol, headers: headers) }
    }

    /// Refuses the handshake with an HTTP status. A browser's page learns nothing but 1006; to tell it a reason,
    /// accept and ``close(code:reason:)``.
    nonisolated(nonsending) public func reject(status: Int = 403, _ body: String = "") async throws {
        guard (300...599).contains(status) else {
            throw WebSocketError.invalidHandshake("\(status) is no status that refuses")
        }
        let response = try Response.text(body, status: status).encoded()
        try await session.onLoop { try $0.reject(response) }
    }

    // MARK: Receiving

    /// The next message.
    /// - Throws: ``WebSocketDisconnect`` when the connection is over; `CancellationError` if the task is cancelled.
    nonisolated(nonsending) public func receive() async throws -> Message {
        if let message = session.takeMessage() { return message }
        return try await session.waitForMessage()
    }

    /// The next message, which must be text, or ``WebSocketError/unexpectedMessage(_:)`` is thrown.
    nonisolated(nonsending) public func receiveText() async throws -> String {
        let message = try await receive()
        guard case .text(let text) = message else { throw WebSocketError.unexpectedMessage(message) }
        return text
    }

    /// The next message, which must be binary, or ``WebSocketError/unexpectedMessage(_:)`` is thrown.
    nonisolated(nonsending) public func receiveBytes() async throws -> [UInt8] {
        let message = try await receive()
        guard case .binary(let bytes) = message else { throw WebSocketError.unexpectedMessage(message) }
        return bytes
    }

    // MARK: Sending

    /// Sends a message. Returns when it is on its way, which takes time only if the peer reads more slowly than
    /// this side sends (``Limits/sendHighWater``).
    /// - Throws: ``WebSocketDisconnect`` when the connection is over.
    @inline(__always)
    nonisolated(nonsending) public func send(_ message: Message) async throws {
        if session.sendNow(message) { return }
        try await session.sendSlowly(message)
    }

    /// Sends a text message; see ``send(_:)-(Message)``.
    nonisolated(nonsending) public func send(_ text: String) async throws { try await send(.text(text)) }

    /// Sends a binary message; see ``send(_:)-(Message)``.
    nonisolated(nonsending) public func send(_ bytes: [UInt8]) async throws { try await send(.binary(bytes)) }

    /// Sends a Ping (RFC 6455 §5.5.2) of at most 125 bytes.
    nonisolated(nonsending) public func ping(_ payload: [UInt8] = []) async throws {
        if payload.count > 125 { throw WebSocketError.controlFrameTooLong(payload.count) }
        try await session.onLoop { try $0.ping(payload) }
    }

    /// When the peer last sent anything: a part of a message suffices. The handshake is the first.
    public var lastActivity: ServerClock.Instant { session.lastActivity }

    // MARK: Closing

    /// Begins the closing handshake and returns at once (RFC 6455 §7.1.2). The engine waits for the peer's answer.
    ///
    /// Before ``accept(subprotocol:headers:)`` it completes the opening handshake first, so that a browser can read
    /// code and reason. On a connection that is closed already it does nothing.
    /// - Throws: ``WebSocketError`` for a code that is never sent, or a reason of more than 123 bytes of UTF-8.
    nonisolated(nonsending)
        public func close(code: CloseCode = .normalClosure, reason: String = "") async throws
    {
        guard code.mayBeSent else { throw WebSocketError.reservedCloseCode(code) }
        guard reason.utf8.count <= CloseReason.maximumReasonBytes else {
            throw WebSocketError.controlFrameTooLong(reason.utf8.count)
        }
        do {
            try await session.onLoop { $0.close(code, reason) }
        } catch is WebSocketDisconnect {}
    }

    /// Returns when the closing handshake has passed and the socket is closed. To be called at the end of a program:
    /// the answer to the peer's Close frame, or our own, may still be on its way when ``receive()`` ends.
    public nonisolated(nonsending) func waitUntilClosed() async { await session.waitUntilClosed() }
}

extension WebSocket: AsyncSequence {
    public typealias Element = Message

    /// The messages until the connection is over, whichever way; ``WebSocket/disconnect`` tells which.
    public struct AsyncIterator: AsyncIteratorProtocol {
        @usableFromInline let socket: WebSocket

        public mutating func next() async throws -> Message? { try await next(isolation: nil) }

        // Inlined into the handler's loop: a call would ask the runtime for the task's executor, for each message. That
        // was a tenth of the server's time with 16 messages under way on each connection.
        @inlinable @inline(__always)
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Message? {
            if let message = socket.takeMessage() { return message }
            return try await socket.waitForMessage()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(socket: self) }

    /// The next message, if it is here already.
    @usableFromInline func takeMessage() -> Message? { session.takeMessage() }

    /// The next message, or nil when the connection is over.
    @usableFromInline nonisolated(nonsending) func waitForMessage() async throws -> Message? {
        do {
            return try await session.waitForMessage()
        } catch is WebSocketDisconnect {
            return nil
        }
    }
}

extension WebSocket: Hashable {
    /// A WebSocket is itself and no other, so that sets and dictionaries can hold it.
    public static func == (left: WebSocket, right: WebSocket) -> Bool { left === right }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// Values that belong to a connection, found by their type: `socket.storage[User.self] = user`.
public final class Storage: Sendable {
    private let values = Mutex<[ObjectIdentifier: any Sendable]>([:])

    /// The value of this type, or nil. From any thread; each access is one step, a change from an old value is two.
    public subscript<Value: Sendable>(type: Value.Type) -> Value? {
        get { values.withLock { $0[ObjectIdentifier(type)] as? Value } }
        set { values.withLock { $0[ObjectIdentifier(type)] = newValue } }
    }
}

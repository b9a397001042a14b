/// A client's connection until its handshake is complete. Confined to its loop.
final class ClientHandshake: ConnectionDelegate, @unchecked Sendable {
    var output = SendQueue()
    private let target: WebSocketClient.Target
    private let headers: Headers
    private let subprotocols: [String]
    private let limits: Limits
    private let loop: EventLoop
    private let key = Handshake.makeKey()
    private var parser: HTTPHeadParser
    private var buffer: [UInt8] = []
    private var connection: Connection?
    private var deadline: TimerQueue.ID?
    /// Resumed once, with the open WebSocket or the reason why there is none.
    private var continuation: UnsafeContinuation<WebSocket, any Error>?
    private var isCancelled = false

    /// From any thread; everything else on the loop.
    init(
        _ target: WebSocketClient.Target, _ headers: Headers, _ subprotocols: [String], _ limits: Limits,
        on loop: EventLoop
    ) {
        self.target = target
        self.headers = headers
        self.subprotocols = subprotocols
        self.limits = limits
        self.loop = loop
        parser = HTTPHeadParser(limits: limits)
    }

    func start(_ address: ResolvedAddress, _ continuation: UnsafeContinuation<WebSocket, any Error>) {
        if isCancelled { return continuation.resume(throwing: CancellationError()) }
        self.continuation = continuation
        do throws(SystemError) {
            let socket = try Socket.connecting(to: address)
            let connection = Connection(socket, peer: Socket.describe(address), on: loop)
            output.append(
                Handshake.request(
                    target: target.resource, host: target.authority, key: key, subprotocols: subprotocols,
                    headers: headers))
            self.connection = connection
            guard connection.start(self, isConnecting: true) else { return fail("no resources are left") }
            deadline = loop.schedule(after: limits.handshakeTimeout) {
                self.fail("\(self.target.authority) did not answer in time")
            }
        } catch {
            fail(error.description)
        }
    }

    // MARK: - ConnectionDelegate

    func received(_ bytes: UnsafeMutableRawBufferPointer) {
        buffer.append(contentsOf: bytes)
        do throws(HTTPError) {
            guard let (head, length) = try parseHead() else { return }
            finish(head, surplus: Array(buffer[length...]))
        } catch {
            fail("the response is not HTTP: \(error.reason)")
        }
    }

    private func parseHead() throws(HTTPError) -> (head: ResponseHead, length: Int)? {
        try buffer.withUnsafeBytes { bytes in
            Result { () throws(HTTPError) in try parser.parseResponse(bytes) }
        }.get()
    }

    private func finish(_ head: ResponseHead, surplus: [UInt8]) {
        if head.status != 101 { return fail(WebSocketError.refused(status: head.status, head.reason)) }
        if let fault = Handshake.fault(in: head, key: key, subprotocols: subprotocols) { return fail(fault) }
        guard let connection, let continuation else { return }
        loop.cancel(deadline)
        self.connection = nil
        self.continuation = nil
        let session = WebSocketSession(role: .client, limits: SharedLimits(limits), loop: loop)
        let request = Request(clientOf: target, headers: headers, server: connection.peer)
        let socket = WebSocket(session: session, request: request, closesWhenReleased: true)
        session.takeOver(connection, surplus: surplus, subprotocol: head.headers["Sec-WebSocket-Protocol"])
        continuation.resume(returning: socket)
    }

    /// Gives up, unless there is a result already. The cancellation may come before the start.
    func cancel() {
        isCancelled = true
        fail(CancellationError())
    }

    private func fail(_ fault: String) { fail(WebSocketError.cannotConnect(fault)) }

    private func fail(_ error: any Error) {
        loop.cancel(deadline)
        let continuation = continuation
        self.continuation = nil
        connection?.close()
        connection = nil
        continuation?.resume(throwing: error)
    }

    func peerFinished() -> Bool { false }

    func connectionClosed() {
        let reason = connection?.failure ?? 0
        fail(
            reason == 0
                ? "\(target.authority) ended the connection during the handshake"
                : SystemError("connect to \(target.authority)", code: reason).description)
    }

    func outputWasSent() {}

    func receiveInPlace(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Bool { false }
}

import Synchronization

/// What joins a connection, the protocol's state machine and the tasks that use it.
///
/// Confined to its loop: every property without a lock is touched on the loop's thread only, and every method is
/// called there unless it says otherwise. That, and not the compiler, makes it `Sendable`.
final class WebSocketSession: ConnectionDelegate, @unchecked Sendable {
    let loop: EventLoop
    private let sharedLimits: SharedLimits
    var limits: Limits { _read { yield sharedLimits.value } }
    /// Holds the session until the socket is closed, and is held by it.
    private(set) var connection: Connection?
    var wire: WebSocketProtocol
    /// What accepts the handshake; nil once it is answered.
    var makeResponse: ((_ subprotocol: String?, _ headers: Headers) -> [UInt8])?

    /// Messages that no task has asked for yet.
    var inbox = Inbox()
    /// Received bytes that are not parsed yet, because the inbox is full or the handshake is not answered.
    private var unread: [UInt8] = []
    private(set) var isReadingPaused = false
    private var willResumeReading = false
    var receiver: Waiter<Message>?
    var senders: [Waiter<Void>] = []
    /// Ids of waits that were cancelled before they began.
    var cancelledWaits: Set<UInt64> = []
    let lastWaitID = Atomic<UInt64>(0)

    /// The one timer of a connection: the end of the handshake, then of silence, then of the closing handshake.
    var timer: TimerQueue.ID?
    var pingSentAt: ServerClock.Instant?
    let lastActivityNanoseconds = Atomic<Int64>(0)
    var whenClosed: [() -> Void] = []

    /// What any thread may ask about.
    struct PublicState {
        var state = WebSocket.State.connecting
        var disconnect: WebSocketDisconnect?
        var subprotocol: String?
        var isSocketClosed = false
    }
    let publicState = Mutex(PublicState())
    /// The same for the loop itself, without the lock.
    var state = WebSocket.State.connecting
    var disconnect: WebSocketDisconnect?

    init(role: WebSocketProtocol.Role, limits: SharedLimits, loop: EventLoop) {
        sharedLimits = limits
        self.loop = loop
        wire = WebSocketProtocol(role: role, limits: limits.value)
    }

    // MARK: - The handshake

    /// Takes a server's connection over; `surplus` is what came after the request. `makeResponse` will accept it.
    func takeOver(
        _ connection: Connection, surplus: [UInt8],
        makeResponse: @escaping (_ subprotocol: String?, _ headers: Headers) -> [UInt8]
    ) {
        self.makeResponse = makeResponse
        takeOver(connection, surplus: surplus)
        // The handler has its time to accept.
        timer = loop.schedule(after: limits.handshakeTimeout) { self.abort() }
    }

    /// Takes a client's connection over, whose handshake is complete.
    func takeOver(_ connection: Connection, surplus: [UInt8], subprotocol: String?) {
        takeOver(connection, surplus: surplus)
        open(subprotocol)
    }

    /// Nothing is read before the handshake is answered; then the surplus comes first.
    private func takeOver(_ connection: Connection, surplus: [UInt8]) {
        self.connection = connection
        unread = surplus
        isReadingPaused = true
        connection.pauseReading()
        connection.handOver(to: self)
    }

    func accept(subprotocol: String?, headers: Headers) throws {
        if let disconnect { throw disconnect }
        guard let makeResponse else { throw WebSocketError.alreadyAnswered }
        self.makeResponse = nil
        wire.output.append(makeResponse(subprotocol, headers))
        open(subprotocol)
    }

    func reject(_ response: [UInt8]) throws {
        if let disconnect { throw disconnect }
        guard makeResponse != nil else { throw WebSocketError.alreadyAnswered }
        makeResponse = nil
        wire.output.append(response)
        end(WebSocketDisconnect(code: .abnormalClosure, reason: "the handshake was refused"))
        connection?.finish(lingering: true, within: limits.closeTimeout)
    }

    private func open(_ subprotocol: String?) {
        state = .open
        publicState.withLock {
            $0.state = .open
            $0.subprotocol = subprotocol
        }
        noteActivity()
        loop.cancel(timer)
        if let interval = limits.pingInterval { checkLater(after: interval) }
        connection?.flushLater()
        loop.runSoon { self.resumeReading() }
    }

    // MARK: - Receiving (ConnectionDelegate)

    var output: SendQueue {
        _read { yield wire.output }
        _modify { yield &wire.output }
    }

    func received(_ bytes: UnsafeMutableRawBufferPointer) {
        noteActivity()
        process(bytes)
    }

    func receiveInPlace(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Bool {
        guard wire.wantsPayloadInPlace else { return false }
        noteActivity()
        if let event = wire.receivePayloadInPlace(read) { handle(event) }
        if !wire.output.isEmpty { connection?.flushLater() }
        return true
    }

    /// Parses as much as the inbox takes, and keeps the rest.
    private func process(_ bytes: UnsafeMutableRawBufferPointer) {
        var input = bytes
        while true {
            while !inboxIsFull, let event = wire.next(&input) { handle(event) }
            if input.isEmpty { break }
            // A handler that keeps up makes room as soon as it runs; only one that does not stops the reading.
            loop.runJobs()
            if inboxIsFull {
                unread = Array(input)
                isReadingPaused = true
                connection?.pauseReading()
                break
            }
        }
        if !wire.output.isEmpty { connection?.flushLater() }
    }

    private var inboxIsFull: Bool {
        state == .open
            && (inbox.count >= limits.inboundMessages || inbox.byteCount >= limits.inboundBytes)
    }

    /// Goes on where the reading stopped. Never called by a task directly, as it may have to run tasks itself.
    func resumeReading() {
        willResumeReading = false
        guard isReadingPaused else { return }
        isReadingPaused = false
        if !unread.isEmpty {
            var bytes = unread
            unread = []
            bytes.withUnsafeMutableBytes { process($0) }
        }
        if !isReadingPaused { connection?.resumeReading() }
    }

    @inline(__always)
    private func handle(_ event: WebSocketProtocol.Event) {
        switch event {
        case .message(let message):
            if let receiver {
                self.receiver = nil
                receiver.continuation.resume(returning: message)
            } else {
                inbox.append(message)
            }
        case .ping, .pong:
            break
        case .close(let code, let reason):
            // §7.1.1: the server closes the TCP connection first, so a client waits for that.
            finish(WebSocketDisconnect(code: code, reason: reason), lingering: wire.role == .client)
        case .violation(let code, let reason):
            finish(WebSocketDisconnect(code: code, reason: reason), lingering: true)
        }
    }

    /// Nothing more will be received.
    private func finish(_ disconnect: WebSocketDisconnect, lingering: Bool) {
        // What came before the end is answered before the end.
        loop.runJobs()
        wire.finish()
        end(disconnect)
        connection?.finish(lingering: lingering, within: limits.closeTimeout)
    }

    func peerFinished() -> Bool {
        lose("the connection was lost")
        return false
    }

    func outputWasSent() {
        wire.outputWasSent()
        if senders.isEmpty { return }
        let waiting = senders
        senders = []
        for sender in waiting { sender.continuation.resume() }
    }

    func connectionClosed() {
        lose("the connection was closed")
        connection = nil
        publicState.withLock { $0.isSocketClosed = true }
        let actions = whenClosed
        whenClosed = []
        for action in actions { action() }
    }

    // MARK: - Messages

    /// The next message if it is here already and this is the loop's thread. From any thread.
    @inline(__always)
    func takeMessage() -> Message? {
        guard loop.isCurrent, let message = inbox.popFirst() else { return nil }
        if isReadingPaused { resumeReadingIfThereIsRoom() }
        return message
    }

    /// Half of the inbox must be free, so that reading does not stop and go on with every message.
    private func resumeReadingIfThereIsRoom() {
        guard !willResumeReading, inbox.count <= limits.inboundMessages / 2,
            inbox.byteCount <= limits.inboundBytes / 2
        else { return }
        willResumeReading = true
        loop.runSoon { self.resumeReading() }
    }

    /// True if the message was sent and nobody has to wait. From any thread.
    @inline(__always)
    func sendNow(_ message: Message) -> Bool {
        guard loop.isCurrent else { return false }
        loop.catchUp()
        guard state == .open, wire.output.count < limits.sendHighWater else { return false }
        wire.send(message)
        connection?.flushLater()
        return true
    }

    /// Sends whatever the amount that waits. Throws when the connection is over.
    func sendAlways(_ message: Message) throws {
        try requireOpen()
        wire.send(message)
        connection?.flushLater()
    }

    /// True while a sender must wait: not even the kernel takes more.
    func outputIsHigh() -> Bool {
        if wire.output.count >= limits.sendHighWater { connection?.flush() }
        return wire.output.count >= limits.sendHighWater
    }

    func broadcast(_ frame: EncodedFrame, _ message: Message) {
        // Much may have been sent in this turn of the loop, which writes at its end: only what the kernel does not
        // take is the reader's fault.
        if wire.output.count > limits.broadcastHighWater { connection?.flush() }
        guard state == .open else { return }
        if wire.output.count > limits.broadcastHighWater {
            lose("too slow a reader")
            connection?.close()
            return
        }
        if wire.role == .server { wire.send(frame) } else { wire.send(message) }
        connection?.flushLater()
    }

    func ping(_ payload: [UInt8]) throws {
        try requireOpen()
        wire.ping(payload)
        connection?.flushLater()
    }

    private func requireOpen() throws {
        if let disconnect { throw disconnect }
        if state == .connecting { throw WebSocketError.notAccepted }
    }
}

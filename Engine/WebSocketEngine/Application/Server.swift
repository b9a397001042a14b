import Synchronization

/// A running application: its event loops, and how to stop them.
public final class Server: Sendable {
    /// The port it listens on, which the system chose if 0 was asked for.
    public let port: Int
    /// The host it was told to listen on.
    public let host: String
    private let application: Application.Configuration
    private let loops: [ServerLoop]
    private enum Shutdown {
        case notBegun
        case underWay(waiting: [UnsafeContinuation<Void, Never>])
        case done
    }
    private let shutdownState = Mutex(Shutdown.notBegun)

    fileprivate init(host: String, port: Int, application: Application.Configuration, loops: [ServerLoop]) {
        self.host = host
        self.port = port
        self.application = application
        self.loops = loops
    }

    /// The loops, for tests that watch whether one is blocked.
    package var eventLoops: [EventLoop] { loops.map(\.loop) }

    /// Stops in good order: accepts nobody new, answers 503 to requests under way, closes WebSockets with 1001
    /// (RFC 6455 §7.4.1), waits for the handlers up to ``Limits/shutdownTimeout``, cuts what is left, and runs the
    /// shutdown hooks. Errors of hooks are thrown at the end, the first one found; the others have run too.
    ///
    /// A second call does nothing but wait for the end of the first.
    public func shutdown() async throws {
        guard beginShutdown() else { return await waitForShutdown() }
        defer { endShutdown() }
        await withTaskGroup(of: Void.self) { group in
            for loop in loops { group.addTask { await loop.shutDown() } }
        }
        var failure: (any Error)?
        for hook in application.shutdownHooks {
            do { try await hook() } catch { failure = failure ?? error }
        }
        for loop in loops { loop.loop.stop() }
        if let failure { throw failure }
    }

    private func beginShutdown() -> Bool {
        shutdownState.withLock { state in
            guard case .notBegun = state else { return false }
            state = .underWay(waiting: [])
            return true
        }
    }

    private func waitForShutdown() async {
        await withUnsafeContinuation { continuation in
            let isDone = shutdownState.withLock { state in
                guard case .underWay(let waiting) = state else { return true }
                state = .underWay(waiting: waiting + [continuation])
                return false
            }
            if isDone { continuation.resume() }
        }
    }

    private func endShutdown() {
        let waiting = shutdownState.withLock { state -> [UnsafeContinuation<Void, Never>] in
            defer { state = .done }
            if case .underWay(let waiting) = state { return waiting }
            return []
        }
        for continuation in waiting { continuation.resume() }
    }
}

extension Application {
    /// Runs the startup hooks, then listens.
    /// - Parameters:
    ///   - host: A name or numeric address; `127.0.0.1` is reachable from this machine only.
    ///   - port: 0 takes any free port.
    ///   - loops: Threads among which connections are shared out.
    /// - Throws: ``SystemError`` if it cannot listen; whatever a startup hook throws.
    public func start(host: String = "127.0.0.1", port: Int = 0, loops: Int = 1) async throws -> Server {
        let configuration = configuration
        let socket = try Socket.bound(host: host, port: port)
        var serverLoops: [ServerLoop] = []
        do {
            for hook in configuration.startupHooks { try await hook() }
            try socket.startListening()
            for _ in 0..<max(1, loops) {
                serverLoops.append(ServerLoop(try EventLoop(clock: clock), configuration))
            }
            await serverLoops[0].listen(on: socket, sharingWith: serverLoops)
            return Server(host: host, port: socket.localPort, application: configuration, loops: serverLoops)
        } catch {
            for loop in serverLoops { loop.loop.stop() }
            socket.close()
            throw error
        }
    }
}

/// A server's part on one event loop: its connections and handlers. Confined to that loop but where said otherwise.
final class ServerLoop: @unchecked Sendable {
    let loop: EventLoop
    let configuration: Application.Configuration
    let sharedLimits: SharedLimits
    var limits: Limits { _read { yield sharedLimits.value } }
    private(set) var isShuttingDown = false

    private var listener: Listener?
    private var requests: [ObjectIdentifier: HTTPSession] = [:]
    private struct Conversation {
        var socket: WebSocket
        var task: Task<Void, Never>?
    }
    private var conversations: [ObjectIdentifier: Conversation] = [:]
    private var whenIdle: (() -> Void)?
    private var shutdownDeadline: TimerQueue.ID?
    private var nextLoop = 0

    init(_ loop: EventLoop, _ configuration: Application.Configuration) {
        self.loop = loop
        self.configuration = configuration
        sharedLimits = SharedLimits(configuration.limits)
    }

    // MARK: - Connections

    /// Listens on this loop and hands connections out to all of them in turn. From any thread.
    fileprivate func listen(on socket: Socket, sharingWith loops: [ServerLoop]) async {
        await withUnsafeContinuation { continuation in
            loop.execute {
                self.listener = Listener(socket, on: self.loop) { socket, peer in
                    let next = loops[self.nextLoop]
                    self.nextLoop = (self.nextLoop + 1) % loops.count
                    next.loop.run { next.accepted(socket, peer) }
                }
                continuation.resume()
            }
        }
    }

    private func accepted(_ socket: Socket, _ peer: SocketAddress) {
        // Handed over by another loop while this one was told to stop: nobody would see to it.
        if isShuttingDown { return socket.close() }
        let connection = Connection(socket, peer: peer, on: loop)
        let session = HTTPSession(connection, on: self)
        requests[ObjectIdentifier(session)] = session
        if !connection.start(session) { session.connectionClosed() }
    }

    /// Forgets a connection that has closed or become a WebSocket.
    func forget(_ session: HTTPSession) {
        requests[ObjectIdentifier(session)] = nil
        checkIdle()
    }

    // MARK: - WebSockets

    /// Runs the handler of a new WebSocket, inside the middleware.
    func begin(_ socket: WebSocket, _ handler: @escaping Application.WebSocketHandler) {
        let id = ObjectIdentifier(socket)
        conversations[id] = Conversation(socket: socket)
        var chain = handler
        for middleware in configuration.middleware.reversed() {
            let inner = chain
            chain = { try await middleware($0, inner) }
        }
        let whole = chain
        conversations[id]?.task = Task(executorPreference: loop) {
            var failure: (any Error)?
            do { try await whole(socket) } catch { failure = error }
            let error = failure
            self.loop.run { self.handlerEnded(socket, error) }
        }
    }

    private func handlerEnded(_ socket: WebSocket, _ error: (any Error)?) {
        let session = socket.session
        let wasAccepted = session.state != .connecting
        switch error {
        case nil where wasAccepted:
            session.close(.normalClosure, "")
        case is WebSocketDisconnect, is CancellationError:
            if wasAccepted { session.close(.normalClosure, "") } else { refuse(session, 500) }
        case let exception as WebSocketException where exception.mayBeSent:
            session.close(exception.code, exception.reason)
        default:
            let fault = error ?? WebSocketError.notAnswered
            report(fault, socket.request)
            if wasAccepted { session.close(.internalError, "Internal error") } else { refuse(session, 500) }
        }
        session.onClosed { [self] in
            conversations[ObjectIdentifier(socket)] = nil
            checkIdle()
        }
    }

    private func refuse(_ session: WebSocketSession, _ status: Int) {
        let response = try? Response.text("The server failed to answer.\n", status: status).encoded()
        try? session.reject(response ?? [])
    }

    /// Tells of a handler's error. From any thread.
    func report(_ error: any Error, _ request: Request) {
        if configuration.errorHooks.isEmpty { StandardError.write("\(request.path): \(error)\n") }
        for hook in configuration.errorHooks { hook(error, request) }
    }

    // MARK: - Shutting down

    /// From any thread.
    fileprivate func shutDown() async {
        await withUnsafeContinuation { continuation in
            loop.execute {
                self.isShuttingDown = true
                self.listener?.close()
                // It holds on to all loops, to hand connections out to them.
                self.listener = nil
                for session in self.requests.values { session.shutDown() }
                for conversation in self.conversations.values {
                    conversation.socket.session.shutDown()
                }
                self.whenIdle = { continuation.resume() }
                self.shutdownDeadline = self.loop.schedule(after: self.limits.shutdownTimeout) {
                    self.cutAll()
                }
                self.checkIdle()
            }
        }
    }

    private func cutAll() {
        for session in requests.values { session.abort() }
        for conversation in conversations.values {
            conversation.task?.cancel()
            conversation.socket.session.abort()
        }
        becomeIdle()
    }

    private func checkIdle() {
        if isShuttingDown, requests.isEmpty, conversations.isEmpty { becomeIdle() }
    }

    private func becomeIdle() {
        // The timer would keep this object and its loop alive: the loop stops before it is due.
        loop.cancel(shutdownDeadline)
        whenIdle?()
        whenIdle = nil
    }
}

extension WebSocketException {
    fileprivate var mayBeSent: Bool {
        code.mayBeSent && reason.utf8.count <= CloseReason.maximumReasonBytes
    }
}

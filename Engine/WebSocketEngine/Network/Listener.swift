/// A socket that waits for connections on an event loop.
final class Listener: PollTarget {
    private(set) var token: UInt64 = 0
    private let loop: EventLoop
    private let socket: Socket
    private let accepted: (Socket, SocketAddress) -> Void
    private var isOpen = false
    private var retry: TimerQueue.ID?

    /// On the loop. `accepted` is called there with every new connection.
    init(_ socket: Socket, on loop: EventLoop, accepted: @escaping (Socket, SocketAddress) -> Void) {
        self.socket = socket
        self.loop = loop
        self.accepted = accepted
        if let token = loop.watch(socket, .read, for: self) {
            self.token = token
            isOpen = true
        }
    }

    func ready(_ event: PollEvent) {
        // A bound, so that a storm of newcomers does not keep the loop from those who are there.
        for _ in 0..<64 {
            switch socket.accept() {
            case .connection(let socket, let peer): accepted(socket, peer)
            case .none: return
            case .exhausted: return pause()
            }
        }
    }

    /// Without a free descriptor the newcomer stays in the backlog, and the poller would report it without end:
    /// look again when a connection has closed, or in a moment, for descriptors may be held by others.
    private func pause() {
        loop.change(socket, from: .read, to: [], token: token)
        loop.pausedListeners.append(self)
        retry = loop.schedule(after: .milliseconds(100)) { self.resume() }
    }

    func resume() {
        loop.cancel(retry)
        retry = nil
        loop.pausedListeners.removeAll { $0 === self }
        if isOpen { loop.change(socket, from: [], to: .read, token: token) }
    }

    /// Stops listening: newcomers are refused by the system.
    func close() {
        guard isOpen else { return }
        isOpen = false
        loop.cancel(retry)
        loop.close(socket)
    }
}

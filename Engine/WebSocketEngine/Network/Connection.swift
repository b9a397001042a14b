import CSystem

/// Who makes sense of a connection's bytes. All calls come on the connection's loop.
protocol ConnectionDelegate: AnyObject {
    /// Bytes to send. The connection removes what it has sent.
    var output: SendQueue { get set }
    /// The output is empty now.
    func outputWasSent()
    /// Bytes arrived. They are valid during the call only.
    func received(_ bytes: UnsafeMutableRawBufferPointer)
    /// Lets `read` put bytes where they belong, instead of ``received(_:)``. False if there is no such place.
    func receiveInPlace(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Bool
    /// The peer has finished sending, or the connection is lost. True to keep it for what is still to be sent.
    func peerFinished() -> Bool
    /// The socket is closed; nothing more will happen.
    func connectionClosed()
}

/// One TCP connection on its event loop: reading, writing and the ways to end.
final class Connection: PollTarget {
    private enum Phase {
        case open
        /// Closes as soon as the output is sent.
        case finishing(lingering: Bool)
        /// Our side is shut down; what the peer still sends is thrown away until it closes too.
        case lingering
        case closed
    }

    let loop: EventLoop
    let socket: Socket
    let peer: SocketAddress
    private(set) var token: UInt64 = 0
    private var phase = Phase.open
    private var interest: Interest = []
    private var isPaused = false
    private var isBlocked = false
    private var willFlush = false
    private var deadline: TimerQueue.ID?
    private var delegate: (any ConnectionDelegate)?
    /// The system's error number when the connection broke, 0 if it ended in order.
    private(set) var failure: Int32 = 0

    /// On the loop.
    init(_ socket: Socket, peer: SocketAddress, on loop: EventLoop) {
        self.socket = socket
        self.peer = peer
        self.loop = loop
    }

    /// Begins to read. False if the system cannot watch the socket.
    ///
    /// `isConnecting`: the output is written when the socket becomes writable, which is when it is connected.
    func start(_ delegate: any ConnectionDelegate, isConnecting: Bool = false) -> Bool {
        interest = isConnecting ? [.read, .write] : .read
        isBlocked = isConnecting
        guard let token = loop.watch(socket, interest, for: self) else {
            socket.close()
            phase = .closed
            return false
        }
        self.token = token
        self.delegate = delegate
        return true
    }

    /// Gives the connection over to another protocol, after an upgrade.
    func handOver(to delegate: any ConnectionDelegate) { self.delegate = delegate }

    // MARK: - Reading

    func ready(_ event: PollEvent) {
        if event.isWritable { flush() }
        if case .closed = phase { return }
        if event.isReadable {
            read()
        } else if event.isBroken {
            // Not reading at present, so that no read can find this out.
            end(socket.pendingError, isBroken: true)
        }
    }

    private func read() {
        switch phase {
        case .open, .finishing:
            var result = Socket.Transfer.wouldBlock
            let inPlace = delegate?.receiveInPlace { place in
                result = socket.read(into: place)
                if case .bytes(let count) = result { return count }
                return 0
            }
            if inPlace != true {
                result = socket.read(into: loop.receiveBuffer)
                if case .bytes(let count) = result {
                    delegate?.received(.init(rebasing: loop.receiveBuffer[..<count]))
                }
            }
            if case .ended(let error) = result { end(error) }
        case .lingering:
            if case .ended = socket.read(into: loop.receiveBuffer) { close() }
        case .closed:
            break
        }
    }

    /// Stops reading: the kernel's buffers fill up, and TCP holds the peer back.
    func pauseReading() {
        isPaused = true
        updateInterest()
    }

    func resumeReading() {
        isPaused = false
        updateInterest()
    }

    private func end(_ error: Int32, isBroken: Bool = false) {
        failure = error
        // A broken connection is never kept: the poller would report it without end.
        if case .open = phase, delegate?.peerFinished() == true, error == 0, !isBroken {
            pauseReading()
        } else {
            close()
        }
    }

    // MARK: - Writing

    /// There is new output; it goes out at the end of the loop's turn.
    @inline(__always)
    func flushLater() {
        if willFlush || isBlocked { return }
        willFlush = true
        loop.flushLater(self)
    }

    /// Writes as much output as the kernel takes.
    func flush() {
        willFlush = false
        guard let delegate else { return }
        isBlocked = false
        while !delegate.output.isEmpty {
            switch socket.write(delegate.output) {
            case .bytes(let count):
                delegate.output.remove(count)
            case .wouldBlock:
                isBlocked = true
                return updateInterest()
            case .ended(let error):
                failure = error
                return close()
            }
            if delegate.output.isEmpty { delegate.outputWasSent() }
        }
        updateInterest()
        if case .finishing(let lingering) = phase { finishSent(lingering: lingering) }
    }

    @inline(__always)
    private func updateInterest() {
        var wanted: Interest = isPaused ? [] : .read
        if isBlocked { wanted.insert(.write) }
        if wanted == interest { return }
        if case .closed = phase { return }
        loop.change(socket, from: interest, to: wanted, token: token)
        interest = wanted
    }

    // MARK: - Ending

    /// Closes once the output is sent, or when `timeout` is over.
    ///
    /// `lingering`: the peer may still be sending. To close a socket with unread bytes in it resets the connection,
    /// and the reset can destroy our last words on their way. So shut down our side only, and wait for the peer's.
    func finish(lingering: Bool, within timeout: Duration) {
        guard case .open = phase else { return }
        phase = .finishing(lingering: lingering)
        deadline = loop.schedule(after: timeout) { self.close() }
        flushLater()
    }

    private func finishSent(lingering: Bool) {
        guard lingering else { return close() }
        phase = .lingering
        socket.shutdownWriting()
        resumeReading()
    }

    /// Closes at once. What is not sent yet is lost.
    func close() {
        if case .closed = phase { return }
        phase = .closed
        loop.cancel(deadline)
        loop.close(socket)
        let delegate = delegate
        self.delegate = nil
        delegate?.connectionClosed()
    }
}

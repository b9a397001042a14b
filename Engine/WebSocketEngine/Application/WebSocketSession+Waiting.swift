/// The calls of a WebSocket that may have to wait. They come from any thread; a continuation takes them to the loop.
extension WebSocketSession {
    /// Runs `body` on the loop.
    nonisolated(nonsending)
        func onLoop<Value: Sendable>(
            _ body: @escaping @Sendable (WebSocketSession) throws -> Value
        ) async throws -> Value
    {
        if loop.isCurrent {
            loop.catchUp()
            return try body(self)
        }
        try requireNoEnd()
        return try await withUnsafeThrowingContinuation { continuation in
            loop.execute { continuation.resume(with: Result { try body(self) }) }
        }
    }

    nonisolated(nonsending) func waitForMessage() async throws -> Message {
        if loop.hasStopped { try requireNoEnd() }
        return try await wait { $0.beginToReceive($1) }
    }

    private func beginToReceive(_ waiter: Waiter<Message>) {
        if let message = takeMessage() {
            waiter.continuation.resume(returning: message)
        } else if let disconnect {
            waiter.continuation.resume(throwing: disconnect)
        } else if state == .connecting {
            waiter.continuation.resume(throwing: WebSocketError.notAccepted)
        } else if receiver != nil {
            waiter.continuation.resume(throwing: WebSocketError.alreadyReceiving)
        } else {
            receiver = waiter
        }
    }

    nonisolated(nonsending) func sendSlowly(_ message: Message) async throws {
        try requireNoEnd()
        try await wait { session, waiter in
            do {
                try session.sendAlways(message)
                if !session.outputIsHigh() {
                    waiter.continuation.resume()
                } else if let disconnect = session.disconnect {
                    // To write more was to find out that the connection is lost: nobody would wake this sender.
                    waiter.continuation.resume(throwing: disconnect)
                } else {
                    session.senders.append(waiter)
                }
            } catch {
                waiter.continuation.resume(throwing: error)
            }
        }
    }

    nonisolated(nonsending) func waitUntilClosed() async {
        if publicState.withLock({ $0.isSocketClosed }) { return }
        await withUnsafeContinuation { continuation in
            loop.run { self.onClosed { continuation.resume() } }
        }
    }

    /// Throws if the connection is over. From any thread: after a shutdown there is no loop to ask.
    private nonisolated func requireNoEnd() throws {
        if let disconnect = publicState.withLock({ $0.disconnect }) { throw disconnect }
    }

    /// Suspends the calling task, which `begin` resumes or registers as waiting, and sees to its cancellation.
    nonisolated(nonsending)
        private func wait<Value: Sendable>(
            _ begin: @escaping @Sendable (WebSocketSession, Waiter<Value>) -> Void
        ) async throws -> Value
    {
        let id = lastWaitID.add(1, ordering: .relaxed).newValue
        // Runs after the cancellation handler's work, which the loop got before.
        defer { if Task.isCancelled { loop.execute { self.cancelledWaits.remove(id) } } }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                loop.run {
                    let waiter = Waiter(id: id, continuation: continuation)
                    if self.cancelledWaits.remove(id) != nil {
                        continuation.resume(throwing: CancellationError())
                    } else {
                        begin(self, waiter)
                    }
                }
            }
        } onCancel: {
            loop.execute { self.cancelWait(id) }
        }
    }

    /// The cancellation may come before the wait has begun, or after it has ended; then there is nobody to resume.
    private func cancelWait(_ id: UInt64) {
        if let receiver, receiver.id == id {
            self.receiver = nil
            receiver.continuation.resume(throwing: CancellationError())
        } else if let index = senders.firstIndex(where: { $0.id == id }) {
            senders.remove(at: index).continuation.resume(throwing: CancellationError())
        } else {
            cancelledWaits.insert(id)
        }
    }
}

/// A suspended call, by number so that its cancellation finds it.
struct Waiter<Value> {
    var id: UInt64
    var continuation: UnsafeContinuation<Value, any Error>
}

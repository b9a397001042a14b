/// Noticing a peer that has gone without a word: Pings (RFC 6455 §5.5.2), and a limit for their answers.
extension WebSocketSession {
    /// When the peer last sent anything. From any thread.
    var lastActivity: ServerClock.Instant {
        .init(sinceOrigin: .nanoseconds(lastActivityNanoseconds.load(ordering: .relaxed)))
    }

    func noteActivity() {
        let now = loop.clock.sinceOrigin.components
        lastActivityNanoseconds.store(
            now.seconds * 1_000_000_000 + now.attoseconds / 1_000_000_000, ordering: .relaxed)
    }

    func checkLater(after delay: Duration) {
        // Never at once: with an interval of zero the loop would do nothing but check.
        timer = loop.schedule(after: max(delay, .milliseconds(1))) { self.checkAlive() }
    }

    /// One timer per connection, set again when it fires: what arrives meanwhile only notes the time.
    private func checkAlive() {
        guard state == .open, let interval = limits.pingInterval else { return }
        let silence = lastActivity.duration(to: loop.clock.now)
        // While reading is paused on our account a Pong could not be seen.
        if silence < interval || isReadingPaused {
            pingSentAt = nil
            return checkLater(after: isReadingPaused ? interval : interval - silence)
        }
        if let pingSentAt, lastActivity < pingSentAt {
            lose("no answer to a ping")
            connection?.close()
            return
        }
        pingSentAt = loop.clock.now
        wire.ping([])
        connection?.flushLater()
        checkLater(after: limits.pongTimeout)
    }
}

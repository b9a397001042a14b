#if canImport(Darwin)
    import CSystem

    /// Tells which descriptors are ready: Darwin's kqueue, with a user event to wake it from other threads.
    struct Poller: ~Copyable {
        private let queue: Int32
        private let events: UnsafeMutablePointer<kevent>
        private static let capacity = 256
        private static let wakeupToken = UInt64.max

        init() throws(SystemError) {
            let queue = kqueue()
            guard queue >= 0 else { throw SystemError("create a kqueue") }
            self.queue = queue
            _ = fcntl(queue, F_SETFD, FD_CLOEXEC)
            events = .allocate(capacity: Self.capacity)
            _ = apply(0, EVFILT_USER, EV_ADD | EV_CLEAR, token: Self.wakeupToken)
        }

        deinit {
            _ = CSystem.close(queue)
            events.deallocate()
        }

        /// Begins to watch a descriptor. Its events will carry `token`.
        func add(_ descriptor: Int32, _ interest: Interest, token: UInt64) -> Bool {
            change(descriptor, from: [], to: interest, token: token)
            return true
        }

        func change(_ descriptor: Int32, from old: Interest, to new: Interest, token: UInt64) {
            for (kind, filter) in [(Interest.read, EVFILT_READ), (.write, EVFILT_WRITE)]
            where old.contains(kind) != new.contains(kind) {
                _ = apply(
                    UInt(descriptor), filter, new.contains(kind) ? EV_ADD : EV_DELETE, token: token)
            }
        }

        /// Closing a descriptor removes its filters; this is for one that stays open.
        func remove(_ descriptor: Int32) {
            _ = apply(UInt(descriptor), EVFILT_READ, EV_DELETE, token: 0)
            _ = apply(UInt(descriptor), EVFILT_WRITE, EV_DELETE, token: 0)
        }

        /// Makes ``wait`` return. From any thread.
        func wake() { _ = apply(0, EVFILT_USER, 0, flags: UInt32(NOTE_TRIGGER), token: Self.wakeupToken) }

        /// Waits until something is ready, but at most so many milliseconds (-1: without end).
        func wait(milliseconds: Int32, _ handle: (PollEvent) -> Void) {
            var timeout = timespec(
                tv_sec: Int(milliseconds) / 1000, tv_nsec: Int(milliseconds) % 1000 * 1_000_000)
            let count = withUnsafePointer(to: &timeout) {
                kevent(queue, nil, 0, events, Int32(Self.capacity), milliseconds < 0 ? nil : $0)
            }
            for i in 0..<Int(max(0, count)) {
                let event = events[i]
                let token = UInt64(UInt(bitPattern: event.udata))
                if token == Self.wakeupToken { continue }
                // An end of file shows as readable with EV_EOF: the read that follows finds it.
                handle(
                    PollEvent(
                        token: token,
                        isReadable: event.filter == EVFILT_READ,
                        isWritable: event.filter == EVFILT_WRITE,
                        isBroken: event.filter == EVFILT_WRITE && event.flags & UInt16(EV_EOF) != 0))
            }
        }

        private func apply(
            _ identifier: UInt, _ filter: Int32, _ action: Int32, flags: UInt32 = 0, token: UInt64
        ) -> Bool {
            var change = kevent(
                ident: identifier, filter: Int16(filter), flags: UInt16(action), fflags: flags, data: 0,
                udata: UnsafeMutableRawPointer(bitPattern: UInt(token)))
            return kevent(queue, &change, 1, nil, 0, nil) == 0
        }
    }
#endif

#if os(Linux)
    import CSystem

    /// Tells which descriptors are ready: Linux's epoll, level-triggered, with an eventfd to wake it from other threads.
    struct Poller: ~Copyable {
        private let epoll: Int32
        private let wakeup: Int32
        private let events: UnsafeMutablePointer<epoll_event>
        private static let capacity = 256
        private static let wakeupToken = UInt64.max

        init() throws(SystemError) {
            let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
            guard epoll >= 0 else { throw SystemError("create an epoll") }
            let wakeup = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
            guard wakeup >= 0 else {
                let error = SystemError("create an eventfd")
                _ = CSystem.close(epoll)
                throw error
            }
            self.epoll = epoll
            self.wakeup = wakeup
            events = .allocate(capacity: Self.capacity)
            _ = csystem_epoll_ctl(epoll, EPOLL_CTL_ADD, wakeup, EPOLLIN.rawValue, Self.wakeupToken)
        }

        deinit {
            _ = CSystem.close(epoll)
            _ = CSystem.close(wakeup)
            events.deallocate()
        }

        /// Begins to watch a descriptor. Its events will carry `token`.
        func add(_ descriptor: Int32, _ interest: Interest, token: UInt64) -> Bool {
            csystem_epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, interest.epollEvents, token) == 0
        }

        func change(_ descriptor: Int32, from old: Interest, to new: Interest, token: UInt64) {
            _ = csystem_epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, new.epollEvents, token)
        }

        func remove(_ descriptor: Int32) { _ = csystem_epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, 0, 0) }

        /// Makes ``wait`` return. From any thread.
        func wake() {
            var one: UInt64 = 1
            _ = write(wakeup, &one, 8)
        }

        /// Waits until something is ready, but at most so many milliseconds (-1: without end).
        func wait(milliseconds: Int32, _ handle: (PollEvent) -> Void) {
            let count = epoll_wait(epoll, events, Int32(Self.capacity), milliseconds)
            for i in 0..<max(0, count) {
                let token = csystem_epoll_token(events, i)
                if token == Self.wakeupToken {
                    var value: UInt64 = 0
                    _ = read(wakeup, &value, 8)
                    continue
                }
                let ready = csystem_epoll_events(events, i)
                handle(
                    PollEvent(
                        token: token,
                        isReadable: ready & EPOLLIN.rawValue != 0,
                        isWritable: ready & EPOLLOUT.rawValue != 0,
                        isBroken: ready & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0))
            }
        }
    }

    extension Interest {
        fileprivate var epollEvents: UInt32 {
            (contains(.read) ? EPOLLIN.rawValue : 0) | (contains(.write) ? EPOLLOUT.rawValue : 0)
        }
    }
#endif

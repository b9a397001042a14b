import CSystem
import Synchronization

/// A thread that waits for sockets, timers and tasks, and runs whatever is ready.
///
/// Every connection belongs to one loop, and its state is touched by that loop's thread only: no locks. The loop is
/// also a task executor, so that a connection's handler runs on the same thread and needs no switch to reach it. The
/// price is the rule of every event loop: a handler that blocks the thread stops all its connections.
public final class EventLoop: TaskExecutor, @unchecked Sendable {
    /// The time that the loop's timers go by.
    let clock: ServerClock
    /// Where connections read to. Shared, because only one reads at a time.
    let receiveBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 64)

    private let poller: Poller
    private var jobs = JobQueue()
    private var soon: [() -> Void] = []
    private var timers = TimerQueue()
    private var targets: ContiguousArray<(any PollTarget)?> = []
    private var generation: UInt32 = 0
    private var unflushed: ContiguousArray<Connection> = []
    private var isStopped = false
    private let stopped = Atomic(false)

    /// What other threads hand over.
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var work: [() -> Void] = []
    }
    private let inbox = Mutex(Inbox())
    /// True from the first item put into the inbox until the loop looks: one wake-up is enough.
    private let wakeupIsDue = Atomic(false)

    /// Starts a loop on a thread of its own.
    public init(clock: ServerClock = ServerClock()) throws(SystemError) {
        self.clock = clock
        poller = try Poller()
        let context = Unmanaged.passRetained(self).toOpaque()
        let error = csystem_start_thread(
            "event loop",
            { context in
                guard let context else { return }
                Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue().run()
            }, context)
        if error != 0 {
            Unmanaged<EventLoop>.fromOpaque(context).release()
            throw SystemError("start a thread", code: error)
        }
    }

    deinit { receiveBuffer.deallocate() }

    /// True on the loop's own thread.
    @inline(__always)
    var isCurrent: Bool { csystem_current_loop() == Unmanaged.passUnretained(self).toOpaque() }

    // MARK: - Work from anywhere

    /// Runs `work` on the loop's thread, after what it is doing now. From any thread, in order for each.
    package func execute(_ work: @escaping @Sendable () -> Void) {
        inbox.withLock { $0.work.append(work) }
        wake()
    }

    /// Runs `work` at once if this is the loop's thread, and like ``execute(_:)`` if not.
    @inline(__always)
    func run(_ work: @escaping @Sendable () -> Void) {
        if isCurrent { work() } else { execute(work) }
    }

    /// On the loop, before something is sent or closed: does what other threads have handed over until now. What they
    /// sent before, such as an actor that ran on another thread a moment ago, comes before.
    @inline(__always)
    func catchUp() {
        if wakeupIsDue.load(ordering: .acquiring) { runHandedOver() }
    }

    private func runHandedOver() {
        let work = inbox.withLock { inbox in
            defer { inbox.work = [] }
            return inbox.work
        }
        for item in work { item() }
    }

    /// `TaskExecutor`: runs a part of a task, up to its next suspension.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent {
            jobs.append(job)
        } else {
            inbox.withLock { $0.jobs.append(job) }
            wake()
        }
    }

    /// Ends the loop's thread after what it is doing now. Tasks that still prefer this loop never run again.
    package func stop() { execute { self.isStopped = true } }

    /// True when the loop's thread has ended: what is handed over now waits forever. From any thread.
    var hasStopped: Bool { stopped.load(ordering: .acquiring) }

    private func wake() {
        if !wakeupIsDue.exchange(true, ordering: .acquiringAndReleasing) { poller.wake() }
    }

    /// On the loop: runs `work` in the next turn, outside any task.
    func runSoon(_ work: @escaping () -> Void) { soon.append(work) }

    // MARK: - The loop

    private func run() {
        csystem_set_current_loop(Unmanaged.passUnretained(self).toOpaque())
        // Not by a weak reference: an object that has one pays for it at every retain and release.
        let observer = clock.addObserver { self.execute {} }
        while !isStopped {
            poller.wait(milliseconds: timeToWait()) { event in
                // A descriptor may have been closed, and its number reused, since the event was collected.
                let index = Int(event.token & 0xFFFF_FFFF)
                if index < targets.count, let target = targets[index], target.token == event.token {
                    target.ready(event)
                }
            }
            takeInbox()
            if !soon.isEmpty {
                let work = soon
                soon = []
                for item in work { item() }
            }
            while let action = timers.takeDue(at: clock.sinceOrigin) { action() }
            runJobs()
            flush()
        }
        clock.removeObserver(observer)
        stopped.store(true, ordering: .releasing)
        csystem_set_current_loop(nil)
    }

    /// Runs tasks until none is ready, but no more than so many: tasks that keep waking each other must not keep
    /// the loop from its sockets.
    func runJobs() {
        var budget = 512
        while budget > 0, let job = jobs.popFirst() {
            job.runSynchronously(on: asUnownedTaskExecutor())
            budget -= 1
        }
    }

    private func takeInbox() {
        guard wakeupIsDue.exchange(false, ordering: .acquiringAndReleasing) else { return }
        let taken = inbox.withLock { inbox in
            let taken = inbox
            inbox = Inbox()
            return taken
        }
        for job in taken.jobs { jobs.append(job) }
        for work in taken.work { work() }
    }

    /// Milliseconds until the next timer, 0 if tasks are ready, -1 to wait without end.
    private func timeToWait() -> Int32 {
        if !jobs.isEmpty || !soon.isEmpty { return 0 }
        guard let deadline = timers.nextDeadline else { return -1 }
        // No longer than a minute at once, as a limit may stand for "never" and not fit any smaller unit.
        let wait = min(deadline - clock.sinceOrigin, .seconds(60))
        if wait <= .zero { return 0 }
        // Rounded up: waking early would only mean to wait again.
        let milliseconds =
            wait.components.seconds * 1000 + wait.components.attoseconds / 1_000_000_000_000_000 + 1
        return Int32(milliseconds)
    }

    // MARK: - Timers (on the loop)

    func schedule(after delay: Duration, _ action: @escaping () -> Void) -> TimerQueue.ID {
        timers.add(at: clock.sinceOrigin + delay, action)
    }

    func cancel(_ timer: TimerQueue.ID?) {
        if let timer { timers.cancel(timer) }
    }

    // MARK: - Sockets (on the loop)

    /// Watches a socket for `target`; the result names it to the poller. Nil if the system refuses.
    func watch(_ socket: Socket, _ interest: Interest, for target: any PollTarget) -> UInt64? {
        generation &+= 1
        let token = UInt64(generation) << 32 | UInt64(UInt32(socket.descriptor))
        guard poller.add(socket.descriptor, interest, token: token) else { return nil }
        let index = Int(socket.descriptor)
        while targets.count <= index { targets.append(nil) }
        targets[index] = target
        return token
    }

    func change(_ socket: Socket, from old: Interest, to new: Interest, token: UInt64) {
        poller.change(socket.descriptor, from: old, to: new, token: token)
    }

    /// Forgets a socket and closes it.
    func close(_ socket: Socket) {
        targets[Int(socket.descriptor)] = nil
        poller.remove(socket.descriptor)
        socket.close()
        for listener in pausedListeners { listener.resume() }
        pausedListeners = []
    }

    /// Listeners that wait for a descriptor to become free.
    var pausedListeners: [Listener] = []

    /// Has the connection write its output at the end of this turn, together with whatever is added until then.
    func flushLater(_ connection: Connection) { unflushed.append(connection) }

    private func flush() {
        while !unflushed.isEmpty {
            let batch = unflushed
            unflushed = []
            for connection in batch { connection.flush() }
        }
    }
}

/// Someone who owns a watched socket.
protocol PollTarget: AnyObject {
    var token: UInt64 { get }
    /// On the loop: the socket is ready.
    func ready(_ event: PollEvent)
}

/// Tasks that are ready to run, first come first served: a ring, because it is used for every message.
private struct JobQueue {
    private var ring = ContiguousArray<UnownedJob?>(repeating: nil, count: 256)
    private var head = 0
    private var count = 0

    var isEmpty: Bool { count == 0 }

    @inline(__always)
    mutating func append(_ job: UnownedJob) {
        if count == ring.count { grow() }
        ring[(head &+ count) & (ring.count &- 1)] = job
        count &+= 1
    }

    @inline(__always)
    mutating func popFirst() -> UnownedJob? {
        if count == 0 { return nil }
        let job = ring[head]
        head = (head &+ 1) & (ring.count &- 1)
        count &-= 1
        return job
    }

    private mutating func grow() {
        let unrolled = ring[head...] + ring[..<head]
        ring = ContiguousArray(unrolled) + ContiguousArray(repeating: nil, count: ring.count)
        head = 0
    }
}

import Foundation

/// Keeps the grader alive when the student's code traps.
///
/// A Swift trap (a forced unwrap of nil, an index out of range, `fatalError`) raises a signal on the thread that did
/// it. The guard's handler notes that and parks this one thread for good; the grader, on another thread, reads the
/// note, reports CRASHED, and goes on to the next check with a new server.
enum CrashGuard {
    /// Written by the signal handler, which may do nothing but store a number. Allocated before the first crash.
    private nonisolated(unsafe) static let crashes = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    private nonisolated(unsafe) static let graderThread = UnsafeMutablePointer<pthread_t?>.allocate(
        capacity: 1)

    private nonisolated(unsafe) static let checking = UnsafeMutablePointer<Bool>.allocate(capacity: 1)

    /// True while a check runs: whoever calls `exit()` then would otherwise end the tests with a green 0.
    static var isChecking: Bool {
        get { checking.pointee }
        set { checking.pointee = newValue }
    }

    /// How many threads have crashed so far.
    static var count: Int { crashes.pointee }

    /// Installs the handlers once. The calling thread is the grader's: a crash there ends the process as usual.
    static let install: Void = {
        crashes.initialize(to: 0)
        graderThread.initialize(to: pthread_self())
        checking.initialize(to: false)
        atexit {
            guard CrashGuard.isChecking else { return }
            let words = "CRASHED  the server called exit() in this check; the others did not run\n"
            FileHandle.standardOutput.write(Data(words.utf8))
            _exit(1)
        }
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE] {
            var action = sigaction()
            #if os(Linux)
                action.__sigaction_handler.sa_handler = handler
            #else
                action.__sigaction_u.__sa_handler = handler
            #endif
            action.sa_flags = Int32(bitPattern: UInt32(SA_ONSTACK))
            sigaction(number, &action, nil)
        }
    }()

    private static let handler: @convention(c) (Int32) -> Void = { number in
        if let thread = graderThread.pointee, pthread_equal(thread, pthread_self()) != 0 {
            // Back from here the instruction traps again, without the guard.
            signal(number, SIG_DFL)
            return
        }
        crashes.pointee += 1
        while true { sleep(1000) }
    }

    /// Gives the calling thread a stack of its own for the handler, so that endless recursion is caught too.
    static func protectThread() {
        let size = 64 * 1024
        var stack = stack_t()
        stack.ss_sp = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        stack.ss_size = .init(size)
        sigaltstack(&stack, nil)
    }
}

/// Catches what is written to the standard error during a check: the runtime's words about a trap.
final class StandardErrorCapture {
    private let original: Int32
    private let file: UnsafeMutablePointer<FILE>?

    init() {
        original = dup(2)
        file = tmpfile()
        if let file { dup2(fileno(file), 2) }
    }

    /// What was written since the last call. A check that asks expects something, so that none of it is passed on
    /// unless the check fails.
    func next() -> String {
        isExpected = true
        let text = read(from: position)
        position += text.utf8.count
        return text
    }

    private var isExpected = false
    private var position = 0

    private func read(from start: Int) -> String {
        guard let file else { return "" }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = pread(fileno(file), &buffer, buffer.count, off_t(start))
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }

    /// Puts the standard error back and returns what was written, after passing it on.
    func finish(failed: Bool) -> String {
        let text = read(from: 0)
        if let file { fclose(file) }
        dup2(original, 2)
        close(original)
        if !text.isEmpty, failed || !isExpected { FileHandle.standardError.write(Data(text.utf8)) }
        return text
    }
}

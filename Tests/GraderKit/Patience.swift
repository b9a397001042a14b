import Synchronization

/// How long the checks of a level wait for what may never come, in seconds.
///
/// The first wait is long, so that a busy machine refuses no right answer. After it the level has something wrong
/// with it, and the others wait less: what hangs in one check mostly hangs in all, and the whole verdict should come
/// within ten seconds. Other levels in the same run begin anew.
enum Patience {
    private struct State {
        var level = ""
        var hasWaitedInVain = false
        var hasHungAtStart = false
    }
    private static let state = Mutex(State())

    static func begin(level: String) {
        state.withLock { if $0.level != level { $0 = State(level: level) } }
    }

    /// For an answer.
    static var forAnswers: Double { state.withLock { $0.hasWaitedInVain ? 0.3 : 3 } }

    /// For the server to start.
    static var forStart: Double { state.withLock { $0.hasHungAtStart ? 0.4 : 4 } }

    /// For an event loop that may be blocked.
    static var forLoops: Double { state.withLock { $0.hasWaitedInVain ? 0.1 : 0.3 } }

    static func waitedInVain() { state.withLock { $0.hasWaitedInVain = true } }

    static func hungAtStart() { state.withLock { $0.hasHungAtStart = true } }
}

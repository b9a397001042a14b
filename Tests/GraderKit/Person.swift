import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

/// A person at a client program of the student's, in a check: types lines into it, and reads what it shows.
public final class Person {
    /// The program: takes what is typed, and shows what others say, or a notice of its own. It runs until the end of
    /// the typing or the cancellation of its task.
    public typealias Program =
        @Sendable (
            _ typed: AsyncStream<String>, _ chat: @escaping @Sendable (String) -> Void,
            _ notice: @escaping @Sendable (String) -> Void
        ) async throws -> Void

    private struct Screen {
        var chat: [String] = []
        var notices: [String] = []
        /// Set when the program has ended; with nil when it has returned.
        var end: (any Error)??
    }

    /// What the program's threads write to.
    private final class Shared: Sendable { let screen = Mutex(Screen()) }

    public let name: String
    private let room: Classroom
    private let shared = Shared()
    private var screen: Screen { shared.screen.withLock { $0 } }
    private let typed: AsyncStream<String>.Continuation
    private var task: Task<Void, Never>?
    private var read = 0

    init(
        _ name: String, in room: Classroom, on executor: any TaskExecutor, _ program: @escaping Program,
        onError report: @escaping @Sendable (NotImplemented) -> Void
    ) {
        self.name = name
        self.room = room
        let (lines, typed) = AsyncStream.makeStream(of: String.self)
        self.typed = typed
        let transcript = room.transcript
        let shared = shared
        let chat: @Sendable (String) -> Void = { text in
            transcript.add(name, "sees \(Show.text(text))")
            shared.screen.withLock { $0.chat.append(text) }
        }
        let notice: @Sendable (String) -> Void = { text in
            transcript.add(name, "sees the notice \(Show.quoted(text))")
            shared.screen.withLock { $0.notices.append(text) }
        }
        task = Task.detached(executorPreference: executor) {
            var failure: (any Error)?
            do { try await program(lines, chat, notice) } catch { failure = error }
            if let missing = failure as? NotImplemented { report(missing) }
            let end = failure
            transcript.add("The program of \(name)", end.map { "throws \($0)" } ?? "returns")
            shared.screen.withLock { $0.end = .some(end) }
        }
    }

    // MARK: - Acting

    public func types(_ line: String) {
        room.transcript.add(name, "types \(Show.quoted(line))")
        typed.yield(line)
    }

    /// Ends the typing, as Ctrl-D does.
    public func endsTyping() {
        room.transcript.add(name, "ends the typing (Ctrl-D)")
        typed.finish()
    }

    /// Cancels the program, as Ctrl-C does.
    public func interrupts() {
        room.transcript.add(name, "interrupts the program (Ctrl-C)")
        task?.cancel()
    }

    func dismiss() {
        typed.finish()
        task?.cancel()
    }

    // MARK: - Expecting

    /// The next that others have said is this.
    public func expect(sees text: String, _ hint: String = "") throws {
        try wait("\(name) to see \(Show.text(text))", hint) { $0.chat.count > self.read }
        let got = screen.chat[read]
        read += 1
        if got != text {
            throw room.wrong(
                "expected \(name) to see \(Show.text(text))", "     got \(Show.text(got))", hint: hint)
        }
    }

    /// There is a notice that contains these words, or there soon is one.
    public func expectNotice(_ words: String, _ hint: String = "") throws {
        try wait("\(name) to see a notice with \(Show.quoted(words))", hint) { screen in
            screen.notices.contains { $0.localizedCaseInsensitiveContains(words) }
        }
    }

    /// There are at least so many notices, or there soon are.
    public func expectNotices(_ count: Int, _ hint: String = "") throws {
        try wait("\(name) to see a notice", hint) { $0.notices.count >= count }
    }

    public var noticeCount: Int { screen.notices.count }

    /// The notices up to now.
    public var notices: [String] { screen.notices }

    /// The program ends, and says nothing more. Returns what it throws.
    @discardableResult
    public func expectEnd(_ hint: String = "") throws -> (any Error)? {
        try wait("the program of \(name) to end", hint) { $0.end != nil }
        if let surplus = screen.chat.dropFirst(read).first {
            throw room.wrong(
                "expected \(name) to see nothing more", "     got \(Show.text(surplus))", hint: hint)
        }
        return screen.end ?? nil
    }

    /// How the program has ended; nil while it runs.
    var ending: String? {
        switch screen.end {
        case nil: nil
        case .some(nil): "the program of \(name) has returned"
        case .some(let error?): "the program of \(name) threw: \(error)"
        }
    }

    private func wait(_ what: String, _ hint: String, until condition: (Screen) -> Bool) throws {
        let deadline = Date().addingTimeInterval(room.patience)
        while !condition(screen) {
            if room.isHopeless || room.everybodyHasLeft || Date() >= deadline {
                // It may have come with the end.
                if condition(screen) { return }
                throw room.explain(silence: "expected \(what)", hint)
            }
            usleep(500)
        }
    }
}

import LevelKit

/// What a check came to.
public enum Verdict: String, Sendable {
    case notStarted = "NOT STARTED"
    case wrong = "WRONG"
    case crashed = "CRASHED"
    case timedOut = "TIMED OUT"
    case blocked = "BLOCKED"
}

/// Ends a check: what was expected, what came instead, and what that teaches.
public struct Failure: Error, Sendable {
    public var verdict: Verdict
    /// One finding per line, such as `expected text "Echo: hi"`.
    public var findings: [String]
    /// Where the student's code is to be looked at, if that is known.
    public var place: (file: String, line: Int)?

    public init(_ verdict: Verdict, _ findings: [String], place: (file: String, line: Int)? = nil) {
        self.verdict = verdict
        self.findings = findings
        self.place = place
    }

    /// The student's code says itself that it is still missing.
    init(_ missing: NotImplemented) {
        self.init(
            .notStarted, ["to be written: \(missing.task)"], place: (missing.file, missing.line))
    }
}

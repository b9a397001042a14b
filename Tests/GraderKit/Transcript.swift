import Synchronization

/// The numbered steps of a check: who did what, and what came over the wire.
public final class Transcript: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ who: String, _ what: String) { lines.withLock { $0.append("\(who) \(what)") } }

    /// How many steps there are so far.
    var count: Int { lines.withLock { $0.count } }

    /// Forgets the steps from this one on.
    func forget(from start: Int) { lines.withLock { $0.removeSubrange(start...) } }

    /// The last steps, numbered from the first. Equal ones in a row are one line.
    func rendered(last count: Int = 24) -> [String] {
        let lines = lines.withLock { $0 }
        // Two spaces at least: by them scripts/grade knows what belongs to a check's text.
        let width = max(4, String(lines.count).count + 2)
        let runs = Self.runs(in: lines).suffix(count)
        var shown = runs.map { run in
            let number = String(run.lowerBound + 1)
            let times = run.count == 1 ? "" : ", \(run.count) times"
            return String(repeating: " ", count: width - number.count) + number + "  "
                + lines[run.lowerBound] + times
        }
        if let first = runs.first, first.lowerBound > 0 {
            shown.insert("   …  (\(first.lowerBound) earlier steps)", at: 0)
        }
        return shown
    }

    /// Where equal steps follow each other: a thousand of them tell no more than their number.
    private static func runs(in lines: [String]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for (index, line) in lines.enumerated() {
            if let run = runs.last, lines[run.lowerBound] == line {
                runs[runs.count - 1] = run.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        return runs
    }
}

extension Classroom {
    /// Does what is repeated many times: its steps are not in the transcript, unless it fails. One line, such as
    /// `"ana", "says 1 to 50"`, may stand for all of them.
    public func quietly<Result>(
        _ who: String = "", _ what: String = "", _ work: () throws -> Result
    ) throws -> Result {
        let before = transcript.count
        let result = try work()
        transcript.forget(from: before)
        if !who.isEmpty { transcript.add(who, what) }
        return result
    }
}

/// How messages look in a transcript.
enum Show {
    /// JSON as it came, other text as a Swift literal, in which spaces and line breaks can be seen.
    static func text(_ text: String) -> String {
        if text.first == "{" || text.first == "[", text.count <= 200, JSONValue(text: text) != nil {
            return text
        }
        return "text \(quoted(text))"
    }

    static func bytes(_ bytes: [UInt8]) -> String {
        let shown = bytes.prefix(16).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }
        let rest = bytes.count > 16 ? " … (\(bytes.count) bytes)" : ""
        return bytes.isEmpty ? "an empty binary message" : "binary \(shown.joined(separator: " "))\(rest)"
    }

    static func close(_ code: UInt16, _ reason: String) -> String {
        switch code {
        case 1005: "a close without a code (1005)"
        case 1006: "the end of the connection without a close frame (1006)"
        default: "close \(code)" + (reason.isEmpty ? "" : " \(quoted(reason))") + lengthOfLong(reason)
        }
    }

    /// A reason may have 123 bytes, which nobody counts by eye.
    private static func lengthOfLong(_ reason: String) -> String {
        reason.utf8.count > 60 ? " (\(reason.utf8.count) bytes)" : ""
    }

    /// The beginning of what is too long to be compared by eye.
    static func cut(_ text: String) -> String {
        text.count <= 1000 ? text : "\(text.prefix(200))… (\(text.utf8.count) bytes)"
    }

    /// The text as a Swift literal, cut when long.
    static func quoted(_ text: String) -> String {
        if text.count <= 200 { return text.debugDescription }
        return String(text.prefix(200)).debugDescription + "… (\(text.utf8.count) bytes)"
    }
}

extension Duration {
    /// Such as "29.999 s". Below the millisecond there is only what arithmetic with `Double` leaves over.
    var inSeconds: String {
        let seconds = (self / .milliseconds(1)).rounded() / 1000
        return seconds == seconds.rounded() ? "\(Int(seconds)) s" : "\(seconds) s"
    }
}

import Synchronization

/// The numbered steps of a check: who did what, and what came over the wire.
public final class Transcript: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ who: String, _ what: String) { lines.withLock { $0.append("\(who) \(what)") } }

    /// The last steps, numbered from the first.
    func rendered(last count: Int = 24) -> [String] {
        let lines = lines.withLock { $0 }
        var shown = lines.enumerated().suffix(count).map { index, line in
            let number = String(index + 1)
            return String(repeating: " ", count: max(0, 4 - number.count)) + number + "  " + line
        }
        if lines.count > count { shown.insert("   …  (\(lines.count - count) earlier steps)", at: 0) }
        return shown
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
        default: "close \(code)" + (reason.isEmpty ? "" : " \(quoted(reason))")
        }
    }

    /// The text as a Swift literal, cut when long.
    static func quoted(_ text: String) -> String {
        if text.count <= 200 { return text.debugDescription }
        return String(text.prefix(200)).debugDescription + "… (\(text.utf8.count) bytes)"
    }
}

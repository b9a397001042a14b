import Foundation
import LevelKit
import WebSocketEngine

/// One check of a level: the rule it stands for, and what to tell when it is broken.
public struct Check {
    /// The whole text of a failed check, and where in the student's code it points.
    public struct Report {
        public var verdict: Verdict
        public var text: String
        public var file: String
        public var line: Int
    }

    /// Runs `script` against a fresh server of the level. Nil if everything was as it should be.
    public static func run<L: Level>(
        _ level: L.Type, _ rule: String, loops: Int = 1,
        makeApplication: @escaping @Sendable () -> Application,
        _ script: (Classroom) throws -> Void
    ) -> Report? {
        _ = CrashGuard.install
        CrashGuard.isChecking = true
        defer {
            DataFolder.removeAll()
            CrashGuard.isChecking = false
        }
        Patience.begin(level: L.number)
        let capture = StandardErrorCapture()
        var steps: [String] = []
        var failure: Failure?
        do {
            let room = try Classroom(loops: loops, standardError: capture, makeApplication)
            defer {
                steps = room.transcript.rendered()
                room.dismiss()
            }
            try script(room)
            if room.hasCrashed {
                throw Failure(.crashed, ["the answers were right, but then the server crashed"])
            }
        } catch let error as Failure {
            failure = error
        } catch {
            failure = Failure(.wrong, ["the check itself failed: \(error)"])
        }
        let said = capture.finish(failed: failure != nil)
        guard var failure else { return nil }
        if failure.verdict == .crashed {
            // First what happened, then the advice.
            let end = failure.findings.firstIndex { $0.hasPrefix("hint: ") } ?? failure.findings.endIndex
            failure.findings.insert(contentsOf: crashFindings(said), at: end)
        }
        return report(level, rule, failure, steps)
    }

    /// The runtime names the place of a trap in its first line.
    private static func crashFindings(_ said: String) -> [String] {
        let lines = said.split(separator: "\n").filter { line in
            ["error:", "Fatal error", "Precondition failed", "Assertion failed"].contains {
                line.contains($0)
            }
        }
        let words = lines.prefix(2).map { "the server said: \($0)" }
        return words.isEmpty ? ["a Swift trap or an endless recursion, without a word"] : Array(words)
    }

    private static func report<L: Level>(
        _ level: L.Type, _ rule: String, _ failure: Failure, _ steps: [String]
    ) -> Report {
        let source = SourceFile.of(level)
        let place = failure.place.map { "\(source.shown($0.file)), line \($0.line)" } ?? source.shownPath
        var lines = ["\(failure.verdict.rawValue)  \(rule)"]
        if failure.verdict != .notStarted { lines += steps }
        lines += failure.findings.map { "   ✘  \($0)" }
        lines.append("   →  edit \(place); read chapter \(Int(L.number) ?? 0) of Course.md")
        return Report(
            verdict: failure.verdict, text: lines.joined(separator: "\n"),
            file: failure.place?.file ?? source.path, line: failure.place?.line ?? 1)
    }
}

/// The file in which a level is written.
private struct SourceFile {
    var path: String
    var root: String

    /// The file; or the folder, where a level has many: a mistake is mostly in another of them.
    var shownPath: String {
        let file = URL(fileURLWithPath: path)
        let folder = file.deletingLastPathComponent().path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        guard names.count(where: { $0.hasSuffix(".swift") }) > 2 else { return shown(path) }
        let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
        let hasTable = text.contains("/// | File ")
        let table = hasTable ? " (which file: the table at the top of \(file.lastPathComponent))" : ""
        return shown(folder) + "/" + table
    }

    /// The path as seen from the package.
    func shown(_ path: String) -> String {
        path.hasPrefix(root + "/") ? String(path.dropFirst(root.count + 1)) : path
    }

    static func of<L: Level>(_ level: L.Type) -> SourceFile {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
        let name = "Level\(L.number)"
        let (parent, prefix) =
            switch ProcessInfo.processInfo.environment["COURSE"] {
            case nil, "exercises": ("Levels", name + "-")
            case "solutions": ("Solutions", "Solution\(L.number)-")
            case let folder?: (folder, name)
            }
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/\(parent)")) ?? []
        let folder = folders.first { $0.hasPrefix(prefix) } ?? name
        return SourceFile(path: "\(root)/\(parent)/\(folder)/\(level).swift", root: root)
    }
}

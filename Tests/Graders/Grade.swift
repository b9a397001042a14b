import Foundation
import GraderKit
import LevelKit
import WebSocketEngine
import XCTest

extension XCTestCase {
    /// Runs one check of a level and reports what came of it as this test's result.
    ///
    /// - Parameters:
    ///   - rule: The sentence of the contract that is checked.
    ///   - loops: Threads that share the clients. More than one lets handlers run at the same instant.
    ///   - makeApplication: Makes the server, where a level has more than one way to.
    ///   - prepare: Changes the application before it starts, such as to stop its clock.
    ///   - script: The check. It blocks; its clients throw when the server does something else than expected.
    func grade<L: Level>(
        _ level: L.Type, _ rule: String, loops: Int = 1,
        makeApplication: @escaping @Sendable () -> Application = { L.makeApplication() },
        prepare: @escaping @Sendable (Application) -> Void = { _ in },
        _ script: (Classroom) throws -> Void
    ) throws {
        let report = Check.run(
            level, rule, loops: loops,
            makeApplication: {
                let application = makeApplication()
                prepare(application)
                return application
            }, script)
        guard let report else { return }
        if report.verdict == .notStarted, !Selection.isByName {
            throw XCTSkip(
                "Level \(L.number) is not begun. Grade it with: swift test --filter Level\(L.number)")
        }
        record(report)
    }

    private func record(_ report: Check.Report) {
        #if canImport(Darwin)
            var issue = XCTIssue(type: .assertionFailure, compactDescription: report.text)
            issue.sourceCodeContext = XCTSourceCodeContext(
                location: XCTSourceCodeLocation(filePath: report.file, lineNumber: report.line))
            record(issue)
        #else
            recordFailure(
                withDescription: report.text, inFile: report.file, atLine: report.line, expected: true)
        #endif
    }
}

/// How this run was asked for.
enum Selection {
    /// True if a level was asked for by name, so that one not begun is a failure. In a run of everything it is
    /// skipped, and a fresh clone is green.
    static let isByName: Bool = {
        if ProcessInfo.processInfo.environment["LEVEL"] != nil { return true }
        #if os(Linux)
            // `swift test --parallel` names a test to each of its processes; only the parent knows what was asked.
            if let parent = try? String(contentsOfFile: "/proc/\(getppid())/cmdline", encoding: .utf8),
                parent.contains("swift-test")
            {
                return ["--filter", "--specifier", "-s\0"].contains { parent.contains($0) }
            }
        #endif
        let arguments = CommandLine.arguments.dropFirst().filter { !$0.hasSuffix(".xctest") }
        return !arguments.isEmpty
    }()
}

import GraderKit

/// Runs a part of a check. If what came instead is `got`, a closer hint takes the place of the usual one.
///
/// - Parameters:
///   - got: How the finding goes on after "got", such as `close 1000`.
///   - hint: The misunderstanding that leads to just this.
@discardableResult
func hinting<Result>(ifGot got: String, _ hint: String, _ part: () throws -> Result) throws -> Result {
    try hinting(hint, part) { $0.contains { $0.hasPrefix("     got \(got)") } }
}

/// Runs a part of a check. Another hint takes the place of the usual one if the findings are of this kind.
@discardableResult
func hinting<Result>(
    _ hint: String, _ part: () throws -> Result, when isOfThisKind: ([String]) -> Bool
) throws -> Result {
    do {
        return try part()
    } catch var failure as Failure {
        // The other verdicts have advice of their own.
        if [.wrong, .timedOut].contains(failure.verdict), isOfThisKind(failure.findings) {
            failure.findings.removeAll { $0.hasPrefix("hint: ") }
            failure.findings.append("hint: \(hint)")
        }
        throw failure
    }
}

/// Runs a part of a check. If the student's code crashes in it, there is a hint, unless it is nil.
@discardableResult
func hinting<Result>(ifCrashed hint: String?, _ part: () throws -> Result) throws -> Result {
    do {
        return try part()
    } catch var failure as Failure {
        if failure.verdict == .crashed, let hint { failure.findings.append("hint: \(hint)") }
        throw failure
    }
}

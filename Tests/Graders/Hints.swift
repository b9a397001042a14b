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

/// The same with several hints: of those that fit what came, the first.
@discardableResult
func hinting<Result>(
    ifGot hints: KeyValuePairs<String, String>, _ part: () throws -> Result
) throws -> Result {
    try hintingFirst(of: hints, part) { $0.hasPrefix($1) }
}

/// The same for what came with this somewhere in it, such as `"type":"error"`.
@discardableResult
func hinting<Result>(
    ifGotWith hints: KeyValuePairs<String, String>, _ part: () throws -> Result
) throws -> Result {
    try hintingFirst(of: hints, part) { $0.contains($1) }
}

private func hintingFirst<Result>(
    of hints: KeyValuePairs<String, String>, _ part: () throws -> Result, fits: (String, String) -> Bool
) throws -> Result {
    do {
        return try part()
    } catch let failure as Failure {
        let intro = "     got "
        let got = failure.findings.filter { $0.hasPrefix(intro) }.map { String($0.dropFirst(intro.count)) }
        guard let hint = hints.first(where: { key, _ in got.contains { fits($0, key) } }) else {
            throw failure
        }
        return try hinting(hint.value, { throw failure }, when: { _ in true })
    }
}

/// Runs a part of a check. If nothing came at all, a closer hint takes the place of the usual one.
@discardableResult
func hinting<Result>(ifSilent hint: String, _ part: () throws -> Result) throws -> Result {
    try hinting(hint, part) { $0.contains { $0.contains(", but nothing came") } }
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

/// Runs a part of a check. If the student's code keeps its thread busy in it, there is a hint.
@discardableResult
func hinting<Result>(ifBlocked hint: String, _ part: () throws -> Result) throws -> Result {
    do {
        return try part()
    } catch var failure as Failure {
        if failure.verdict == .blocked { failure.findings.append("hint: \(hint)") }
        throw failure
    }
}

extension Failure {
    /// The same failure, with another hint if what came instead begins like this. For checks in which one wrong answer
    /// says more than the others about its cause.
    public func hint(_ hint: String, ifGot wrongAnswer: String) -> Failure {
        guard findings.contains(where: { $0.hasPrefix("     got \(wrongAnswer)") }) else { return self }
        var copy = self
        copy.findings.removeAll { $0.hasPrefix("hint: ") }
        copy.findings.append("hint: \(hint)")
        return copy
    }
}

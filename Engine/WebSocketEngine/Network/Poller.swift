/// What a descriptor is watched for.
struct Interest: OptionSet {
    let rawValue: UInt8
    static let read = Interest(rawValue: 1)
    static let write = Interest(rawValue: 2)
}

/// One descriptor's readiness.
struct PollEvent {
    /// As given to `Poller.add`.
    var token: UInt64
    var isReadable: Bool
    var isWritable: Bool
    /// The connection is reset or fully closed. Reported whatever the interest is.
    var isBroken: Bool
}

import Synchronization

/// Where a level keeps its files: what `--data` says.
public enum DataDirectory {
    private static let chosen = Mutex(".data")

    /// The path as given, relative to where the server was started. From any thread.
    public static var path: String { chosen.withLock { $0 } }

    static func use(_ path: String) { chosen.withLock { $0 = path } }
}

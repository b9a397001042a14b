import Foundation
import Synchronization

/// A data directory for a level's server, inside of a directory of its own. It is removed when the check ends.
public final class DataFolder: Sendable {
    private let parent: String
    public var path: String { "\(parent)/deep/data" }

    /// Checks whose server has not ended yet keep their folders in memory: so these are removed by name.
    private static let parents = Mutex<[String]>([])

    /// A directory with these files, by their paths inside of it; without files, one that does not exist yet.
    public init(_ files: [String: Data]? = nil) throws {
        let parent = FileManager.default.temporaryDirectory.path + "/check-\(UUID().uuidString)"
        self.parent = parent
        Self.parents.withLock { $0.append(parent) }
        guard let files else { return }
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (name, bytes) in files {
            let file = URL(fileURLWithPath: "\(path)/\(name)")
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try bytes.write(to: file)
        }
    }

    /// Removes every folder of the check that has ended.
    static func removeAll() {
        let ended = parents.withLock { parents in
            defer { parents = [] }
            return parents
        }
        // One that was never made is no fault.
        for parent in ended { try? FileManager.default.removeItem(atPath: parent) }
    }

    /// Every file, by its path inside the directory.
    public var files: [String: Data] {
        var files: [String: Data] = [:]
        for name in Self.names(in: path) {
            // A folder is no Data.
            files[name] = try? Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))
        }
        return files
    }

    /// The number by which the file system knows each file: a new one in its place has another.
    public var fileNumbers: [String: Int] {
        files.keys.reduce(into: [:]) { numbers, name in
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
            numbers[name] = attributes?[.systemFileNumber] as? Int
        }
    }

    /// What a process that is killed now leaves behind.
    public func copy() throws -> DataFolder {
        let files = files
        return try DataFolder(files.isEmpty ? nil : files)
    }

    /// The names of everything around the directory.
    public var outside: [String] {
        Self.names(in: parent).filter { $0 != "deep" && $0 != "deep/data" && !$0.hasPrefix("deep/data/") }
            .map { $0.replacing("deep/", with: "") }
    }

    private static func names(in path: String) -> [String] {
        FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    }
}

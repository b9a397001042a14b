import Foundation

// Given, from level 09. There is nothing to change here.

/// An append-only file: one entry in a line, as JSON.
struct Journal<Entry: Codable> {
    private let file: FileHandle
    private let path: String
    private let newline = UInt8(ascii: "\n")

    /// Opens the file and makes what is missing of it and its directory.
    init(_ name: String, in directory: String) throws {
        path = "\(directory)/\(name)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        if !FileManager.default.fileExists(atPath: path) { try Data().write(to: URL(fileURLWithPath: path)) }
        file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    }

    /// The entries in the file, oldest first. An entry that was not written to its end is cut off, with a warning.
    func read() throws -> [Entry] {
        let bytes = try file.readToEnd() ?? Data()
        let complete = bytes.lastIndex(of: newline).map { bytes[...$0] } ?? Data()
        if complete.count < bytes.count {
            let warning = "\(path): the last line is torn and is skipped\n"
            try FileHandle.standardError.write(contentsOf: Data(warning.utf8))
            try file.truncate(atOffset: UInt64(complete.count))
        }
        let decoder = JSONDecoder()
        return try complete.split(separator: newline).map { try decoder.decode(Entry.self, from: $0) }
    }

    /// Adds an entry. When this returns, it survives the end of this process.
    func append(_ entry: Entry) throws {
        let line = try JSONEncoder().encode(entry) + [newline]
        let end = try file.offset()
        do {
            try file.write(contentsOf: line)
        } catch {
            // Such as on a full disk: half a line must not spoil the next one.
            try file.truncate(atOffset: end)
            throw error
        }
    }
}

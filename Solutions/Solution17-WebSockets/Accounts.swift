import Foundation

// Given, from levels 06 and 09. There is nothing to change here.

/// What `POST /accounts` asks for, and what is kept of it.
struct Account: Codable {
    var username: String
}

/// Why there is no account.
struct Refusal: Error {
    let status: Int
    let message: String
}

/// The accounts, their tokens, and all that was said: what is in the data directory, and outlives the process.
struct Archive {
    let messages: Journal<Event>
    let accounts: Journal<Account>
    let tokens: Tokens

    init(in directory: String) throws {
        messages = try Journal("messages.jsonl", in: directory)
        accounts = try Journal("accounts.jsonl", in: directory)
        tokens = Tokens(key: try Self.key(in: directory))
    }

    /// The key that signs the tokens. Made at the first start, readable to nobody else, and kept: tokens outlive the
    /// process too.
    private static func key(in directory: String) throws -> [UInt8] {
        let file = URL(fileURLWithPath: "\(directory)/key")
        if !FileManager.default.fileExists(atPath: file.path) {
            var generator = SystemRandomNumberGenerator()
            let key = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            try Data(key).write(to: file, options: .atomic)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
        }
        return Array(try Data(contentsOf: file))
    }
}

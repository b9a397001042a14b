import Foundation
import WebSocketEngine

/// The pages that come with the course.
public enum Page {
    /// What the page asks for at `/level.json`.
    struct Description: Codable {
        var number: String
        var title: String
        var routes: [String]
        var samples: [Sample]
        /// The path of the page that asks.
        var page: String
    }

    /// The page for trying a level by hand.
    static func html() throws -> String { try read("page") }

    /// The page of a chat, for the server of level 17.
    public static func chat() throws -> String { try read("chat") }

    /// Read anew for every request, so that a change of the file shows at the next reload.
    private static func read(_ name: String) throws -> String {
        guard let file = Bundle.module.url(forResource: name, withExtension: "html") else {
            throw CocoaError(.fileNoSuchFile)
        }
        return try String(contentsOf: file, encoding: .utf8)
    }
}

import Foundation
import WebSocketEngine

/// The page for trying a level by hand.
enum Page {
    /// What the page asks for at `/level.json`.
    struct Description: Codable {
        var number: String
        var title: String
        var routes: [String]
        var samples: [Sample]
    }

    /// Read anew for every request, so that a change of the file shows at the next reload.
    static func html() throws -> String {
        guard let file = Bundle.module.url(forResource: "page", withExtension: "html") else {
            throw CocoaError(.fileNoSuchFile)
        }
        return try String(contentsOf: file, encoding: .utf8)
    }
}

import CSystem

/// The standard error, for what a person at the terminal should see.
package enum StandardError {
    package static func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = CSystem.write(2, $0.baseAddress, $0.count) }
    }
}

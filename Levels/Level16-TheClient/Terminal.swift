import Dispatch
import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

extension TheClient {
    /// Serves the chat; or takes part in it, if the first argument is no option.
    public static func main() async {
        let arguments = CommandLine.arguments.dropFirst()
        guard let url = arguments.first, !url.hasPrefix("-") else {
            if ["--help", "-h"].contains(arguments.first) {
                Terminal.say(
                    "Usage: \(ProcessInfo.processInfo.processName) URL [--name NAME]   takes part in a chat; otherwise it serves one:"
                )
            }
            // What every level does.
            return await (Self.self as any Level.Type).main()
        }
        var name: String?
        switch Array(arguments.dropFirst()) {
        case []: break
        case ["--name"]: Terminal.fail("--name needs a value.")
        case let rest where rest.count == 2 && rest[0] == "--name": name = rest[1]
        case let rest:
            Terminal.fail("Unknown option \(rest[0]). After the URL, there is --name NAME and no other.")
        }
        await takePart(in: url, as: name)
    }

    /// Ends the process with 0 when the user leaves, with 1 when the server does not want them.
    private static func takePart(in url: String, as name: String?) async {
        let terminal = Terminal()
        let client = ChatClient(to: url, name: name)
        let conversation = Task {
            try await client.run(typing: terminal.lines) { output in
                switch output {
                case .chat(let text): terminal.print(text)
                case .notice(let text): terminal.print("– \(text)", isNotice: true)
                }
            }
        }
        let signals = [SIGINT, SIGTERM].map { number in
            // The signal's own action would end the process before the connection is closed.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { conversation.cancel() }
            source.activate()
            return source
        }
        var failure: (any Error)?
        do { try await conversation.value } catch { failure = error }
        for source in signals { source.cancel() }
        terminal.restore()
        if let failure { Terminal.fail("\(failure)", status: failure is WebSocketDisconnect ? 1 : 2) }
        exit(0)
    }
}

/// The terminal of this process: a line is typed in it while others are printed. Without a terminal, lines come from
/// the standard input and go to the standard output.
final class Terminal: Sendable {
    /// What is typed, line by line. It ends with Ctrl-D.
    let lines: AsyncStream<String>
    private let isTerminal: Bool
    private let screen: Mutex<Screen>

    private struct Screen {
        var editor = LineEditor()
        var original = termios()
        var isRaw = false
    }

    init() {
        let (lines, typed) = AsyncStream.makeStream(of: String.self)
        self.lines = lines
        isTerminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
        var screen = Screen()
        if isTerminal {
            // Keys come one by one and are not shown by the system. Ctrl-C stays a signal.
            tcgetattr(STDIN_FILENO, &screen.original)
            var raw = screen.original
            raw.c_lflag &= ~tcflag_t(ECHO | ICANON | IEXTEN)
            raw.c_iflag &= ~tcflag_t(ICRNL | IXON)
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw)
            screen.isRaw = true
        }
        self.screen = Mutex(screen)
        // A read blocks its thread, so it gets one of its own.
        Thread.detachNewThread { [self] in
            if isTerminal { readKeys(typed) } else { readLines(typed) }
            typed.finish()
        }
    }

    /// Puts the terminal back as it was found.
    func restore() {
        screen.withLock { screen in
            guard screen.isRaw else { return }
            screen.isRaw = false
            Self.write("\r\u{1B}[K")
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen.original)
        }
    }

    /// Prints a text above the line that is being typed.
    func print(_ text: String, isNotice: Bool = false) {
        let text = Self.printable(text)
        screen.withLock { screen in
            guard screen.isRaw else { return Self.write("\(text)\n") }
            let shown = text.split(separator: "\n", omittingEmptySubsequences: false).joined(
                separator: "\r\n")
            Self.write("\r\u{1B}[K" + (isNotice ? "\u{1B}[2m\(shown)\u{1B}[0m" : shown) + "\r\n")
            Self.write(screen.editor.rendered(width: Self.width))
        }
    }

    private func readKeys(_ typed: AsyncStream<String>.Continuation) {
        var bytes = [UInt8](repeating: 0, count: 1024)
        while true {
            let count = read(STDIN_FILENO, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return }
            for byte in bytes[..<count] {
                let event = screen.withLock { $0.editor.take(byte) }
                switch event {
                case .line(let line):
                    // What was typed stays on the screen, as what the others see.
                    Self.write("\r\u{1B}[K\(Self.printable(line))\r\n")
                    typed.yield(line)
                case .end: return
                case nil: break
                }
            }
            screen.withLock { if $0.isRaw { Self.write($0.editor.rendered(width: Self.width)) } }
        }
    }

    private func readLines(_ typed: AsyncStream<String>.Continuation) {
        while let line = readLine() { typed.yield(line) }
    }

    private static var width: Int {
        var size = winsize()
        return ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    /// Others choose what they send: their control characters must not reach this terminal.
    static func printable(_ text: String) -> String {
        var shown = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
            shown.append(isControl ? "\u{FFFD}" : scalar)
        }
        return String(shown)
    }

    private static func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

    static func say(_ line: String) { write("\(line)\n") }

    static func fail(_ line: String, status: Int32 = 2) -> Never {
        FileHandle.standardError.write(Data("\(printable(line))\n".utf8))
        exit(status)
    }
}

/// A line while it is being typed: bytes of keys in, lines out.
struct LineEditor {
    enum Event: Equatable {
        case line(String)
        /// Ctrl-D in an empty line.
        case end
    }

    private(set) var text: [Character] = []
    private(set) var cursor = 0
    /// The bytes so far of a character in UTF-8, or of the sequence that a key such as ← sends.
    private var partial: [UInt8] = []

    mutating func take(_ byte: UInt8) -> Event? {
        if partial.first == 0x1B {
            takeEscape(byte)
            return nil
        }
        switch byte {
        case 10, 13:
            defer { self = LineEditor() }
            return .line(String(text))
        case 4 where text.isEmpty: return .end
        case 4: delete(at: cursor)
        case 8, 127: if cursor > 0 { move(to: cursor - 1); delete(at: cursor) }
        case 1: move(to: 0)
        case 5: move(to: text.count)
        case 21:
            text.removeFirst(cursor)
            cursor = 0
        case 0x1B: partial = [byte]
        case 0..<32: break
        default: takeText(byte)
        }
        return nil
    }

    private mutating func takeText(_ byte: UInt8) {
        partial.append(byte)
        if let character = String(validating: partial, as: UTF8.self) {
            partial = []
            // A mark such as an accent joins the character before it.
            let before = String(text[..<cursor]) + character
            text = Array(before) + text[cursor...]
            cursor = before.count
        } else if partial.count >= 4 {
            partial = []
        }
    }

    /// `ESC [ D` and the like: digits and semicolons, up to a letter or `~`.
    private mutating func takeEscape(_ byte: UInt8) {
        partial.append(byte)
        if partial.count == 2, byte == UInt8(ascii: "[") || byte == UInt8(ascii: "O") { return }
        if partial.count > 2, byte < 0x40, partial.count < 16 { return }
        switch byte {
        case UInt8(ascii: "D"): move(to: cursor - 1)
        case UInt8(ascii: "C"): move(to: cursor + 1)
        case UInt8(ascii: "H"): move(to: 0)
        case UInt8(ascii: "F"): move(to: text.count)
        case UInt8(ascii: "~") where partial.dropFirst(2).first == UInt8(ascii: "3"): delete(at: cursor)
        default: break
        }
        partial = []
    }

    private mutating func move(to position: Int) { cursor = max(0, min(position, text.count)) }

    private mutating func delete(at position: Int) { if position < text.count { text.remove(at: position) } }

    /// What draws the line again and puts the cursor where it belongs. Of a line that is too long, the part around the
    /// cursor is shown.
    func rendered(width: Int) -> String {
        let room = max(1, width - 1)
        var start = cursor
        var used = 0
        while start > 0, used + Self.columns(text[start - 1]) <= room {
            start -= 1
            used += Self.columns(text[start])
        }
        let left = used
        var end = cursor
        while end < text.count, used + Self.columns(text[end]) <= room {
            used += Self.columns(text[end])
            end += 1
        }
        let back = used - left
        return "\r\u{1B}[K" + Terminal.printable(String(text[start..<end]))
            + (back > 0 ? "\u{1B}[\(back)D" : "")
    }

    /// Characters of East Asian scripts and emoji take two columns.
    private static func columns(_ character: Character) -> Int {
        guard let first = character.unicodeScalars.first else { return 0 }
        let isWide =
            first.properties.isEmojiPresentation || character.unicodeScalars.contains("\u{FE0F}")
            || [
                0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
                0xFF00...0xFF60,
            ]
            .contains { $0.contains(Int(first.value)) }
        return isWide ? 2 : 1
    }
}

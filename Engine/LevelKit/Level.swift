import WebSocketEngine

/// One level of the course: a server, described by ``makeApplication()``.
///
/// A level's type is marked `@main`; this protocol supplies its `main()`, so that `swift run Level01` serves it on
/// http://localhost:8000 with a page at `/` to try it by hand.
public protocol Level: Sendable {
    /// A new application, not started yet. Called once by `main()`, and once by every check of the grader: state
    /// that outlives a call would let one check disturb the next.
    static func makeApplication() -> Application

    /// What people call the level. Made from the type's name unless the level says otherwise.
    static var title: String { get }

    /// Messages that the page offers at the press of a button.
    static var samples: [Sample] { get }
}

/// A message worth trying.
public struct Sample: Sendable, Codable, Equatable {
    public enum Kind: String, Sendable, Codable { case text, json, binary }
    /// The route it is meant for, as the application names it.
    public var path: String
    public var kind: Kind
    /// The text, the JSON, or the bytes in hexadecimal.
    public var data: String

    public static func text(_ text: String, to path: String) -> Sample {
        Sample(path: path, kind: .text, data: text)
    }
    public static func json(_ json: String, to path: String) -> Sample {
        Sample(path: path, kind: .json, data: json)
    }
    /// Bytes written as `00 ff 10`.
    public static func binary(_ hexadecimal: String, to path: String) -> Sample {
        Sample(path: path, kind: .binary, data: hexadecimal)
    }
}

extension Level {
    public static var samples: [Sample] { [] }

    /// "01", from the name of the module `Level01` or `Solution01`.
    public static var number: String { String(module.drop { !$0.isNumber }) }

    /// "Basic echo", from the name of the type `BasicEcho`.
    public static var title: String {
        var words = ""
        for character in "\(Self.self)" {
            if character.isUppercase, !words.isEmpty {
                words += " " + character.lowercased()
            } else {
                words.append(character)
            }
        }
        return words
    }

    private static var module: String { String(String(reflecting: Self.self).prefix { $0 != "." }) }

    /// Serves the level until Ctrl-C.
    public static func main() async {
        let options = ServerOptions.parseOrExit(program: module)
        DataDirectory.use(options.data)
        let application = makeApplication()
        addPage(to: application)
        await serve(application, options, as: "Level \(number) – \(title)")
    }

    /// Offers the page for trying the level by hand, and what that page needs to know. It is at `/`, or at `/try` if
    /// the level has a page of its own at `/`.
    static func addPage(to application: Application) {
        let path = application.answersGet("/") ? "/try" : "/"
        application.get(path) { _ in Response.html(try Page.html()) }
        let description = Page.Description(
            number: number, title: title, routes: application.webSocketPaths, samples: samples, page: path)
        application.get("/level.json") { _ in try Response.json(description) }
    }
}

/// Thrown by an exercise where the student's code is still missing. The grader reports it as NOT STARTED.
public struct NotImplemented: Error, Sendable, CustomStringConvertible {
    /// What is to be written here.
    public let task: String
    public let file: String
    public let line: Int

    public init(_ task: String, file: String = #filePath, line: Int = #line) {
        self.task = task
        self.file = file
        self.line = line
    }

    public var description: String { "not implemented yet: \(task)" }
}

// swift-tools-version: 6.2
import Foundation
import PackageDescription

//  swift run Solution01                    the reference server of level 01, on http://localhost:8000
//  swift test --filter Level01             grade your level 01
//  LEVEL=01 swift test                     the same, building level 01 alone: the other levels may be broken
//  COURSE=solutions swift test             the same graders, pointed at the reference solutions

/// Every level of the course, in the order of Course.md. A line here stands for the folders
/// `Levels/Level…` and `Solutions/Solution…` and the grader `Tests/Graders/LevelNNTests.swift`.
let allLevels = [
    "01-BasicEcho",
    "02-DisconnectHandling",
    "03-Connections",
    "04-Rooms",
    "05-JSONProtocol",
    "06-Authentication",
    "07-CloseCodes",
    "08-PrivateMessages",
    "09-History",
    "10-TypingIndicator",
    "11-Presence",
    "12-PublishAndSubscribe",
    "13-MiddlewareAndLimits",
    "14-Heartbeat",
    "15-Backpressure",
    "16-TheClient",
    "17-WebSockets",
]

let levels = chosenLevels(Context.environment["LEVEL"])
let course = Context.environment["COURSE"] ?? "exercises"

var targets: [Target] = [
    .target(name: "CSystem", path: "Engine/CSystem"),
    .target(name: "WebSocketEngine", dependencies: ["CSystem"], path: "Engine/WebSocketEngine"),
    .target(
        name: "LevelKit", dependencies: ["WebSocketEngine", "CSystem"], path: "Engine/LevelKit",
        resources: [.copy("page.html"), .copy("chat.html")]),
    .target(name: "GraderKit", dependencies: ["WebSocketEngine", "LevelKit"], path: "Tests/GraderKit"),
    .testTarget(
        name: "Graders",
        dependencies: ["GraderKit"] + levels.map { .target(name: "Level\(number(of: $0))") },
        path: "Tests/Graders",
        exclude: allLevels.filter { !levels.contains($0) }.map { "Level\(number(of: $0))Tests.swift" }),
]

// One level alone is built as fast as can be: without what tests and measures the engine.
if Context.environment["LEVEL"] == nil {
    targets += [
        .executableTarget(
            name: "EchoServer", dependencies: ["WebSocketEngine", "LevelKit"], path: "Tests/EchoServer"),
        .executableTarget(name: "EchoClient", dependencies: ["WebSocketEngine"], path: "Tests/EchoClient"),
        .testTarget(
            name: "EngineTests", dependencies: ["WebSocketEngine", "LevelKit", "GraderKit"],
            path: "Tests/EngineTests"
        ),
    ]
}

for level in levels {
    let name = "Level\(number(of: level))"
    switch course {
    case "exercises":
        targets.append(server(name, at: "Levels/Level\(level)"))
        targets.append(server("Solution\(number(of: level))", at: "Solutions/Solution\(level)"))
    case "solutions":
        targets.append(server(name, at: "Solutions/Solution\(level)"))
    default:
        targets.append(server(name, at: "\(course)/\(name)"))
    }
}

let package = Package(
    name: "WebSocketCourse", platforms: [.macOS(.v15)], targets: targets, swiftLanguageModes: [.v6])

// MARK: - Helpers

/// A level's server, a program that the graders also import.
func server(_ name: String, at path: String) -> Target {
    if !FileManager.default.fileExists(atPath: "\(Context.packageDirectory)/\(path)") {
        refuse(
            "COURSE=\(course): there is no folder \(path). COURSE is exercises (the default), solutions, "
                + "or a folder inside this package that holds \(name).")
    }
    return .executableTarget(name: name, dependencies: ["WebSocketEngine", "LevelKit"], path: path)
}

/// "01" of "01-BasicEcho".
func number(of level: String) -> String { String(level.prefix { $0 != "-" }) }

/// The one level that `LEVEL` names, or all of them.
func chosenLevels(_ wanted: String?) -> [String] {
    guard let wanted else { return allLevels }
    let chosen = allLevels.filter { number(of: $0) == wanted }
    if chosen.isEmpty {
        refuse("LEVEL=\(wanted) is not a level. Allowed: \(allLevels.map(number).joined(separator: ", ")).")
    }
    return chosen
}

/// Ends the reading of this manifest with one plain sentence.
func refuse(_ sentence: String) -> Never {
    FileHandle.standardError.write(Data("\(sentence)\n".utf8))
    exit(1)
}

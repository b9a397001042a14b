import Dispatch
import Foundation
import Synchronization
import WebSocketEngine

/// Serves an application until the process is told to stop, then shuts it down in good order and exits with 0.
/// If it cannot listen: one line on the standard error, and exit status 2.
public func serve(_ application: Application, _ options: ServerOptions, as title: String) async {
    FreedMemory.keep()
    // From here on SIGINT and SIGTERM are ours: they end the connections before the process.
    let stop = signals([SIGINT, SIGTERM])
    let server: Server
    do {
        server = try await application.start(host: options.host, port: options.port, loops: options.loops)
    } catch let error as SystemError where error.isAddressInUse {
        fail(
            "Port \(options.port) is in use by another program. Stop that one, or choose another port: "
                + "--port \(options.port + 1)")
    } catch {
        fail("\(title): \(error)")
    }
    let host = options.host == "127.0.0.1" ? "localhost" : options.host
    say("\(title): http://\(host):\(server.port)")
    say("Stop it with Ctrl-C.")
    for await _ in stop { break }
    say("\nStopping.")
    do {
        try await server.shutdown()
    } catch {
        fail("\(title): while stopping: \(error)")
    }
    exit(0)
}

/// An element for each of these signals that arrives. A second one ends the process at once.
private func signals(_ numbers: [Int32]) -> AsyncStream<Int32> {
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    let counter = SignalCounter()
    for number in numbers {
        // The signal's own action would end the process before the source could tell of it.
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler {
            if counter.count.add(1, ordering: .relaxed).oldValue > 0 { exit(130) }
            continuation.yield(number)
        }
        source.activate()
        signalSources.withLock { $0.append(SignalSource(source: source)) }
    }
    return stream
}

private final class SignalCounter: Sendable { let count = Atomic(0) }

/// Keeps the sources for the life of the process.
private let signalSources = Mutex<[SignalSource]>([])

/// Dispatch sources may be used from any thread, which their type does not say on every platform.
private struct SignalSource: @unchecked Sendable { let source: any DispatchSourceSignal }

/// The command line of a level's server.
public struct ServerOptions: Sendable, Equatable {
    public var host = "127.0.0.1"
    public var port = 8000
    public var loops = 1
    /// Where the server keeps its files.
    public var data = ".data"

    public init() {}

    /// A wrong command line, as one sentence.
    public struct UsageError: Error, Sendable, Equatable, CustomStringConvertible {
        public let description: String
    }

    public static func usage(program: String) -> String {
        """
        Usage: \(program) [--port N] [--host ADDRESS] [--loops N] [--data DIR]
          --port N         the port to listen on (0: any free one; default 8000)
          --host ADDRESS   the address to listen on (default 127.0.0.1, this machine only; 0.0.0.0 is every network)
          --loops N        threads that share the connections (default 1)
          --data DIR       where the server keeps its files, if it has any (default .data)
        """
    }

    /// Reads arguments without the program's name; nil if they ask for help.
    public static func parse(_ arguments: [String]) throws(UsageError) -> ServerOptions? {
        var options = ServerOptions()
        var rest = arguments[...]
        while let name = rest.popFirst() {
            if name == "--help" || name == "-h" { return nil }
            guard ["--port", "--host", "--loops", "--data"].contains(name) else {
                throw UsageError(
                    description:
                        "Unknown option \(name). Options are --port, --host, --loops, --data and --help.")
            }
            guard let value = rest.popFirst() else { throw UsageError(description: "\(name) needs a value.") }
            switch name {
            case "--port": options.port = try number(value, for: name, in: 0...65535)
            case "--loops": options.loops = try number(value, for: name, in: 1...64)
            case "--data": options.data = value
            default: options.host = value
            }
        }
        return options
    }

    private static func number(
        _ text: String, for option: String, in range: ClosedRange<Int>
    ) throws(UsageError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw UsageError(
                description:
                    "\(option) \(text) is not a number from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// The options of this process. Help ends it with 0, a mistake with one line and 2.
    /// - Parameter arguments: What a program with options of its own has left over.
    public static func parseOrExit(
        program: String, _ arguments: [String] = Array(CommandLine.arguments.dropFirst())
    ) -> ServerOptions {
        do {
            if let options = try parse(arguments) { return options }
            say(usage(program: program))
            exit(0)
        } catch {
            fail("\(program): \(error)")
        }
    }
}

/// Prints a line at once, also into a pipe.
private func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

private func fail(_ line: String) -> Never {
    FileHandle.standardError.write(Data("\(line)\n".utf8))
    exit(2)
}

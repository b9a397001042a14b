import LevelKit
import WebSocketEngine

extension PublishAndSubscribe {
    /// Called once for every client of `/stream/{data_type}`.
    ///
    /// 8. Accept. Throw `WebSocketException(code: .policyViolation, reason: "Invalid data type")` unless
    ///    `DataType(rawValue:)` knows the type. Then subscribe, and answer what the client says: `.pong` to `ping`. When
    ///    it says `unsubscribe`, leave the loop: the engine closes with 1000 when a handler returns.
    static func stream(to socket: WebSocket, from streams: Topics) async throws {
        throw NotImplemented("accept, subscribe to a stream, and answer ping and unsubscribe")
    }
}

/// What a client of a stream is sent. Members that are nil are left out.
struct StreamEvent: Encodable {
    enum Kind: String, Encodable { case data, pong }
    enum CodingKeys: String, CodingKey {
        case type, data, timestamp
        case dataType = "data_type"
    }

    let type: Kind
    var dataType: DataType?
    var data: JSONValue?
    var timestamp: String?

    static let pong = StreamEvent(type: .pong)
}

/// What is streamed.
enum DataType: String, Encodable, CaseIterable {
    case stocks, weather, news

    /// An update, made up.
    func makeUp() -> JSONValue {
        switch self {
        case .stocks: .object(["symbol": .string("ACME"), "cents": .int(.random(in: 9_000...11_000))])
        case .weather: .object(["place": .string("Oslo"), "degrees": .int(.random(in: -20...30))])
        case .news: .object(["headline": .string("\(Int.random(in: 2...99)) otters seen in the harbour")])
        }
    }
}

/// Publishers that the server runs itself: one task for each type of data.
actor Streamers {
    private let streams: Topics
    private let clock: ServerClock
    private var tasks: [Task<Void, any Error>] = []

    init(_ streams: Topics, _ clock: ServerClock) {
        self.streams = streams
        self.clock = clock
    }

    /// 5. For each of `DataType.allCases` keep a `Task` that, over and over, sleeps on the clock for a second and then
    ///    publishes a `StreamEvent`.
    func start() {
    }

    /// 6. Cancel all tasks. Then wait until they have ended; that a task was cancelled is no error here.
    func stop() async throws {
    }
}

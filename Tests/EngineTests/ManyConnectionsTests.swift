import Foundation
import XCTest

@testable import GraderKit
@testable import WebSocketEngine

/// Ten thousand clients at once. They are in a process of their own, as both ends would be more descriptors than many
/// systems allow one process.
final class ManyConnectionsTests: XCTestCase {
    private let count = 10_000

    func testTenThousandConnectionsAreHeldAndDroppedAtOnce() throws {
        try withDescriptorLimit(count + 2_000) { limit in
            let needed = count + openDescriptors() + 100
            guard limit >= needed else {
                throw XCTSkip("\(needed) descriptors are needed, and the system allows \(limit): ulimit -n")
            }
            try hold()
        }
    }

    private func hold() throws {
        let ends = Mailbox<CloseCode?>()
        try serve(loops: 2, manualTime: true) { app in
            app.webSocket("/") { socket in
                try await socket.accept()
                for try await message in socket { try await socket.send(message) }
                ends.put(socket.disconnect?.code)
            }
        } test: { server in
            let crowd = try Crowd(port: server.port)
            defer { crowd.drop() }
            let before = openDescriptors()
            let response = Handshake.response(
                key: "dGhlIHNhbXBsZSBub25jZQ==", subprotocol: nil, headers: Headers())
            try crowd.all(count, say: server.handshake("/"), hear: response)
            XCTAssertGreaterThanOrEqual(openDescriptors(), before + count)

            // Few talk, and nobody else is told anything.
            let hello = EncodedFrame(.text, "hello".utf8)
            let masked = EncodedFrame(.text, "hello".utf8, maskingKey: 7)
            try crowd.all(100, say: masked.bytes, hear: hello.bytes)

            // Then they are silent: each is asked, answers, and is held on that answer's account until it is asked
            // again.
            let ping = EncodedFrame(.ping, []).bytes
            let pong = EncodedFrame(.pong, [], maskingKey: 7).bytes
            server.clock.advance(by: .seconds(20))
            try crowd.all(count, hear: ping)
            try crowd.all(count, say: pong)
            // On its connection the answer comes before this message, which must wait for nobody else's.
            try crowd.all(count, say: masked.bytes, hear: hello.bytes)
            server.clock.advance(by: .seconds(20))
            try crowd.all(count, hear: ping)
            XCTAssertEqual(ends.waiting.count, 0)

            crowd.drop()
            for _ in 0..<count { XCTAssertEqual(try ends.take(), 1006) }
            eventually("all connections are closed") { openDescriptors() <= before }
            let peer = try server.connect()
            peer.send("still here")
            peer.expect("still here")
        }
    }

    /// The clients: EchoClient as `EchoClient crowd`.
    private final class Crowd {
        private let process = Process()
        private let orders = Pipe()
        private let answers = Mailbox<String>()

        init(port: Int) throws {
            #if canImport(Darwin)
                let bundle = Bundle(for: Crowd.self).bundleURL.deletingLastPathComponent()
            #else
                let bundle = Bundle.main.bundleURL
            #endif
            let output = Pipe()
            process.executableURL = bundle.appendingPathComponent("EchoClient")
            process.arguments = ["crowd", "\(port)"]
            process.standardInput = orders
            process.standardOutput = output
            let answers = answers
            output.fileHandleForReading.readabilityHandler = { handle in
                let data = handle.availableData
                // Without an end to this, an ended process would be read for ever.
                if data.isEmpty { handle.readabilityHandler = nil }
                answers.put(data.isEmpty ? "ended" : String(decoding: data, as: UTF8.self))
            }
            try process.run()
        }

        /// The first `count` of them, which are connected if they are not yet, say something, and then each hears
        /// something. In portions, as no wait shall be long, and Darwin lets 128 wait to be accepted.
        func all(_ count: Int, say: [UInt8] = [], hear: [UInt8] = []) throws {
            for first in stride(from: 0, to: count, by: 100) {
                let order = "\(first) \(min(100, count - first)) .\(hexadecimal(say)) .\(hexadecimal(hear))\n"
                orders.fileHandleForWriting.write(Data(order.utf8))
                XCTAssertEqual(try answers.take("those from \(first) on"), "done\n")
            }
        }

        /// Ends the process: the system closes everything it has open.
        func drop() {
            guard process.isRunning else { return }
            process.terminate()
            process.waitUntilExit()
        }

        private func hexadecimal(_ bytes: [UInt8]) -> String {
            bytes.map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined()
        }
    }
}

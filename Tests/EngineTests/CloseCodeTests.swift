import XCTest

@testable import WebSocketEngine

final class CloseCodeTests: XCTestCase {
    func testWhichCodesMayBeSent() {
        let allowed = (0...UInt16.max).filter { CloseCode(rawValue: $0).mayBeSent }
        XCTAssertEqual(allowed, Array(1000...1003) + Array(1007...1014) + Array(3000...4999))
    }

    func testTheNamedCodes() {
        let named: [CloseCode] = [
            .normalClosure, .goingAway, .protocolError, .unsupportedData, .noStatusReceived, .abnormalClosure,
            .invalidPayload, .policyViolation, .messageTooBig, .mandatoryExtension, .internalError,
        ]
        XCTAssertEqual(
            named.map(\.rawValue), [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011])
        XCTAssertEqual(CloseCode(rawValue: 4001).description, "4001")
    }

    func testPayloads() throws {
        XCTAssertEqual(CloseReason(code: 1005, reason: "ignored").payload, [])
        XCTAssertEqual(CloseReason(code: 1000, reason: "é").payload, [0x03, 0xE8, 0xC3, 0xA9])
        for reason in [
            CloseReason(code: 1005), CloseReason(code: 4999, reason: "bye"), CloseReason(code: 1000),
        ] {
            XCTAssertEqual(try CloseReason(payload: reason.payload), reason)
        }
    }
}
